//! Tasks that run beside each other.

use tokio::task::JoinError;

/// What a task came to. None is ever called off, so one without an outcome has panicked: that goes on here, where it would
/// else look as if there had been nothing to do.
pub fn outcome<T>(joined: Result<T, JoinError>) -> T {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
