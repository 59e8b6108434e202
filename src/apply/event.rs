//! What a run says of itself while it goes on.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::cluster::NodeName;
use crate::resource::Id;

/// Where events go.
pub type Events = tokio::sync::mpsc::UnboundedSender<Event>;

/// One thing that happened; as JSON, `event` says which.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A phase begins its work on some nodes.
    PhaseStarted {
        /// What it does.
        title: &'static str,
    },
    /// A node's step begins.
    StepStarted {
        /// The node.
        node: NodeName,
        /// Title of the phase.
        phase: &'static str,
        /// How many changes it makes.
        changes: usize,
    },
    /// A node is busy with one change.
    Changing {
        /// The node.
        node: NodeName,
        /// The resource.
        id: Id,
    },
    /// A node's step is done.
    StepDone {
        /// The node.
        node: NodeName,
        /// Title of the phase.
        phase: &'static str,
        /// How many changes it made.
        changes: usize,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        took: Duration,
    },
    /// A node's step has failed.
    StepFailed {
        /// The node.
        node: NodeName,
        /// Title of the phase.
        phase: &'static str,
    },
    /// Checks are waited for.
    Checking {
        /// How many.
        checks: usize,
    },
    /// A check holds, is skipped, or has failed.
    Checked(crate::verdict::Verdict),
    /// A phase is done, its checks included.
    PhaseDone {
        /// What it did.
        title: &'static str,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        took: Duration,
    },
}

fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}
