//! Sessions that stay open through whatever happens, one on each app node: their connections may not break and none of
//! their statements may fail.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::cluster::Cluster;
use crate::writer::{Access, runtime};

/// A statement that takes longer has failed. One that waits out a switchover on a busy machine takes four seconds.
const PATIENCE: Duration = Duration::from_secs(10);

const WRITE: &str = "insert into held values (clock_timestamp())";
/// Whether it is a replica that answers.
const READ: &str = "select pg_is_in_recovery() from held limit 1";

/// What a session does while it is held.
#[derive(Clone, Copy)]
enum Work {
    /// A statement of its own, ten times a second: it may come to PostgreSQL by another way each time.
    Writes,
    /// The same from a replica, a question.
    Reads,
    /// One transaction with a statement once a second: the way to PostgreSQL may not break anywhere.
    Transaction,
    /// One transaction that says nothing until its end.
    Silence,
    /// A new connection every second, by the authorities in the client's file at that moment.
    Visits,
}

/// Sessions that are at work.
pub struct Held {
    stop: Arc<AtomicBool>,
    sessions: Vec<(String, JoinHandle<Result<Answered>>)>,
}

/// What the sessions have asked.
#[derive(Clone, Copy, Default)]
pub struct Answered {
    statements: usize,
    slowest: Duration,
}

impl Answered {
    fn count(&mut self, taken: Duration) {
        self.statements += 1;
        self.slowest = self.slowest.max(taken);
    }
}

impl std::ops::AddAssign for Answered {
    fn add_assign(&mut self, other: Self) {
        self.statements += other.statements;
        self.slowest = self.slowest.max(other.slowest);
    }
}

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slowest = self.slowest.as_secs_f64();
        write!(f, "{} statements of clients, all answered, the slowest after {slowest:.1} s", self.statements)
    }
}

impl Held {
    /// On each app node a session that writes.
    pub fn writes(cluster: &Cluster) -> Result<Self> {
        Self::start(cluster, &[Work::Writes])
    }

    /// On each app node a session that writes, and one that reads from replicas.
    pub fn writes_and_reads(cluster: &Cluster) -> Result<Self> {
        Self::start(cluster, &[Work::Writes, Work::Reads])
    }

    /// On each app node a session that writes, one in a transaction, and one in a transaction that is silent.
    pub fn all(cluster: &Cluster) -> Result<Self> {
        Self::start(cluster, &[Work::Writes, Work::Transaction, Work::Silence])
    }

    /// On each app node clients that come and go.
    pub fn visits(cluster: &Cluster) -> Result<Self> {
        Self::start(cluster, &[Work::Visits])
    }

    fn start(cluster: &Cluster, works: &[Work]) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut sessions = Vec::new();
        let (ready, began) = std::sync::mpsc::channel();
        let access = Access::new(cluster, &cluster.of_kind("app"))?;
        let authority = cluster.dir().join("ca.crt");
        runtime()?.block_on(async {
            let client = access.connect().await?;
            ask(&client, "create table if not exists held (at timestamptz)").await?;
            ask(&client, WRITE).await
        })?;
        for node in cluster.of_kind("app") {
            let access = Access::new(cluster, &[node])?;
            for work in works.iter().copied() {
                let access = access.clone();
                let access = if matches!(work, Work::Reads) { access.reading() } else { access };
                let (stop, ready) = (Arc::clone(&stop), ready.clone());
                let authority = authority.clone();
                let thread = std::thread::spawn(move || {
                    runtime()?.block_on(async {
                        let client = access.connect().await.context("cannot connect")?;
                        let backend = begin(&client, work).await?;
                        let _ = ready.send(());
                        drop(ready);
                        if matches!(work, Work::Visits) {
                            return visit(&access, &authority, &stop).await;
                        }
                        hold(&client, work, &backend, &stop).await
                    })
                });
                sessions.push((node.to_owned(), thread));
            }
        }
        drop(ready);
        let held = Self { stop, sessions };
        // Ends early where one has failed: its sender is gone.
        if began.iter().take(held.sessions.len()).count() < held.sessions.len() {
            held.finish()?;
            return Err(anyhow!("a session did not begin"));
        }
        Ok(held)
    }

    /// Ends the sessions; what they have asked. An error when one of them failed or broke.
    pub fn finish(self) -> Result<Answered> {
        self.stop.store(true, Ordering::Relaxed);
        let mut answered = Answered::default();
        for (node, thread) in self.sessions {
            let ended = thread.join().map_err(|_| anyhow!("a session panicked"))?;
            answered += ended.with_context(|| format!("a session held through {node}"))?;
        }
        Ok(answered)
    }
}

/// Begins the work; says which process of PostgreSQL serves it.
async fn begin(client: &Client, work: Work) -> Result<String> {
    match work {
        Work::Writes | Work::Visits => return ask(client, WRITE).await,
        Work::Reads => return Ok(String::new()),
        Work::Transaction | Work::Silence => {}
    }
    ask(client, "begin").await?;
    ask(client, "select pg_backend_pid()").await
}

async fn hold(client: &Client, work: Work, backend: &str, stop: &AtomicBool) -> Result<Answered> {
    let mut answered = Answered::default();
    let held = Instant::now();
    let mut ask = async |sql: &str| {
        let since = held.elapsed();
        let answer = ask(client, sql).await;
        answered.count(held.elapsed().saturating_sub(since));
        answer.with_context(|| {
            format!(
                "statement {}, `{sql}`, {:.1} s after the first",
                answered.statements,
                since.as_secs_f64()
            )
        })
    };
    while !stop.load(Ordering::Relaxed) {
        match work {
            Work::Writes => drop(ask(WRITE).await?),
            Work::Reads => {
                let replica = ask(READ).await?;
                ensure!(replica == "t", "a question for a replica is answered by the leader");
            }
            Work::Transaction => {
                let now = ask("select pg_backend_pid()").await?;
                ensure!(now == backend, "process {now} serves the transaction of {backend}");
            }
            Work::Silence | Work::Visits => {}
        }
        let pause = if matches!(work, Work::Transaction) { 1000 } else { 100 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    if matches!(work, Work::Transaction | Work::Silence) {
        let now = ask("select pg_backend_pid()").await?;
        ensure!(now == backend, "process {now} serves the transaction of {backend}");
        ask("commit").await?;
    }
    Ok(answered)
}

async fn visit(access: &Access, authority: &Path, stop: &AtomicBool) -> Result<Answered> {
    let mut visits = Answered::default();
    while !stop.load(Ordering::Relaxed) {
        let since = Instant::now();
        let visit = async {
            let client = access.trusting(authority)?.connect().await?;
            ask(&client, "select count(*) from pg_stat_activity").await
        };
        let visit = visit.await;
        visits.count(since.elapsed());
        visit.with_context(|| format!("visit {}", visits.statements))?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(visits)
}

/// The first value of the answer, where there is one.
async fn ask(client: &Client, sql: &str) -> Result<String> {
    let answer = tokio::time::timeout(PATIENCE, client.simple_query(sql)).await;
    let rows = answer.map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))??;
    let value = rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(value.unwrap_or_default().to_owned())
}
