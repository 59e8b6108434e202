//! Five thousand clients, half of them at work: whatever happens meanwhile, nobody is refused or cut off, and no transaction
//! fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::cluster::Cluster;
use crate::writer::Access;

const CLIENTS: usize = 5000;
/// Log-ins that are under way at a time.
const LOG_INS: usize = 32;
/// Between two transactions of a client.
const PAUSE: Duration = Duration::from_secs(10);
/// How much later each client begins than the one before it: they fill the pause.
const STAGGER: Duration = Duration::from_millis(2);
/// Before a client that was cut off connects anew.
const RETRY: Duration = Duration::from_millis(500);
/// Nobody waits longer for a transaction.
const PATIENCE: Duration = Duration::from_secs(60);
/// README: a transaction waits for no longer than this.
const LONGEST: Duration = Duration::from_secs(15);

/// What a crowd has gone through.
#[derive(Default)]
struct Tally {
    transactions: AtomicUsize,
    /// Transactions that failed, in the words of their errors; the client then connects anew.
    errors: Mutex<BTreeMap<String, usize>>,
    /// Clients that were without a connection when they wanted to go on.
    cut_off: AtomicUsize,
    /// Log-ins of these that failed.
    refused: AtomicUsize,
    slowest: Mutex<Duration>,
}

/// Clients that are connected, and half of them at work.
pub struct Crowd {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
    idle: Vec<Client>,
    at_work: JoinSet<Client>,
    connected: Duration,
}

impl Crowd {
    /// Everybody connects, half of them by each app node, and work begins.
    pub fn gather(cluster: &Cluster) -> Result<Self> {
        let files = CLIENTS as u64 + 1024;
        let limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|current| current < files) {
            let maximum = limit.maximum.map(|maximum| maximum.max(files));
            setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum })?;
        }
        let apps = cluster.of_kind("app");
        let ways: Vec<Access> =
            apps.iter().map(|node| Access::new(cluster, &[node])).collect::<Result<_>>()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let first = ways.first().context("there is no app node")?.connect().await?;
            first.batch_execute("create table if not exists held (at timestamptz)").await?;
            anyhow::Ok(())
        })?;
        let begun = Instant::now();
        let clients = runtime.block_on(log_in(&ways))?;
        let connected = begun.elapsed();
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let (mut at_work, mut idle) = (JoinSet::new(), Vec::new());
        for (number, client) in clients.into_iter().enumerate() {
            if number % 4 >= 2 {
                idle.push(client);
                continue;
            }
            let (access, stop) = (ways[number % ways.len()].clone(), Arc::clone(&stop));
            at_work.spawn_on(work(client, access, number, stop, Arc::clone(&tally)), runtime.handle());
        }
        std::thread::sleep(PAUSE);
        Ok(Self { runtime, stop, tally, idle, at_work, connected })
    }

    /// Everybody has had a turn since, and goes. An error where somebody was cut off who rested, or did not come back, or
    /// where a transaction failed.
    pub fn disperse(mut self) -> Result<String> {
        std::thread::sleep(PAUSE);
        self.stop.store(true, Ordering::Relaxed);
        let mut gone = 0;
        self.runtime.block_on(async {
            while let Some(client) = self.at_work.join_next().await {
                gone += usize::from(!client.is_ok_and(|client| !client.is_closed()));
            }
        });
        let cut = self.idle.iter().filter(|client| client.is_closed()).count();
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let Tally { transactions, errors, cut_off, refused, slowest } = &*self.tally;
        let (transactions, cut_off, refused) = (count(transactions), count(cut_off), count(refused));
        let errors = errors.lock().map(|errors| errors.clone()).unwrap_or_default();
        let slowest = slowest.lock().map(|slowest| *slowest).unwrap_or_default();
        ensure!(cut == 0, "{cut} connections were cut though they rested");
        ensure!(gone == 0, "{gone} clients did not come back");
        ensure!(
            cut_off == 0 && refused == 0,
            "{cut_off} were cut off between transactions, and {refused} refused when they came back"
        );
        ensure!(slowest <= LONGEST, "a transaction waited for {:.1} s", slowest.as_secs_f64());
        ensure!(
            errors.is_empty(),
            "of {transactions} transactions some failed, and {refused} log-ins after that: {errors:?}"
        );
        Ok(format!(
            "{CLIENTS} clients connected in {:.0} s, none refused and none cut; {transactions} transactions, none failed, \
             the slowest took {:.1} s",
            self.connected.as_secs_f64(),
            slowest.as_secs_f64()
        ))
    }
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

/// Short transactions, each client at a time of its own; who is cut off connects anew.
async fn work(
    mut client: Client,
    access: Access,
    number: usize,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
) -> Client {
    tokio::time::sleep(STAGGER * u32::try_from(number).unwrap_or_default()).await;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        if client.is_closed() {
            tally.cut_off.fetch_add(1, Ordering::Relaxed);
            let Ok(again) = access.connect().await else {
                tally.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(RETRY).await;
                continue;
            };
            client = again;
        }
        let statements = "begin; insert into held values (clock_timestamp()); commit";
        let done = tokio::time::timeout(PATIENCE, client.batch_execute(statements)).await;
        tally.transactions.fetch_add(1, Ordering::Relaxed);
        let error = match done {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                Some(error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string))
            }
            Err(_) => Some("no answer".into()),
        };
        if let (Some(error), Ok(mut errors)) = (error, tally.errors.lock()) {
            *errors.entry(error).or_default() += 1;
        }
        if let Ok(mut slowest) = tally.slowest.lock() {
            *slowest = slowest.max(begun.elapsed());
        }
        let pause = if client.is_closed() { RETRY } else { PAUSE.saturating_sub(begun.elapsed()) };
        tokio::time::sleep(pause).await;
    }
    client
}
