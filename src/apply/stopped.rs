//! Why a run has stopped, and whether it had begun to change anything.

use super::ApplyError;

/// A run that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Stopped {
    /// Why.
    pub error: ApplyError,
    /// Whether a node had been told to change something.
    pub changed: bool,
}
