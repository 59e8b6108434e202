//! A client that writes while things break: about 50 inserts a second of rising ids, over verified TLS, through the
//! poolers of all app nodes. It remembers every id that was acknowledged, and when.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::cluster::Cluster;

/// Pause between two inserts.
const PACE: Duration = Duration::from_millis(18);
/// A statement or a log-in that takes longer is given up, as an application would.
const PATIENCE: Duration = Duration::from_secs(3);
/// Nobody waits longer to be let in.
const LOG_IN: Duration = Duration::from_secs(60);
/// Time for one address to answer, short enough to try the next one within [`PATIENCE`].
const NEXT_ADDRESS: Duration = Duration::from_secs(1);

/// A writer at work.
pub struct Writer {
    access: Access,
    run: u64,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    thread: Option<JoinHandle<()>>,
}

/// What a writer has seen.
#[derive(Default)]
struct Tally {
    acknowledged: Vec<u64>,
    last: Option<Instant>,
    longest: Duration,
    errors: Vec<String>,
}

/// How a writer's work came out.
pub struct Outcome {
    pub acknowledged: usize,
    /// Acknowledged and not in the table.
    pub lost: usize,
    /// Longest time between two acknowledgements.
    pub gap: Duration,
    pub errors: Vec<String>,
}

/// How to reach the database `app` as its owner.
#[derive(Clone)]
pub struct Access {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Access {
    /// By the poolers of these nodes.
    pub fn new(cluster: &Cluster, nodes: &[&str]) -> Result<Self> {
        let mut config = Config::new();
        for node in nodes {
            config.host(cluster.address(node)).port(6432);
        }
        config.user("app").dbname("app").password(cluster.secret("postgresql/app")?);
        config.connect_timeout(NEXT_ADDRESS).ssl_mode(tokio_postgres::config::SslMode::Require);
        Ok(Self { config, tls: tls(&cluster.authority()?)? })
    }

    /// To the replicas.
    pub fn reading(mut self) -> Self {
        self.config.dbname("app_ro");
        self
    }

    /// By HAProxy itself at an address.
    pub fn through(cluster: &Cluster, address: &str) -> Result<Self> {
        let mut access = Self::new(cluster, &[])?;
        access.config.host(address).port(5000);
        Ok(access)
    }

    /// The same with the authorities that a file holds now.
    pub fn trusting(&self, authority: &Path) -> Result<Self> {
        Ok(Self { config: self.config.clone(), tls: tls(authority)? })
    }

    /// A new connection; the address that answers first in the order of the nodes.
    pub async fn connect(&self) -> Result<Client> {
        let logged_in = tokio::time::timeout(LOG_IN, self.config.connect(self.tls.clone())).await;
        let (client, connection) =
            logged_in.map_err(|_| anyhow!("no log-in within {} s", LOG_IN.as_secs()))??;
        tokio::spawn(connection);
        Ok(client)
    }
}

fn tls(authority: &Path) -> Result<MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).map_err(|error| anyhow!("{error:?}"))? {
        roots.add(certificate.map_err(|error| anyhow!("{error:?}"))?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

impl Writer {
    /// Makes the table where there is none, begins to write, and returns once a second of writing has gone well.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        Self::start_by(Access::new(cluster, &cluster.of_kind("app"))?)
    }

    /// The same by another way.
    pub fn start_by(access: Access) -> Result<Self> {
        Self::start_patient(access, PATIENCE)
    }

    /// One that waits for an answer as long as an application does that knows what is promised.
    pub fn start_patient(access: Access, patience: Duration) -> Result<Self> {
        runtime()?.block_on(async {
            let client = access.connect().await.context("the writer cannot connect")?;
            client
                .batch_execute(
                    "create table if not exists suite (run bigint, id bigint, primary key (run, id))",
                )
                .await?;
            Ok::<_, anyhow::Error>(())
        })?;
        let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
        let run = u64::try_from(run)?;
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Tally::default())));
        let thread = {
            let (access, stop, tally) = (access.clone(), Arc::clone(&stop), Arc::clone(&tally));
            std::thread::spawn(move || {
                if let Ok(runtime) = runtime() {
                    runtime.block_on(write(&access, run, patience, &stop, &tally));
                }
            })
        };
        let writer = Self { access, run, stop, tally, thread: Some(thread) };
        let begun = Instant::now();
        while writer.acknowledged() < 50 {
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "the writer cannot write: {}",
                writer.errors().join("; ")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(writer)
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.tally.lock().map_or(0, |tally| tally.acknowledged.len())
    }

    fn errors(&self) -> Vec<String> {
        self.tally.lock().map(|tally| tally.errors.clone()).unwrap_or_default()
    }

    /// Waits until writes have gone on for two seconds without a pause of more than half a second.
    pub fn flows_within(&self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let mut smooth_since = Instant::now();
        loop {
            let recent = self.tally.lock().ok().and_then(|tally| tally.last);
            if recent.is_none_or(|last| last.elapsed() > Duration::from_millis(500)) {
                smooth_since = Instant::now();
            }
            if smooth_since.elapsed() > Duration::from_secs(2) {
                return Ok(());
            }
            let errors = self.errors();
            ensure!(begun.elapsed() < limit, "no writes after {} s: {:?}", limit.as_secs(), errors.last());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops writing, and looks for every acknowledged id on the leader.
    pub fn finish(mut self) -> Result<Outcome> {
        self.halt();
        let present: BTreeSet<u64> = runtime()?.block_on(async {
            let client = self.access.connect().await?;
            let rows = client.simple_query(&format!("select id from suite where run = {}", self.run)).await?;
            let ids = rows.iter().filter_map(|row| match row {
                SimpleQueryMessage::Row(row) => row.get(0).and_then(|id| id.parse().ok()),
                _ => None,
            });
            Ok::<_, anyhow::Error>(ids.collect())
        })?;
        let tally = self.tally.lock().map_err(|_| anyhow!("the writer panicked"))?;
        Ok(Outcome {
            acknowledged: tally.acknowledged.len(),
            lost: tally.acknowledged.iter().filter(|id| !present.contains(id)).count(),
            gap: tally.longest,
            errors: tally.errors.clone(),
        })
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.halt();
    }
}

async fn write(access: &Access, run: u64, patience: Duration, stop: &AtomicBool, tally: &Mutex<Tally>) {
    let mut client: Option<Client> = None;
    let mut id = 0;
    while !stop.load(Ordering::Relaxed) {
        id += 1;
        let outcome = tokio::time::timeout(patience, insert(access, &mut client, run, id)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", patience.as_secs())));
        let now = Instant::now();
        let failed = outcome.is_err();
        if let Ok(mut tally) = tally.lock() {
            match outcome {
                Ok(()) => {
                    if let Some(last) = tally.last.replace(now) {
                        tally.longest = tally.longest.max(now - last);
                    }
                    tally.acknowledged.push(id);
                }
                // What follows the first word of PostgreSQL's own is in the cause.
                Err(error) => tally.errors.push(format!("{error:#}")),
            }
        }
        if failed {
            client = None;
        }
        tokio::time::sleep(PACE).await;
    }
    // An outage that has not ended counts as well.
    if let Ok(mut tally) = tally.lock()
        && let Some(last) = tally.last
    {
        tally.longest = tally.longest.max(last.elapsed());
    }
}

async fn insert(access: &Access, client: &mut Option<Client>, run: u64, id: u64) -> Result<()> {
    let client = match client {
        Some(client) => client,
        None => client.insert(access.connect().await?),
    };
    // A simple query: it needs no prepared statement, which not every pooler keeps.
    client.batch_execute(&format!("insert into suite values ({run}, {id})")).await?;
    Ok(())
}
