//! What is said, kept in a file as well: plain lines, each with its time.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

static LOG: OnceLock<Mutex<File>> = OnceLock::new();

/// From now on everything that is said goes to the end of this file, too.
pub fn log_into(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let _ = LOG.set(Mutex::new(file));
    Ok(())
}

/// Keeps lines. A log that cannot be written must not end a run.
pub(super) fn record(text: &str) {
    let Some(log) = LOG.get() else { return };
    let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
    for line in console::strip_ansi_codes(text).lines() {
        let _ = writeln!(file, "{} {line}", stamp());
    }
}

/// The time, UTC, in seconds.
pub(super) fn stamp() -> String {
    let now = time::OffsetDateTime::now_utc();
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    now.format(format).unwrap_or_default()
}
