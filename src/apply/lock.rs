//! One run at a time: a lock on every node, held by a process there as long as this one lives.
//!
//! The holder is a `flock` behind an open SSH channel. When the controller dies, the channel closes and the kernel lets
//! go; when the network takes the controller away without a word, the holder misses its heartbeats and ends. So nothing
//! is ever left to clean up.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::cluster::NodeName;
use crate::observe::Hosts;
use crate::transport::{Exec, Failure, Reply, quote};

/// Longest life of a lock; a run is over long before.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who holds a lock, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(pub String);

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("{node} is locked by another run: {owner}")]
    Held {
        /// The node.
        node: NodeName,
        /// What the other run says of itself.
        owner: String,
    },
    /// It could not even be tried.
    #[error("{node}: the lock could not be taken (status {status}): {stderr}")]
    Failed {
        /// The node.
        node: NodeName,
        /// Status of the script that takes it.
        status: String,
        /// What it printed.
        stderr: String,
    },
    /// A node could not be spoken to.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// The lock on all nodes. Dropping it lets go.
pub struct Lock {
    release: watch::Sender<bool>,
    holders: JoinSet<()>,
    /// Nodes whose holder has ended, and how.
    ended: mpsc::UnboundedReceiver<(NodeName, Result<Reply, Failure>)>,
    /// How long ago a step last began or ended on each node, in whole seconds of its own clock.
    pub idle: BTreeMap<NodeName, Duration>,
}

impl Lock {
    /// Takes the lock on every one of `hosts`, or on none.
    pub async fn take(hosts: &Hosts, owner: &Owner) -> Result<Self, LockError> {
        let (release, released) = watch::channel(false);
        let (over, ended) = mpsc::unbounded_channel();
        let mut lock = Self { release, holders: JoinSet::new(), ended, idle: BTreeMap::new() };
        let mut waiting: BTreeMap<NodeName, mpsc::UnboundedReceiver<String>> = BTreeMap::new();
        for (node, host) in hosts {
            let (lines, answers) = mpsc::unbounded_channel();
            waiting.insert(node.clone(), answers);
            let script = format!("OWNER={}\n{}", quote(&owner.0), include_str!("lock.sh"));
            let mut exec = Exec::script(script, LIFE);
            exec.lines = Some(lines);
            exec.hold = Some(released.clone());
            let (host, over, node) = (std::sync::Arc::clone(host), over.clone(), node.clone());
            lock.holders.spawn(async move {
                let _ = over.send((node, host.run(exec).await));
            });
        }
        for (node, mut answers) in waiting {
            let answer = tokio::time::timeout(PATIENCE, answers.recv()).await;
            match answer.as_ref().map(|line| line.as_deref()) {
                Ok(Some(line)) if line.starts_with("locked") => {
                    lock.idle.insert(node, idle(line));
                }
                Ok(Some(line)) => {
                    let owner = line.strip_prefix("held ").unwrap_or(line).to_owned();
                    lock.let_go().await;
                    return Err(LockError::Held { node, owner });
                }
                silent => {
                    let timeout = Failure::Timeout { node: node.to_string(), seconds: PATIENCE.as_secs() };
                    let error = match silent {
                        // A holder that has ended without a word says so in a moment.
                        Ok(_) => lock.why(&node).await,
                        Err(_) => None,
                    };
                    lock.let_go().await;
                    return Err(error.unwrap_or(timeout.into()));
                }
            }
        }
        Ok(lock)
    }

    /// Why the holder on `node` has ended, or which node was lost before.
    async fn why(&mut self, node: &NodeName) -> Option<LockError> {
        while let Ok(Some((ended, how))) = tokio::time::timeout(PATIENCE, self.ended.recv()).await {
            match how {
                Err(failure) => return Some(failure.into()),
                Ok(Reply { status, stderr, .. }) if ended == *node => {
                    let status = status.map_or_else(|| "unknown".into(), |status| status.to_string());
                    let stderr = stderr.trim().to_owned();
                    return Some(LockError::Failed { node: ended, status, stderr });
                }
                Ok(_) => {}
            }
        }
        None
    }

    /// Waits for `run`; `lost` hears of the first node that lets go before it has ended.
    pub async fn during<T, R>(
        &mut self,
        run: impl Future<Output = T>,
        lost: impl FnOnce(NodeName) -> R,
    ) -> T {
        let mut run = std::pin::pin!(run);
        tokio::select! {
            outcome = &mut run => return outcome,
            Some((node, _)) = self.ended.recv() => drop(lost(node)),
        }
        run.await
    }

    /// Lets go on every node and waits until they have.
    pub async fn let_go(mut self) {
        let _ = self.release.send(true);
        let all = async { while self.holders.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
    }
}

/// How long ago a step was at work, from `locked NOW THEN`; where there is no THEN, none ever was.
fn idle(line: &str) -> Duration {
    let mut times = line.split(' ').skip(1).map(|word| word.parse::<u64>().unwrap_or_default());
    let now = times.next().unwrap_or_default();
    times.next().map_or(Duration::MAX, |then| Duration::from_secs(now.saturating_sub(then)))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use super::*;
    use crate::transport::Recorder;

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_ends_during_the_run_is_told_of_and_the_run_is_waited_for() {
        let answer = Reply { stdout: "locked\n".into(), ..Reply::default() };
        let host: Arc<dyn crate::transport::Host> = Arc::new(Recorder::new("n1", [answer]));
        let hosts = Hosts::from([("n1".into(), host)]);
        let mut lock = Lock::take(&hosts, &Owner("x".into())).await.unwrap();
        let mut lost = None;
        let run = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            7
        };
        assert_eq!(lock.during(run, |node| lost = Some(node)).await, 7);
        assert_eq!(lost, Some("n1".into()));
    }

    #[tokio::test]
    async fn a_script_that_fails_at_once_says_why() {
        let stderr = "sh: 3: cannot create /run/deploy/lock: No space left on device\n".to_owned();
        let answer = Reply { status: Some(2), stderr, ..Reply::default() };
        let host: Arc<dyn crate::transport::Host> = Arc::new(Recorder::new("n1", [answer]));
        let error = Lock::take(&Hosts::from([("n1".into(), host)]), &Owner("x".into())).await.err().unwrap();
        assert_eq!(
            error.to_string(),
            "n1: the lock could not be taken (status 2): sh: 3: cannot create /run/deploy/lock: \
             No space left on device"
        );
    }

    #[test]
    fn who_only_looks_at_a_lock_keeps_nobody_from_taking_it() {
        let taken_while = |held: &str| {
            let root = tempfile::tempdir().unwrap();
            let lock = root.path().join("lock");
            let mut holder = Command::new("flock");
            holder.arg(&lock).args(["sh", "-c", &format!("echo; sleep {held}")]);
            let mut holder = holder.stdout(Stdio::piped()).spawn().unwrap();
            // It has the lock once it says something.
            holder.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            let script = include_str!("lock.sh").replace("/run/deploy", &root.path().to_string_lossy());
            let mut taker = Command::new("sh");
            let said = taker.args(["-c", &script]).env("OWNER", "x").stdin(Stdio::null()).output().unwrap();
            holder.wait().unwrap();
            String::from_utf8(said.stdout).unwrap()
        };
        assert!(taken_while("0.2").starts_with("locked "));
        assert_eq!(taken_while("1.5"), "held \n");
    }

    #[test]
    fn a_node_says_how_long_no_step_was_at_work() {
        assert_eq!(idle("locked 1700000010 1700000003"), Duration::from_secs(7));
        assert_eq!(idle("locked 1700000010 1700000011"), Duration::ZERO);
        assert_eq!(idle("locked 1700000010"), Duration::MAX);
    }

    #[tokio::test]
    async fn without_a_node_nothing_is_lost() {
        let mut lock = Lock::take(&Hosts::new(), &Owner("x".into())).await.unwrap();
        let mut lost = None;
        lock.during(async {}, |node| lost = Some(node)).await;
        assert_eq!(lost, None);
    }
}
