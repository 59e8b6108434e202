//! What a node looks like from above: a place where a command runs with something on its standard input.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

/// Where the lines of a running command go, as they come.
pub type Lines = UnboundedSender<String>;

/// One remote execution.
pub struct Exec {
    /// Command line for the node's shell. It holds no secret: those travel on `stdin`.
    pub command: String,
    /// Standard input, whole.
    pub stdin: Vec<u8>,
    /// How long the command may take; the node ends it then, and we stop waiting a little later.
    pub timeout: Duration,
    /// Receives each line of standard output at once, where wanted.
    pub lines: Option<Lines>,
    /// Keeps standard input open, with a line every five seconds, until this says true or its sender is gone.
    pub hold: Option<tokio::sync::watch::Receiver<bool>>,
}

impl Exec {
    /// A script on standard input, run by the node's `sh`.
    pub fn script(script: impl Into<Vec<u8>>, timeout: Duration) -> Self {
        Self { command: "sh -s".into(), stdin: script.into(), timeout, lines: None, hold: None }
    }
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// Exit status; `None` when the connection was lost.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Why a node could not be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection.
    #[error("{node}: cannot connect to {target}: {reason}")]
    Unreachable {
        /// The node.
        node: String,
        /// What SSH was asked to connect to.
        target: String,
        /// What SSH said.
        reason: String,
    },
    /// The host key is not the one we know.
    #[error("{node}: the host key of {target} is not the one known for it")]
    HostKey {
        /// The node.
        node: String,
        /// What SSH was asked to connect to.
        target: String,
    },
    /// The connection was lost while a command ran.
    #[error("{node}: connection lost: {reason}")]
    Lost {
        /// The node.
        node: String,
        /// What SSH said.
        reason: String,
    },
    /// The command did not end in time.
    #[error("{node}: no answer within {seconds} s")]
    Timeout {
        /// The node.
        node: String,
        /// The deadline.
        seconds: u64,
    },
    /// The command could not become root.
    #[error("{node}: cannot become root: {reason}")]
    Sudo {
        /// The node.
        node: String,
        /// What sudo said.
        reason: String,
    },
}

impl Failure {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreachable { target, .. } => {
                format!("try `ssh {target} true`; it must work without a question")
            }
            Self::HostKey { target, .. } => {
                format!(
                    "if the machine was made anew, remove its old key with `ssh-keygen -R {target}` and accept the new one by hand"
                )
            }
            Self::Lost { .. } | Self::Timeout { .. } => {
                "look at the machine, then run the same command again: it goes on where this run stopped"
                    .into()
            }
            Self::Sudo { .. } => {
                "allow the SSH user to run `sudo -n` without a password, or log in as root".into()
            }
        }
    }
}

/// A node that commands run on.
pub trait Host: Send + Sync {
    /// Name of the node.
    fn name(&self) -> &str;
    /// Whether an answer is waited for. A command that is only held open does not count.
    fn busy(&self) -> bool;
    /// Runs one command as root and waits for its end.
    fn run<'a>(&'a self, exec: Exec) -> Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>>;
    /// Runs one command over a connection of its own: proof that new connections still get in.
    fn run_fresh<'a>(
        &'a self,
        exec: Exec,
    ) -> Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>>;
}
