//! A host that answers from memory and remembers what it was asked: for tests of what stands above.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Exec, Failure, Host, Reply};

/// A host without a machine.
#[derive(Default)]
pub struct Recorder {
    name: String,
    replies: Mutex<VecDeque<Reply>>,
    takes: Duration,
    asked: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Recorder {
    /// A host that gives these replies in turn, and empty ones when they are used up.
    pub fn new(name: &str, replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            name: name.to_owned(),
            replies: Mutex::new(replies.into_iter().collect()),
            takes: Duration::ZERO,
            asked: Mutex::default(),
        }
    }

    /// The same host with so much time for each reply.
    #[must_use]
    pub fn taking(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }

    /// The commands so far, each with its standard input.
    pub fn asked(&self) -> Vec<(String, Vec<u8>)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Host for Recorder {
    fn name(&self) -> &str {
        &self.name
    }

    fn busy(&self) -> bool {
        false
    }

    fn run<'a>(&'a self, exec: Exec) -> Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((exec.command, exec.stdin));
        let reply = self.replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let reply = reply.unwrap_or(Reply { status: Some(0), ..Reply::default() });
        if let Some(lines) = exec.lines {
            for line in reply.stdout.lines() {
                let _ = lines.send(line.to_owned());
            }
        }
        let takes = self.takes;
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            Ok(reply)
        })
    }

    fn run_fresh<'a>(
        &'a self,
        exec: Exec,
    ) -> Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>> {
        self.run(exec)
    }
}
