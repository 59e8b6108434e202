//! Why a run stops.

use super::step::StepError;
use crate::cluster::NodeName;
use crate::observe::ObserveError;
use crate::plan::PlanError;
use crate::render::RenderError;
use crate::transport::Failure;
use crate::verify::Verdict;

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
    #[error("{}", failed(.verdicts, .restored))]
    Checks {
        /// Those that did not.
        verdicts: Vec<Verdict>,
        /// Certificates that were put back, because the new ones were not served.
        restored: Vec<Restored>,
    },
}

/// A certificate of before that was put back.
#[derive(Debug)]
pub struct Restored {
    /// The node.
    pub node: NodeName,
    /// Its path, without ending.
    pub path: String,
    /// Why it could not be put back.
    pub error: Option<String>,
}

fn failed(verdicts: &[Verdict], restored: &[Restored]) -> String {
    let lines = verdicts.iter().map(|verdict| {
        format!("{}: {} does not hold ({}): {}", verdict.node, verdict.name, verdict.title, verdict.reason)
    });
    let back = restored.iter().map(|Restored { node, path, error }| match error {
        None => format!("{node}: the certificate {path} of before is back"),
        Some(error) => format!("{node}: the certificate {path} of before could not be put back: {error}"),
    });
    lines.chain(back).collect::<Vec<_>>().join("\n")
}
