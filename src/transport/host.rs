//! What a node looks like from above: a place where a command runs with something on its standard input.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::quote;

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
        /// The command that logs in to it.
        login: String,
    },
    /// The host key is not the one we know.
    #[error("{node}: the host key of {target} is not the one known for it")]
    HostKey {
        /// The node.
        node: String,
        /// What SSH was asked to connect to.
        target: String,
        /// What files of known host keys call it.
        known_as: String,
        /// The command that logs in to it.
        login: String,
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
            Self::Unreachable { login, .. } => {
                format!(
                    "try `{login} true`; it must work without a question. Where the machine is lost for good, put a fresh \
                     one in its place: `apply` makes it what the lost one was"
                )
            }
            Self::HostKey { known_as, login, .. } => {
                format!(
                    "if the machine was made anew, remove its old key with `ssh-keygen -R {}` and accept the new one with `{login} true`",
                    quote(known_as)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_host_key_is_accepted_where_the_inventory_says() {
        let failure = Failure::HostKey {
            node: "n1".into(),
            target: "n1".into(),
            known_as: "[n1]:2222".into(),
            login: "ssh -p 2222 root@n1".into(),
        };
        let hint = failure.hint();
        assert!(hint.contains("`ssh-keygen -R '[n1]:2222'`") && hint.contains("`ssh -p 2222 root@n1 true`"));
    }
}
