//! Promises of time. One machine plays all nodes here, and may be slow for reasons of its own: a scenario that failed by
//! nothing but a limit of time is tried a second time, which the report says.

use anyhow::{Error, Result};

/// Something took longer than it may.
#[derive(Debug)]
struct TooSlow(String);

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TooSlow {}

/// An error where a limit of time was not `kept`, in these words.
pub fn in_time(kept: bool, says: impl FnOnce() -> String) -> Result<()> {
    if kept { Ok(()) } else { Err(TooSlow(says()).into()) }
}

/// Whether nothing else was wrong than that something took too long.
pub fn only_slow(error: &Error) -> bool {
    error.chain().any(<dyn std::error::Error>::is::<TooSlow>)
}
