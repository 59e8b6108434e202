//! SSH by the machine's own OpenSSH client: its configuration, agent, jump hosts and known host keys are honoured.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use openssh::{Child, Session, SessionBuilder, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{OnceCell, Semaphore};

use super::plain::plain;
use super::shared::Place;
use super::turns::Turns;
use super::{Exec, Failure, Host, Login, Reply, Trace};

/// Commands at once over one connection: servers refuse more than ten (`MaxSessions`), and a person may use one too.
const SESSIONS: usize = 8;
/// So many bytes may a node say: it is not to take the memory of this machine.
const MOST: u64 = 64 << 20;
/// How much longer than the node's own deadline we wait for its answer.
const GRACE: Duration = Duration::from_secs(15);

/// One node over SSH. Connects at the first command, or goes on over a connection of an earlier run.
pub struct Ssh {
    way: Way,
    shared: OnceCell<Option<Arc<Session>>>,
    /// A connection of this run alone.
    own: OnceCell<Arc<Session>>,
    permits: Semaphore,
    turns: Arc<Turns>,
    executions: AtomicUsize,
    /// Commands whose answers are waited for.
    asking: AtomicUsize,
    trace: Option<Arc<Trace>>,
}

/// How one logs in to a node.
pub struct Way {
    /// The node.
    pub name: String,
    /// What the inventory says of it.
    pub login: Login,
    /// With all options.
    pub builder: SessionBuilder,
    /// Commands need no sudo.
    pub root: bool,
    /// Where a connection waits for the next run; `None` where it ends with this one.
    pub place: Option<Place>,
    /// Time for a connection.
    pub connect_timeout: Duration,
}

impl Ssh {
    /// A node that is not connected yet.
    pub fn new(way: Way, turns: &Arc<Turns>, trace: Option<Arc<Trace>>) -> Self {
        Self {
            way,
            shared: OnceCell::new(),
            own: OnceCell::new(),
            permits: Semaphore::new(SESSIONS),
            turns: Arc::clone(turns),
            executions: AtomicUsize::new(0),
            asking: AtomicUsize::new(0),
            trace,
        }
    }

    /// Remote executions so far.
    pub fn executions(&self) -> usize {
        self.executions.load(Ordering::Relaxed)
    }

    /// A connection that others use as well, where there is to be one.
    async fn shared(&self) -> Result<Option<Arc<Session>>, Failure> {
        let Some(place) = &self.way.place else { return Ok(None) };
        let open = async || {
            if let Some(session) = place.resume().await {
                return Ok(Some(Arc::new(session)));
            }
            let _turn = self.turns.log_ins.acquire().await;
            let from = Instant::now();
            let session = place.connect(&self.way.builder, &self.way.login.host).await;
            self.connected(from, session).map(Some)
        };
        self.shared.get_or_try_init(open).await.cloned()
    }

    async fn own(&self) -> Result<Arc<Session>, Failure> {
        self.own.get_or_try_init(|| self.connect()).await.cloned()
    }

    async fn connect(&self) -> Result<Arc<Session>, Failure> {
        let _turn = self.turns.log_ins.acquire().await;
        let from = Instant::now();
        let session = self.way.builder.connect_mux(&self.way.login.host).await;
        self.connected(from, session)
    }

    fn connected(
        &self,
        from: Instant,
        session: Result<Session, openssh::Error>,
    ) -> Result<Arc<Session>, Failure> {
        let session = session.map_err(|error| self.refused(&error));
        if let Some(trace) = &self.trace {
            match &session {
                Ok(_) => trace.connected(&self.way.name, from),
                Err(failure) => trace.refused(&self.way.name, from, &failure.to_string()),
            }
        }
        session.map(Arc::new)
    }

    /// The command has begun; it has not where this fails.
    async fn begin(&self, session: Arc<Session>, exec: &Exec) -> Result<Child<Arc<Session>>, Failure> {
        let mut command = session.arc_raw_command(self.command_line(exec));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let lost = |error| Failure::Lost { node: self.way.name.clone(), reason: chain(&error) };
        command.spawn().await.map_err(lost)
    }

    /// The same over whatever connection there is. One that others use as well may be dead without knowing, or have no
    /// room for another command: then over one of our own.
    async fn begin_anywhere(&self, exec: &Exec) -> Result<Child<Arc<Session>>, Failure> {
        if !self.own.initialized()
            && let Some(session) = self.shared().await?
            && let Ok(Ok(child)) =
                tokio::time::timeout(self.way.connect_timeout, self.begin(session, exec)).await
        {
            return Ok(child);
        }
        self.begin(self.own().await?, exec).await
    }

    fn refused(&self, error: &openssh::Error) -> Failure {
        let reason = chain(error);
        let Way { name, login, .. } = &self.way;
        let (node, target, login, known_as) =
            (name.clone(), login.host.clone(), login.command(), login.known_as());
        if reason.contains("Host key verification failed")
            || reason.contains("HOST IDENTIFICATION HAS CHANGED")
        {
            return Failure::HostKey { node, target, login, known_as };
        }
        Failure::Unreachable { node, target, reason, login }
    }

    /// The command with its deadline, as root.
    fn command_line(&self, exec: &Exec) -> String {
        let timed = format!("timeout -k 5 {} {}", exec.timeout.as_secs().max(1), exec.command);
        // sudo drops what the journal keeps: where the connection comes from.
        if self.way.root { timed } else { format!("sudo -n env SSH_CONNECTION=\"$SSH_CONNECTION\" {timed}") }
    }

    /// Gives a command that has begun its input, and waits for its end.
    async fn finish(&self, mut child: Child<Arc<Session>>, mut exec: Exec) -> Result<Reply, Failure> {
        self.executions.fetch_add(1, Ordering::Relaxed);
        let (from, sent) = (Instant::now(), exec.stdin.len());
        let deadline = exec.timeout + GRACE;
        let lost = |reason: String| Failure::Lost { node: self.way.name.clone(), reason };
        let work = async {
            let input = std::mem::take(&mut exec.stdin);
            let stdin = child.stdin().take();
            let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A command that ends early closes its input; its status tells why.
                    let _ = stdin.write_all(&input).await;
                    if let Some(hold) = exec.hold.take() {
                        keep_open(&mut stdin, hold).await;
                    }
                    let _ = stdin.shutdown().await;
                }
                Ok(())
            };
            let too_much = || lost(format!("it says more than {} MiB", MOST >> 20));
            let read = async {
                let mut text = String::new();
                if let Some(stdout) = stdout {
                    let mut reader = BufReader::new(stdout.take(MOST));
                    let mut line = Vec::new();
                    while matches!(reader.read_until(b'\n', &mut line).await, Ok(n) if n > 0) {
                        let piece = plain(&line);
                        if let Some(lines) = &exec.lines {
                            let _ = lines.send(piece.trim_end_matches('\n').to_owned());
                        }
                        text.push_str(&piece);
                        line.clear();
                    }
                    if reader.into_inner().limit() == 0 {
                        return Err(too_much());
                    }
                }
                Ok(text)
            };
            let read_errors = async {
                let mut bytes = Vec::new();
                if let Some(stderr) = stderr {
                    let mut stderr = stderr.take(MOST);
                    let _ = stderr.read_to_end(&mut bytes).await;
                    if stderr.limit() == 0 {
                        return Err(too_much());
                    }
                }
                Ok(plain(&bytes))
            };
            let ((), stdout, stderr) = tokio::try_join!(write, read, read_errors)?;
            let status = match child.wait().await {
                Ok(status) => status.code(),
                Err(openssh::Error::RemoteProcessTerminated) => None,
                // The node's shell ended with 127.
                Err(openssh::Error::Remote(_)) if !self.way.root => {
                    let reason = "there is no sudo on it".to_owned();
                    return Err(Failure::Sudo { node: self.way.name.clone(), reason });
                }
                Err(error) => return Err(lost(chain(&error))),
            };
            Ok(Reply { status, stdout, stderr })
        };
        let reply = tokio::time::timeout(deadline, work)
            .await
            .map_err(|_| Failure::Timeout { node: self.way.name.clone(), seconds: deadline.as_secs() })??;
        if let Some(trace) = &self.trace {
            trace.executed(&self.way.name, from, sent, reply.stdout.len());
        }
        match no_root(&reply).filter(|_| !self.way.root) {
            Some(reason) => Err(Failure::Sudo { node: self.way.name.clone(), reason }),
            None => Ok(reply),
        }
    }
}

/// Counts something for as long as it lasts, however it ends.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What sudo said, where it did not run the command. It may also warn of a name that it cannot resolve and go on.
fn no_root(reply: &Reply) -> Option<String> {
    let failed = reply.status == Some(1) && reply.stdout.is_empty();
    let refusal = |line: &&str| line.starts_with("sudo:") && !line.contains("unable to resolve host");
    reply.stderr.lines().find(refusal).filter(|_| failed).map(|line| line.trim().to_owned())
}

/// Writes a heartbeat until the hold ends.
async fn keep_open(stdin: &mut openssh::ChildStdin, mut hold: tokio::sync::watch::Receiver<bool>) {
    let released = async move {
        let _ = hold.wait_for(|released| *released).await;
    };
    let beat = async {
        let mut beat = tokio::time::interval(Duration::from_secs(5));
        while stdin.write_all(b"\n").await.is_ok() && stdin.flush().await.is_ok() {
            beat.tick().await;
        }
    };
    tokio::select! {
        () = released => {}
        () = beat => {}
    }
}

impl Host for Ssh {
    fn name(&self) -> &str {
        &self.way.name
    }

    fn busy(&self) -> bool {
        self.asking.load(Ordering::Relaxed) > 0
    }

    fn run<'a>(&'a self, exec: Exec) -> Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>> {
        Box::pin(async move {
            let lost =
                |reason: &str| Failure::Lost { node: self.way.name.clone(), reason: reason.to_owned() };
            let _asking = exec.hold.is_none().then(|| Counted::new(&self.asking));
            let _permit = self.permits.acquire().await.map_err(|_| lost("the run is ending"))?;
            // Who only holds something gives his turn to nobody.
            let _turn = if exec.hold.is_none() { self.turns.commands.acquire().await.ok() } else { None };
            let child = self.begin_anywhere(&exec).await?;
            self.finish(child, exec).await
        })
    }

    fn run_fresh<'a>(
        &'a self,
        exec: Exec,
    ) -> Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>> {
        Box::pin(async move {
            let _asking = Counted::new(&self.asking);
            let child = self.begin(self.connect().await?, &exec).await?;
            self.finish(child, exec).await
        })
    }
}

/// An error with all its causes on one line, the way SSH's own words are easiest to read.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(cause_text.trim());
        }
        source = cause.source();
    }
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: i32, stdout: &str, stderr: &str) -> Option<String> {
        no_root(&Reply { status: Some(status), stdout: stdout.into(), stderr: stderr.into() })
    }

    #[test]
    fn sudo_that_refuses_is_told_from_a_command_that_fails() {
        let asks = "sudo: a password is required";
        let warns = "sudo: unable to resolve host n1: Name or service not known\n";
        assert_eq!(refused(1, "", asks).as_deref(), Some(asks));
        assert_eq!(refused(1, "", &format!("{warns}{asks}\n")).as_deref(), Some(asks));
        assert_eq!(refused(1, "! 0 1\n", warns), None);
        assert_eq!(refused(1, "", warns), None);
        assert_eq!(refused(0, "done\n", warns), None);
    }
}
