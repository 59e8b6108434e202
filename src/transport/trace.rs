//! A record of what was said to nodes: one line of JSON for each connection and each remote execution, without contents.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::json;

/// A file that remote executions are recorded in.
#[derive(Debug)]
pub struct Trace {
    begun: Instant,
    file: Mutex<File>,
}

impl Trace {
    /// An empty record at `path`; what was there is replaced.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self { begun: Instant::now(), file: Mutex::new(File::create(path)?) })
    }

    /// A connection to `node` that was being opened since `from`.
    pub fn connected(&self, node: &str, from: Instant) {
        self.line(node, "connect", from, 0, 0, None);
    }

    /// The same where it was not, and why.
    pub fn refused(&self, node: &str, from: Instant, error: &str) {
        self.line(node, "connect", from, 0, 0, Some(error));
    }

    /// A command on `node` that ran since `from`, with the bytes that it was sent and that it answered.
    pub fn executed(&self, node: &str, from: Instant, sent: usize, received: usize) {
        self.line(node, "execute", from, sent, received, None);
    }

    /// A record that cannot be written must not end a run.
    fn line(&self, node: &str, what: &str, from: Instant, sent: usize, received: usize, error: Option<&str>) {
        let at = (from - self.begun).as_secs_f64();
        let seconds = from.elapsed().as_secs_f64();
        let mut line = json!({ "node": node, "what": what, "at": at, "seconds": seconds, "sent": sent, "received": received });
        if let Some(error) = error {
            line["error"] = error.into();
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(file, "{line}");
    }
}
