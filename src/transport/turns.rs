//! How much is done at once over all nodes together.

use tokio::sync::Semaphore;

/// Log-ins at once: each is a process here and work for both sides.
const LOG_INS: usize = 64;
/// Commands at once on all nodes together, besides those that only hold something.
const COMMANDS: usize = 256;
/// What all nodes share, so that a thousand of them do not take this machine away.
pub struct Turns {
    /// Of log-ins.
    pub log_ins: Semaphore,
    /// Of commands, besides those that only hold something.
    pub commands: Semaphore,
}

impl Turns {
    /// Nothing is done yet.
    pub fn new() -> Self {
        Self { log_ins: Semaphore::new(LOG_INS), commands: Semaphore::new(COMMANDS) }
    }
}
