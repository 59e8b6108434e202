//! How a command ends: one table for all of them, and which error leads to which code.

use std::fmt::Write;
use std::process::ExitCode;

use crate::apply::{ApplyError, Halt, HandOverError, LockError, Stopped};
use crate::inventory::{InventoryError, Problems};
use crate::observe::{ObserveError, Unanswered};
use crate::plan::{PlanError, SelectionError, Stale};
use crate::render::RenderError;
use crate::resource::Refusal;
use crate::role::RoleError;
use crate::transport::Failure;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, or there was nothing to do.
    Done,
    /// Any other error, wrong arguments among them.
    Error,
    /// Something is to be changed.
    Pending,
    /// What the user wrote cannot be used.
    Inventory,
    /// The machines are not fit for it.
    Unfit,
    /// A node does not answer.
    Unreachable,
    /// Somebody else's run is under way.
    Locked,
    /// A run has stopped in its midst.
    Partial,
    /// A check does not hold.
    Unverified,
    /// Something was taken back.
    TakenBack,
    /// A plan no longer fits.
    Stale,
}

/// Every way to end, in the order of the codes.
pub const ALL: [Exit; 11] = [
    Exit::Done,
    Exit::Error,
    Exit::Pending,
    Exit::Inventory,
    Exit::Unfit,
    Exit::Unreachable,
    Exit::Locked,
    Exit::Partial,
    Exit::Unverified,
    Exit::TakenBack,
    Exit::Stale,
];

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Pending => 2,
            Self::Inventory => 3,
            Self::Unfit => 4,
            Self::Unreachable => 5,
            Self::Locked => 6,
            Self::Partial => 7,
            Self::Unverified => 8,
            Self::TakenBack => 9,
            Self::Stale => 10,
        }
    }

    /// What it says, for the table.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Error => "any other error",
            Self::Pending => "changes are pending (`plan --detailed-exitcode`, `certs`, `drift`)",
            Self::Inventory => {
                "the inventory, a role beside it, or what `--on`, `--to`, `--phase`, `--service` name is missing or invalid"
            }
            Self::Unfit => "the machines are not fit: preflight failed, or data is in the way",
            Self::Unreachable => "a node cannot be reached; nothing was changed",
            Self::Locked => "another run holds the lock; nothing was changed",
            Self::Partial => "partly applied: the run has stopped in its midst",
            Self::Unverified => "a check does not hold, or the cluster is not healthy",
            Self::TakenBack => "something was changed and taken back",
            Self::Stale => "the nodes or the inventory have moved since the plan; nothing was changed",
        }
    }

    /// A word for a run's journal.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partly applied",
            Self::Unverified => "not verified",
            Self::TakenBack => "taken back",
            Self::Stale => "refused: the plan no longer fits",
            Self::Locked => "refused: another run holds the lock",
            Self::Unfit => "refused: the machines are not fit",
            Self::Inventory => "refused: the inventory cannot be used",
            Self::Unreachable => "refused: a node cannot be reached",
            _ => "failed",
        }
    }

    /// The same for a run that has stopped.
    pub fn word_of_run(stopped: &Stopped) -> &'static str {
        let interrupted = |error: &ApplyError| matches!(error, ApplyError::Halted(Halt::Interrupted));
        if stopped.error.each().iter().any(interrupted) {
            return "interrupted";
        }
        Self::of_run(stopped).word()
    }

    /// How a command ends by this error.
    pub fn of(error: &anyhow::Error) -> Self {
        if let Some(ended) = error.downcast_ref::<Ended>() {
            return ended.exit;
        }
        if let Some(stopped) = error.downcast_ref::<Stopped>() {
            return Self::of_run(stopped);
        }
        if let Some(held) = error.downcast_ref::<LockError>() {
            return match held {
                LockError::Held { .. } => Self::Locked,
                LockError::Failure(_) => Self::Unreachable,
                LockError::Failed { .. } => Self::Error,
            };
        }
        if let Some(moved) = error.downcast_ref::<HandOverError>() {
            return Self::of_hand_over(moved);
        }
        let is = |found: bool, exit: Self| found.then_some(exit);
        is(error.is::<Stale>(), Self::Stale)
            .or_else(|| {
                is(
                    error.is::<Failure>() || error.is::<Unanswered>() || error.is::<ObserveError>(),
                    Self::Unreachable,
                )
            })
            .or_else(|| is(error.is::<Refusal>(), Self::Unfit))
            .or_else(|| error.downcast_ref::<PlanError>().map(Self::of_plan))
            .or_else(|| {
                let written = error.is::<InventoryError>() || error.is::<Problems>();
                let named = error.is::<SelectionError>();
                is(written || named || error.is::<RoleError>() || error.is::<RenderError>(), Self::Inventory)
            })
            .unwrap_or(Self::Error)
    }

    /// How a run ends that has stopped. Of several errors the gravest counts: what was taken back, then what was made in
    /// part, then what does not hold.
    pub fn of_run(stopped: &Stopped) -> Self {
        const GRAVEST: [Exit; 3] = [Exit::TakenBack, Exit::Partial, Exit::Unverified];
        let each: Vec<Self> =
            stopped.error.each().iter().map(|error| Self::of_one(error, stopped.changed)).collect();
        let gravest = GRAVEST.into_iter().find(|exit| each.contains(exit));
        gravest.or_else(|| each.first().copied()).unwrap_or(Self::Error)
    }

    /// What was taken back and what does not hold is told apart from everything else; a run that has changed something is
    /// never told from its cause alone.
    fn of_one(error: &ApplyError, changed: bool) -> Self {
        match error {
            ApplyError::TakenBack { .. } => Self::TakenBack,
            ApplyError::PutBack(restored) if restored.iter().all(|one| one.error.is_none()) => {
                Self::TakenBack
            }
            ApplyError::Checks { .. } => Self::Unverified,
            _ if changed => Self::Partial,
            ApplyError::Observe(_) | ApplyError::Failure(_) => Self::Unreachable,
            ApplyError::Moved { .. } => Self::Stale,
            ApplyError::Plan(error) => Self::of_plan(error),
            ApplyError::Render(_) => Self::Inventory,
            ApplyError::Step(_)
            | ApplyError::Change { .. }
            | ApplyError::CutOff { .. }
            | ApplyError::PutBack(_)
            | ApplyError::NotBegun(_)
            | ApplyError::Halted(_)
            | ApplyError::Several(_) => Self::Error,
        }
    }

    /// A node that is lost in the midst of a move may have made it, or half of it.
    fn of_hand_over(error: &HandOverError) -> Self {
        match error {
            HandOverError::Failure(Failure::Lost { .. } | Failure::Timeout { .. }) => Self::Partial,
            HandOverError::Failure(_) => Self::Unreachable,
            HandOverError::Stopped { .. } => Self::Error,
        }
    }

    fn of_plan(error: &PlanError) -> Self {
        match error {
            PlanError::Refused(_) => Self::Unfit,
            PlanError::Render(_) | PlanError::Phase { .. } => Self::Inventory,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that has no kind of its own, and ends its command in a way of its own.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Ended {
    /// How the command ends.
    pub exit: Exit,
    /// What is wrong.
    pub what: String,
}

impl Ended {
    /// An error with its words.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into() }
    }
}

/// The table, for the help.
pub fn table() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in ALL {
        let _ = writeln!(text, "  {:>2}  {}", exit.code(), exit.meaning());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use anyhow::Context;

    use super::*;
    use crate::apply::Restored;
    use crate::ui::Hint;
    use crate::verdict::{Outcome, Verdict};

    #[test]
    fn the_readme_has_the_table() {
        let readme = include_str!("../README.md");
        for exit in ALL {
            let row = format!("| {} | {} |", exit.code(), exit.meaning());
            assert!(readme.contains(&row), "README.md lacks `{row}`");
        }
    }

    #[test]
    fn codes_differ_and_are_in_order() {
        let codes: Vec<u8> = ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, (0..11).collect::<Vec<u8>>());
    }

    fn code(error: impl Into<anyhow::Error>) -> u8 {
        Exit::of(&error.into().context("more words").context(Hint("do this".into()))).code()
    }

    #[test]
    fn an_error_keeps_its_code_under_hints_and_context() {
        let lost = || Failure::Timeout { node: "n1".into(), seconds: 1 };
        assert_eq!(code(lost()), 5);
        assert_eq!(code(LockError::Held { node: "n1".into(), owner: "x".into() }), 6);
        assert_eq!(code(LockError::Failure(lost())), 5);
        let full = LockError::Failed { node: "n1".into(), status: "2".into(), stderr: "full".into() };
        assert_eq!(code(full), 1);
        assert_eq!(code(Refusal { what: "foreign".into(), hint: "move it".into() }), 4);
        assert_eq!(code(InventoryError::Missing("x".into())), 3);
        assert_eq!(code(Ended::new(Exit::Unverified, "x")), 8);
        assert_eq!(code(SelectionError::Empty), 3);
        assert_eq!(code(anyhow::anyhow!("other")), 1);
        let read: Result<(), _> = Err(std::io::Error::other("x")).context("cannot read");
        assert_eq!(code(read.unwrap_err()), 1);
    }

    #[test]
    fn a_run_that_has_changed_something_never_ends_as_if_it_had_not() {
        let lost = || ApplyError::Failure(Failure::Timeout { node: "n1".into(), seconds: 1 });
        let stopped = |error, changed| code(Stopped { error, changed });
        assert_eq!(stopped(lost(), false), 5);
        assert_eq!(stopped(lost(), true), 7);
        let moved =
            || ApplyError::Moved { node: "n1".into(), id: "file /x".into(), reason: "missing".into() };
        assert_eq!((stopped(moved(), false), stopped(moved(), true)), (10, 7));
        let back =
            ApplyError::TakenBack { node: "n1".into(), id: "firewall rules".into(), reason: "x".into() };
        assert_eq!(stopped(back, true), 9);
        let verdict = Verdict {
            name: "x".into(),
            title: "x".into(),
            node: "n1".into(),
            outcome: Outcome::Fail,
            reason: "x".into(),
        };
        let checks = || ApplyError::Checks { verdicts: vec![verdict.clone()], journals: BTreeMap::default() };
        assert_eq!(stopped(checks(), true), 8);
        let restored =
            |error| ApplyError::PutBack(vec![Restored { node: "n1".into(), path: "/x".into(), error }]);
        let both = |error| ApplyError::of_all([checks(), restored(error)]).unwrap_err();
        assert_eq!(stopped(both(None), true), 9);
        assert_eq!(stopped(both(Some("x".into())), true), 7);
    }

    #[test]
    fn a_move_of_redis_that_lost_its_node_is_told_from_one_that_never_reached_it() {
        let lost = Failure::Lost { node: "n1".into(), reason: "x".into() };
        let away = Failure::Unreachable {
            node: "n1".into(),
            target: "n1".into(),
            reason: "x".into(),
            login: "ssh n1".into(),
        };
        assert_eq!((code(HandOverError::Failure(lost)), code(HandOverError::Failure(away))), (7, 5));
        let stopped = HandOverError::Stopped { node: "n1".into(), reason: "x".into() };
        assert_eq!(code(stopped), 1);
    }

    #[test]
    fn an_interrupted_run_is_called_so_in_its_journal() {
        let stopped = |error| Stopped { error, changed: true };
        let halted = ApplyError::Halted(Halt::Interrupted);
        let both = ApplyError::of_all([halted, ApplyError::NotBegun(["n1".into()].into())]).unwrap_err();
        let stopped = [stopped(both), stopped(ApplyError::NotBegun(["n1".into()].into()))];
        assert_eq!(stopped.each_ref().map(Exit::word_of_run), ["interrupted", "partly applied"]);
        assert_eq!(stopped.each_ref().map(Exit::of_run), [Exit::Partial, Exit::Partial]);
    }

    #[test]
    fn of_several_errors_the_gravest_decides_whichever_comes_first() {
        let lost = || ApplyError::Failure(Failure::Timeout { node: "n1".into(), seconds: 1 });
        let back = || ApplyError::TakenBack { node: "n2".into(), id: "x".into(), reason: "x".into() };
        let code = |errors: [ApplyError; 2], changed| {
            code(Stopped { error: ApplyError::of_all(errors).unwrap_err(), changed })
        };
        assert_eq!((code([lost(), back()], true), code([back(), lost()], true)), (9, 9));
        let checks = || ApplyError::Checks { verdicts: Vec::new(), journals: BTreeMap::default() };
        assert_eq!((code([checks(), lost()], true), code([lost(), checks()], true)), (7, 7));
        assert_eq!(code([lost(), lost()], false), 5);
    }
}
