//! The way of the clients: HAProxy's servers and PgBouncer's pools.

use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use super::attention::Notes;
use crate::cluster::NodeName;
use crate::inventory::REDIS;
use crate::live::{self, ClientPool, ProxyServer};

/// Seconds that a client may wait for a server before somebody should look.
const LONG_WAIT: u64 = 2;

/// The proxy that leads to the leader.
const LEADER: &str = "leader";
/// The one that leads to the primary of Redis, and names its servers by their addresses.
const REDIS_PROXY: &str = "redis";

/// The other HAProxys, by which the virtual address goes: nobody is led there.
const REDIS_ELSEWHERE: &str = "redis-elsewhere";

/// HAProxy on one node.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HaproxyStatus {
    /// The node.
    pub node: NodeName,
    /// Its unit runs; none where the node does not answer.
    pub running: Option<bool>,
    /// What it leads to, in the order of its configuration.
    pub backends: Vec<Backend>,
}

/// One way through HAProxy.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Backend {
    /// Its name in the configuration.
    pub name: String,
    /// The port that clients come to, for the names that the role `haproxy` gives.
    pub port: Option<u16>,
    /// Its servers.
    pub servers: Vec<ProxyServer>,
}

impl Backend {
    /// The servers that get connections.
    pub fn up(&self) -> impl Iterator<Item = &ProxyServer> {
        self.servers.iter().filter(|server| server.up && !server.backup)
    }
}

/// PgBouncer on one node.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PgbouncerStatus {
    /// The node.
    pub node: NodeName,
    /// Its unit runs; none where the node does not answer.
    pub running: Option<bool>,
    /// Databases that clients can ask for.
    pub databases: Vec<String>,
    /// Databases that are paused or disabled.
    pub paused: Vec<String>,
    /// Pools that have been used.
    pub pools: Vec<ClientPool>,
}

pub fn haproxy(view: &View<'_>, leader: Option<&NodeName>, notes: &mut Notes) -> Vec<HaproxyStatus> {
    let mut all = Vec::new();
    let resting = live::resting_groups(view.source, &view.answers.observed);
    for (node, _) in view.source.cluster.with_role("haproxy") {
        let servers = live::proxy_servers(&view.answers.observed, node);
        let running = view.running(node, "haproxy");
        let journal = view.remedies.journal(node, "haproxy");
        if running == Some(true) && servers.is_none() {
            notes.warning(
                Some(node),
                "HAProxy does not answer on its administration socket",
                journal.clone(),
            );
        }
        let backends = backends(view, servers.unwrap_or_default());
        // Without a leader nothing behind it can be up, and that is told of already; a group that is not live may be down.
        let told = |backend: &&Backend| leader.is_some() && !resting.contains(&backend.name);
        for backend in backends.iter().filter(told) {
            let up: Vec<&str> = backend.up().map(|server| server.name.as_str()).collect();
            let fault = match (backend.name == LEADER, up.as_slice()) {
                (true, [one]) if leader.is_some_and(|leader| leader.as_str() != *one) => {
                    Some(format!("its HAProxy leads writes to {one}, which does not lead"))
                }
                (true, [_, _, ..]) => {
                    Some(format!("its HAProxy sees more than one leader: {}", up.join(", ")))
                }
                _ if backend.name == REDIS_PROXY && up.len() != 1 => Some(match up.as_slice() {
                    [] => "its HAProxy leads to no primary of Redis".to_owned(),
                    _ => format!("its HAProxy sees more than one primary of Redis: {}", up.join(", ")),
                }),
                _ if backend.name == REDIS_PROXY => None,
                // A leader alone has no replicas to be led to.
                (leads, [])
                    if leads
                        || backend.port == Some(443)
                        || backend.servers.iter().filter(|server| !server.backup).count() > 1 =>
                {
                    Some(format!("its HAProxy has no server for {}", backend.name))
                }
                _ => None,
            };
            if let Some(what) = fault {
                notes.warning(Some(node), what, journal.clone());
            }
        }
        all.push(HaproxyStatus { node: node.clone(), running, backends });
    }
    all
}

fn backends(view: &View<'_>, servers: Vec<ProxyServer>) -> Vec<Backend> {
    let mut all: Vec<Backend> = Vec::new();
    for mut server in servers.into_iter().filter(|server| server.proxy != REDIS_ELSEWHERE) {
        if let Some(node) = server.name.parse().ok().and_then(|at| live::redis_node_at(view.source, at)) {
            server.name = node.to_string();
        }
        if let Some(backend) = all.iter_mut().find(|backend| backend.name == server.proxy) {
            backend.servers.push(server);
            continue;
        }
        let port = match server.proxy.as_str() {
            LEADER => Some(5000),
            "replicas" => Some(5001),
            "members" => Some(5002),
            REDIS_PROXY => Some(REDIS),
            name if name.starts_with("app.") => Some(443),
            _ => None,
        };
        all.push(Backend { name: server.proxy.clone(), port, servers: vec![server] });
    }
    all
}

pub fn pgbouncer(view: &View<'_>, notes: &mut Notes) -> Vec<PgbouncerStatus> {
    let mut all = Vec::new();
    for (node, _) in view.source.cluster.with_role("pgbouncer") {
        let console = live::console(&view.answers.observed, node);
        let running = view.running(node, "pgbouncer");
        if running == Some(true) && console.is_none() {
            let journal = view.remedies.journal(node, "pgbouncer");
            notes.warning(Some(node), "PgBouncer does not answer on its socket", journal);
        }
        let console = console.unwrap_or_default();
        let waiting: u64 = console.pools.iter().map(|pool| pool.clients_waiting).sum();
        let longest = console.pools.iter().map(|pool| pool.max_wait_seconds).max().unwrap_or_default();
        if waiting > 0 && longest >= LONG_WAIT {
            let what = format!("{waiting} clients of PgBouncer wait for a server, the first for {longest} s");
            notes.warning(Some(node), what, psql(view, node, "SHOW POOLS"));
        }
        if !console.paused.is_empty() {
            let what = format!("PgBouncer holds back the clients of {}", console.paused.join(", "));
            notes.warning(Some(node), what, psql(view, node, "RESUME"));
        }
        let (databases, paused, pools) = (console.databases, console.paused, console.pools);
        all.push(PgbouncerStatus { node: node.clone(), running, databases, paused, pools });
    }
    all
}

/// A command for PgBouncer's console.
fn psql(view: &View<'_>, node: &NodeName, what: &str) -> String {
    let psql = "runuser -u postgres -- psql -h /var/run/postgresql -p 6432 -U pgbouncer pgbouncer";
    view.remedies.on(node, &format!("{psql} -c \"{what}\""))
}
