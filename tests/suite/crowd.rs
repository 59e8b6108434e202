//! Five thousand clients, half of them at work, through a switchover: nobody is refused, and nobody is let go of.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::cluster::Cluster;
use crate::failures;
use crate::writer::Access;

const CLIENTS: usize = 5000;
/// Log-ins that are under way at a time.
const LOG_INS: usize = 32;
/// Between two transactions of a client.
const PAUSE: Duration = Duration::from_secs(10);
/// How much later each client begins than the one before it: they fill the pause.
const STAGGER: Duration = Duration::from_millis(2);
/// Nobody waits longer for a transaction.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a crowd has gone through.
#[derive(Default)]
struct Tally {
    transactions: AtomicUsize,
    errors: AtomicUsize,
    slowest: Mutex<Duration>,
}

pub fn crowd(cluster: &mut Cluster) -> Result<String> {
    let files = CLIENTS as u64 + 1024;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let maximum = limit.maximum.map(|maximum| maximum.max(files));
        setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum })?;
    }
    let ways: Vec<Access> =
        cluster.of_kind("app").iter().map(|node| Access::new(cluster, &[node])).collect::<Result<_>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let first = ways.first().context("there is no app node")?.connect().await?;
        first.batch_execute("create table if not exists held (at timestamptz)").await?;
        anyhow::Ok(())
    })?;
    let begun = Instant::now();
    let clients = runtime.block_on(log_in(&ways))?;
    let connected = begun.elapsed();
    let stop = Arc::new(AtomicBool::new(false));
    let tally = Arc::new(Tally::default());
    let (busy, idle): (Vec<_>, Vec<_>) =
        clients.into_iter().enumerate().partition(|(number, _)| number % 4 < 2);
    let mut at_work = JoinSet::new();
    for (number, client) in busy {
        let (stop, tally) = (Arc::clone(&stop), Arc::clone(&tally));
        at_work.spawn_on(work(client, number, stop, tally), runtime.handle());
    }
    std::thread::sleep(PAUSE);
    let before = tally.errors.load(Ordering::Relaxed);
    let (leader, candidate) = failures::switch_over(cluster)?;
    std::thread::sleep(PAUSE + PAUSE);
    stop.store(true, Ordering::Relaxed);
    let mut gone = 0;
    runtime.block_on(async {
        while let Some(client) = at_work.join_next().await {
            gone += usize::from(client.is_ok_and(|client| client.is_closed()));
        }
        gone += idle.iter().filter(|(_, client)| client.is_closed()).count();
    });
    let (transactions, errors) =
        (tally.transactions.load(Ordering::Relaxed), tally.errors.load(Ordering::Relaxed));
    drop(idle);
    let slowest = tally.slowest.lock().map(|slowest| *slowest).unwrap_or_default();
    ensure!(before == 0, "{before} transactions failed before the switchover");
    ensure!(gone == 0, "{gone} of {CLIENTS} connections were cut");
    // A transaction that is under way when the leader goes cannot be saved.
    ensure!(errors * 20 < transactions, "{errors} of {transactions} transactions failed");
    cluster.settled()?;
    Ok(format!(
        "{CLIENTS} connected in {:.0} s, none refused, none cut; {leader} to {candidate} under {transactions} \
         transactions: {errors} failed, the slowest took {:.1} s",
        connected.as_secs_f64(),
        slowest.as_secs_f64()
    ))
}

/// Everybody connects, by the ways in turn; an error where one is refused.
async fn log_in(ways: &[Access]) -> Result<Vec<Client>> {
    let turns = Arc::new(Semaphore::new(LOG_INS));
    let mut waiting = JoinSet::new();
    for number in 0..CLIENTS {
        let (turns, access) = (Arc::clone(&turns), ways[number % ways.len()].clone());
        waiting.spawn(async move {
            let _turn = turns.acquire().await;
            access.connect().await.with_context(|| format!("client {number} is refused"))
        });
    }
    let mut clients = Vec::new();
    while let Some(client) = waiting.join_next().await {
        clients.push(client??);
    }
    Ok(clients)
}

/// Short transactions, each client at a time of its own.
async fn work(client: Client, number: usize, stop: Arc<AtomicBool>, tally: Arc<Tally>) -> Client {
    tokio::time::sleep(STAGGER * u32::try_from(number).unwrap_or_default()).await;
    while !stop.load(Ordering::Relaxed) && !client.is_closed() {
        let begun = Instant::now();
        let statements = "begin; insert into held values (clock_timestamp()); commit";
        let done = tokio::time::timeout(PATIENCE, client.batch_execute(statements)).await;
        tally.transactions.fetch_add(1, Ordering::Relaxed);
        if !matches!(done, Ok(Ok(()))) {
            tally.errors.fetch_add(1, Ordering::Relaxed);
        }
        if let Ok(mut slowest) = tally.slowest.lock() {
            *slowest = slowest.max(begun.elapsed());
        }
        tokio::time::sleep(PAUSE.saturating_sub(begun.elapsed())).await;
    }
    client
}
