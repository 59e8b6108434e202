//! How a command ends: one table for all of them, and which error leads to which code.

use std::fmt::Write;
use std::process::ExitCode;

use crate::apply::{ApplyError, LockError, Stopped};
use crate::inventory::{InventoryError, Problems};
use crate::observe::{ObserveError, Unanswered};
use crate::plan::{PlanError, Stale};
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
            Self::Inventory => "the inventory, or a role beside it, is missing or invalid",
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
            };
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
                is(written || error.is::<RoleError>() || error.is::<RenderError>(), Self::Inventory)
            })
            .unwrap_or(Self::Error)
    }

    /// How a run ends that has stopped. What was taken back and what does not hold come before everything else; one that
    /// has changed something is never told from its cause alone.
    pub fn of_run(stopped: &Stopped) -> Self {
        match &stopped.error {
            ApplyError::TakenBack { .. } => Self::TakenBack,
            ApplyError::Checks { restored, .. } if restored.iter().any(|one| one.error.is_some()) => {
                Self::Partial
            }
            ApplyError::Checks { restored, .. } if !restored.is_empty() => Self::TakenBack,
            ApplyError::Checks { .. } => Self::Unverified,
            _ if stopped.changed => Self::Partial,
            ApplyError::Observe(_) | ApplyError::Failure(_) => Self::Unreachable,
            ApplyError::Moved { .. } => Self::Stale,
            ApplyError::Plan(error) => Self::of_plan(error),
            ApplyError::Render(_) => Self::Inventory,
            ApplyError::Step(_) | ApplyError::Change { .. } | ApplyError::CutOff { .. } => Self::Error,
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
    use anyhow::Context;

    use super::*;
    use crate::apply::Restored;
    use crate::ui::Hint;
    use crate::verify::{Outcome, Verdict};

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
        assert_eq!(code(Refusal { what: "foreign".into(), hint: "move it".into() }), 4);
        assert_eq!(code(InventoryError::Missing("x".into())), 3);
        assert_eq!(code(Ended::new(Exit::Unverified, "x")), 8);
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
        let checks = |restored| ApplyError::Checks { verdicts: vec![verdict.clone()], restored };
        assert_eq!(stopped(checks(vec![]), true), 8);
        let restored = |error| Restored { node: "n1".into(), path: "/x".into(), error };
        assert_eq!(stopped(checks(vec![restored(None)]), true), 9);
        assert_eq!(stopped(checks(vec![restored(Some("x".into()))]), true), 7);
    }
}
