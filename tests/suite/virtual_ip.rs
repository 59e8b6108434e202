//! The virtual address: whose it may not be, that it is never held twice unseen, and that clients get over its move.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::cluster::Cluster;
use crate::figures;
use crate::outsider::Outsider;
use crate::redis_writer::RedisWriters;
use crate::writer::{Access, Writer};

/// One knock that nobody hears takes this long, with a request in it.
const KNOCK: Duration = Duration::from_millis(400);
/// A machine that is no member and has this address.
const STRANGER: u8 = 199;

fn address(cluster: &Cluster) -> Result<String> {
    cluster.virtual_ip().context("the cluster has no virtual address")
}

/// The one node that holds the address, as `status` says.
pub fn holder(cluster: &Cluster) -> Result<String> {
    let status = cluster.attempt(&["status", "--json"])?.json()?;
    let holders =
        status["virtual_ips"][0]["holders"].as_array().context("status knows no virtual address")?;
    match holders.as_slice() {
        [one] => Ok(one.as_str().unwrap_or_default().to_owned()),
        other => Err(anyhow!("the virtual address is held by {other:?}")),
    }
}

/// An address that another machine has, and one outside of every network: refused by every plan, with their place.
pub fn refused(cluster: &mut Cluster) -> Result<String> {
    let stranger = Outsider::new(cluster, STRANGER)?;
    let taken = format!("{}.{STRANGER}", cluster.shape.subnet);
    let cases = [(taken.as_str(), "answers to"), ("198.51.100.7", "is in no network of")];
    for (address, because) in cases {
        cluster.write(&[("virtual_ip", address)])?;
        let refused = cluster.refuse(&["plan"], &[address, because, "cluster.yaml:", "^", "hint:"]);
        cluster.write(&[])?;
        refused?;
    }
    drop(stranger);
    cluster.settled()?;
    Ok("an address that another machine has, and one of no network".into())
}

/// An address that a second node has is seen by `verify`, and so is one that nobody has.
pub fn held_twice(cluster: &mut Cluster) -> Result<String> {
    let address = address(cluster)?;
    let first = holder(cluster)?;
    let second = cluster.of_kind("manager").into_iter().find(|node| *node != first).context("one manager")?;
    let device = cluster.on(second, "ip -o -4 route show default | awk '{ print $5; exit }'")?;
    cluster.on(second, &format!("ip address add {address}/32 dev {device}"))?;
    let verify = cluster.attempt(&["verify"])?;
    cluster.on(second, &format!("ip address delete {address}/32 dev {device}"))?;
    verify.ended(8)?;
    let line =
        verify.stdout.lines().find(|line| line.starts_with("FAIL") && line.contains("keepalived/holder"));
    ensure!(line.is_some_and(|line| line.contains("at once")), "verify does not see it: {}", verify.stdout);
    let managers = cluster.of_kind("manager");
    cluster.on_all(&managers, "systemctl stop keepalived")?;
    let verify = cluster.attempt(&["verify"])?;
    cluster.on_all(&managers, "systemctl start keepalived")?;
    verify.ended(8)?;
    ensure!(verify.stdout.contains("nobody holds"), "verify does not see it: {}", verify.stdout);
    cluster.healthy_within(Duration::from_secs(60))?;
    Ok("held by two, and by none: `verify` says so".into())
}

/// The manager that holds the address loses its power under clients of all kinds: through PgBouncer, straight to the
/// address, of Redis, and such as ask an application.
pub fn moved(cluster: &mut Cluster) -> Result<String> {
    let address = address(cluster)?;
    let first = holder(cluster)?;
    let pooled = Writer::start(cluster)?;
    let straight = Writer::start_by(Access::through(cluster, &address)?)?;
    let redis = RedisWriters::start(cluster)?;
    let port = |number: u16| Door::watch(knocks(format!("{address}:{number}").parse().ok()?));
    let request = asks(&address, &cluster.authority()?);
    let doors: Vec<Door> = [port(5000), port(443), Door::watch(request)].into_iter().flatten().collect();
    ensure!(doors.len() == 3, "{address} answers at {} of three ports", doors.len());
    cluster.lab("kill", &[&first])?;
    sleep(Duration::from_secs(6));
    let flows = pooled.flows_within(Duration::from_secs(20));
    let also = straight.flows_within(Duration::from_secs(20));
    cluster.lab("start", &[&first])?;
    flows.and(also)?;
    redis.flow_within(Duration::from_secs(20))?;
    let healthy = cluster.healthy_within(Duration::from_secs(90))?;
    let gaps: Vec<Duration> = doors.into_iter().map(Door::longest).collect::<Result<_>>()?;
    let longest = gaps.iter().max().copied().unwrap_or_default();
    let (promise, slack) = (Duration::from_secs(3), Duration::from_secs(3));
    ensure!(longest <= promise + KNOCK, "the address was closed for {:.2} s", longest.as_secs_f64());
    for (by, outcome) in redis.finish()? {
        let what = format!("the same, Redis by {by}");
        figures::record(&what, outcome, promise, slack, healthy)?;
    }
    figures::record(
        "manager with the virtual address killed, by PgBouncer",
        pooled.finish()?,
        promise,
        slack,
        healthy,
    )?;
    // A client notices that its connection is gone by its own timeout, and comes again.
    let note = figures::record(
        "the same, straight to the virtual address",
        straight.finish()?,
        promise + Duration::from_secs(3),
        slack,
        healthy,
    )?;
    let second = holder(cluster)?;
    ensure!(second != first, "{first} took the address back");
    cluster.settled()?;
    Ok(format!(
        "from {first} to {second}: closed for {:.2} s at most; straight: {note}",
        longest.as_secs_f64()
    ))
}

/// Whether a port opens.
fn knocks(target: SocketAddr) -> impl Fn() -> bool + Send {
    move || TcpStream::connect_timeout(&target, Duration::from_millis(200)).is_ok()
}

/// Whether an application answers.
fn asks(address: &str, authority: &Path) -> impl Fn() -> bool + Send + 'static {
    let (resolved, authority) = (format!("shop.lab.test:443:{address}"), authority.to_owned());
    move || {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--noproxy", "*", "--connect-timeout", "0.2", "--max-time", "1"]);
        curl.args(["--resolve", &resolved, "--cacert"]).arg(&authority).arg("https://shop.lab.test/");
        curl.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

/// The manager that holds the address loses its Sentinel, and so the way to the primary of Redis: another one takes over.
pub fn follows_redis(cluster: &mut Cluster) -> Result<String> {
    let address = address(cluster)?;
    let first = holder(cluster)?;
    cluster.on(&first, "systemctl stop redis-sentinel")?;
    let begun = Instant::now();
    let moved = loop {
        match holder(cluster) {
            Ok(now) if now != first => break Ok(now),
            _ if begun.elapsed() > Duration::from_secs(30) => {
                break Err(anyhow!("{first} keeps the address"));
            }
            _ => sleep(Duration::from_millis(500)),
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    let password = cluster.secret("redis/app")?;
    let ping = format!(
        "REDISCLI_AUTH='{password}' timeout 5 redis-cli --tls --cacert /etc/haproxy/tls/ca.crt -h {address} -p 6379 --user app PING"
    );
    let said = moved.and_then(|now| Ok((cluster.on(&now, &ping)?, now)));
    cluster.on(&first, "systemctl start redis-sentinel")?;
    let (said, second) = said?;
    ensure!(said.ends_with("PONG"), "{address} leads to no Redis: {said}");
    cluster.healthy_within(Duration::from_secs(60))?;
    ensure!(holder(cluster)? == second, "{first} took the address back");
    Ok(format!("from {first} to {second} in {seconds:.1} s"))
}

/// A port that is knocked at without end.
struct Door {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Door {
    /// None where nobody opens: 443 is there with applications only.
    fn watch(knock: impl Fn() -> bool + Send + 'static) -> Option<Self> {
        if !knock() {
            return None;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !told.load(Ordering::Relaxed) {
                if knock() {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                sleep(Duration::from_millis(20));
            }
            longest.max(last.elapsed())
        });
        Some(Self { stop, thread })
    }

    /// The longest time between two answers.
    fn longest(self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("a prober panicked"))
    }
}
