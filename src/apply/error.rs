//! Why a run stops.

use std::collections::{BTreeMap, BTreeSet};

use super::brake::Halt;
use super::step::StepError;
use crate::cluster::NodeName;
use crate::observe::ObserveError;
use crate::plan::PlanError;
use crate::render::RenderError;
use crate::transport::Failure;
use crate::verdict::Verdict;

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A node could not be asked.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// A node could not be spoken to.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// A phase could not be planned again.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A template cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A step could not be put together.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The world is not what the plan assumed.
    #[error("{node}: {id} has changed since the plan was made: {reason}")]
    Moved {
        /// The node.
        node: NodeName,
        /// The resource.
        id: String,
        /// What would have to be done now.
        reason: String,
    },
    /// A change failed on a node.
    #[error("{node}: {id} failed (status {status})\n{output}")]
    Change {
        /// The node.
        node: NodeName,
        /// The resource.
        id: String,
        /// Status of the call.
        status: String,
        /// Its last lines.
        output: String,
    },
    /// A node ended a step without saying how.
    #[error("{node}: the step was cut off: {stderr}")]
    CutOff {
        /// The node.
        node: NodeName,
        /// What it printed.
        stderr: String,
    },
    /// New rules were not confirmed and have been taken back.
    #[error("{node}: a new connection could not confirm {id}; the node takes it back by itself: {reason}")]
    TakenBack {
        /// The node.
        node: NodeName,
        /// The resource.
        id: String,
        /// Why.
        reason: String,
    },
    /// Checks did not hold.
    #[error("{}", failed(.verdicts, .journals))]
    Checks {
        /// Those that did not.
        verdicts: Vec<Verdict>,
        /// What the services of those checks said last, on each node.
        journals: BTreeMap<NodeName, String>,
    },
    /// Certificates of before were put back, because the new ones are not served.
    #[error("{}", lines(.0))]
    PutBack(Vec<Restored>),
    /// Work was not begun on these nodes.
    #[error("what was left to do on {} was not begun: {}", count(.0), list(.0))]
    NotBegun(BTreeSet<NodeName>),
    /// The run was stopped from outside, before its next step.
    #[error("{0}")]
    Halted(Halt),
    /// All that went wrong at the same time: at least two, none of them of this kind.
    #[error("{}", lines(.0))]
    Several(Vec<ApplyError>),
}

impl ApplyError {
    /// All of `errors` as one, where there are any. What was not begun comes last, in one line.
    pub fn of_all(errors: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let flat = errors.into_iter().flat_map(|error| match error {
            Self::Several(errors) => errors,
            error => vec![error],
        });
        let (mut all, mut not_begun) = (Vec::new(), BTreeSet::new());
        for error in flat {
            match error {
                Self::NotBegun(nodes) => not_begun.extend(nodes),
                error => all.push(error),
            }
        }
        if !not_begun.is_empty() {
            all.push(Self::NotBegun(not_begun));
        }
        match all.len() {
            0 => Ok(()),
            1 => all.pop().map_or(Ok(()), Err),
            _ => Err(Self::Several(all)),
        }
    }

    /// That what was left to do on these nodes was not begun, where there are any.
    pub fn left(nodes: impl IntoIterator<Item = NodeName>) -> Option<Self> {
        let nodes: BTreeSet<NodeName> = nodes.into_iter().collect();
        (!nodes.is_empty()).then_some(Self::NotBegun(nodes))
    }

    /// The nodes that it says were not begun.
    pub fn not_begun(&self) -> BTreeSet<&NodeName> {
        let nodes = self.each().iter().filter_map(|error| match error {
            Self::NotBegun(nodes) => Some(nodes),
            _ => None,
        });
        nodes.flatten().collect()
    }

    /// What to do about it, where that is more than to go on when the cause is mended.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Failure(failure) | Self::Observe(ObserveError::Failure(failure)) => Some(failure.hint()),
            Self::Plan(error) => Some(error.hint()),
            Self::Render(error) => Some(error.hint().into()),
            Self::Moved { .. } => Some("look at the new plan and apply it".into()),
            Self::TakenBack { .. } => Some(
                "check `access.admin`: it must hold the address that you come from; nothing is left of the new rules".into(),
            ),
            Self::Halted(Halt::LockLost(_)) => {
                Some("`deploy lock status` shows who has it; when it is free, run the same command again".into())
            }
            _ => None,
        }
    }

    /// Each of several, or the one.
    pub fn each(&self) -> &[Self] {
        match self {
            Self::Several(errors) => errors,
            error => std::slice::from_ref(error),
        }
    }
}

/// A certificate of before that was put back.
#[derive(Debug)]
pub struct Restored {
    /// The node.
    pub node: NodeName,
    /// Its path, without ending.
    pub path: String,
    /// Why it could not be put back, or is not served either.
    pub error: Option<String>,
}

impl std::fmt::Display for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { node, path, error } = self;
        match error {
            None => write!(f, "{node}: the certificate {path} of before is back"),
            Some(error) => {
                write!(f, "{node}: the certificate {path} of before could not be put back: {error}")
            }
        }
    }
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted: the steps that were under way have ended"),
            Self::LockLost(node) => {
                write!(f, "{node}: the lock was lost; another run may hold it, so no further step was begun")
            }
        }
    }
}

fn failed(verdicts: &[Verdict], journals: &BTreeMap<NodeName, String>) -> String {
    let lines = verdicts.iter().map(|verdict| {
        format!("{}: {} does not hold ({}): {}", verdict.node, verdict.name, verdict.title, verdict.reason)
    });
    let said = journals.iter().map(|(node, text)| {
        let text: Vec<String> = text.lines().map(|line| format!("| {line}")).collect();
        format!("{node}: the last lines of its journal:\n{}", text.join("\n"))
    });
    lines.chain(said).collect::<Vec<_>>().join("\n")
}

fn lines<T: std::fmt::Display>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn count(nodes: &BTreeSet<NodeName>) -> String {
    if nodes.len() == 1 { "1 node".into() } else { format!("{} nodes", nodes.len()) }
}

fn list(nodes: &BTreeSet<NodeName>) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_off(node: &str) -> ApplyError {
        ApplyError::CutOff { node: node.into(), stderr: "gone".into() }
    }

    #[test]
    fn an_error_keeps_the_hint_of_its_cause() {
        let refusal = crate::resource::Refusal { what: "foreign data".into(), hint: "move it away".into() };
        assert_eq!(ApplyError::Plan(PlanError::Refused(refusal)).hint().unwrap(), "move it away");
        let lost = || Failure::Timeout { node: "n1".into(), seconds: 1 };
        assert_eq!(ApplyError::Observe(lost().into()).hint(), Some(lost().hint()));
        let halted = ApplyError::Halted(Halt::LockLost("n1".into())).hint().unwrap();
        assert!(halted.starts_with("`deploy lock status`"), "{halted}");
        assert_eq!(ApplyError::Halted(Halt::Interrupted).hint(), None);
    }

    #[test]
    fn nothing_is_no_error_and_one_stays_itself() {
        assert!(ApplyError::of_all([]).is_ok());
        assert!(matches!(ApplyError::of_all([cut_off("n1")]), Err(ApplyError::CutOff { .. })));
    }

    #[test]
    fn several_are_flat_and_what_was_not_begun_comes_last_in_one_line() {
        let not_begun = |node: &str| ApplyError::NotBegun([NodeName::from(node)].into());
        let inner = ApplyError::of_all([not_begun("n3"), cut_off("n1"), cut_off("n2")]).unwrap_err();
        let all = ApplyError::of_all([inner, not_begun("n4")]).unwrap_err();
        assert_eq!(all.each().len(), 3);
        assert_eq!(
            all.to_string(),
            "n1: the step was cut off: gone\nn2: the step was cut off: gone\n\
             what was left to do on 2 nodes was not begun: n3 n4"
        );
    }
}
