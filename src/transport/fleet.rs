//! All nodes of a cluster over SSH: how each is logged in to, and what they share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openssh::{ControlPersist, KnownHosts, SessionBuilder};

use super::shared::Place;
use super::ssh::{Ssh, Way};
use super::turns::Turns;
use super::{Host, Login, Trace, resolve};
use crate::cluster::{Cluster, NodeName};

/// All nodes of a cluster.
pub struct Fleet {
    hosts: BTreeMap<NodeName, Arc<Ssh>>,
    _sockets: tempfile::TempDir,
}

impl Fleet {
    /// Prepares a connection to every node; none is opened yet. `dir` is the inventory's folder; what is said to the
    /// nodes is recorded in `trace`.
    pub fn new(cluster: &Cluster, dir: &Path, trace: Option<Trace>) -> std::io::Result<Self> {
        let trace = trace.map(Arc::new);
        let turns = Arc::new(Turns::new());
        allow_files();
        // A socket path has about 100 bytes, so the folder is as short as it can be.
        let sockets = tempfile::Builder::new().prefix("dp").tempdir_in("/tmp")?;
        let ssh = &cluster.inventory.ssh;
        let connect_timeout = Duration::from_secs(ssh.connect_timeout.into());
        let settings = settings(ssh.config.as_ref().map(|config| resolve(dir, config)));
        let mut hosts = BTreeMap::new();
        for (name, node) in &cluster.nodes {
            let login = Login::new(ssh, dir, node);
            let mut builder = SessionBuilder::default();
            builder
                .known_hosts_check(KnownHosts::Strict)
                .connect_timeout(connect_timeout)
                .server_alive_interval(Duration::from_secs(5))
                .control_persist(persist(ssh.reuse))
                .control_directory(sockets.path())
                .user(ssh.user.clone());
            if let Some(port) = login.port {
                builder.port(port);
            }
            if let Some(key) = &login.key {
                builder.keyfile(key);
            }
            if let Some(config) = &login.config {
                builder.config_file(config);
            }
            let port = login.port.unwrap_or_default().to_string();
            let key = login.key.as_ref().map(|key| key.display().to_string()).unwrap_or_default();
            let reused =
                (ssh.reuse > 0).then(|| Place::of(&[&login.host, &login.user, &port, &key, &settings]));
            let way = Way {
                name: name.to_string(),
                login,
                builder,
                root: ssh.user == "root",
                place: reused.flatten(),
                connect_timeout,
            };
            hosts.insert(name.clone(), Arc::new(Ssh::new(way, &turns, trace.clone())));
        }
        Ok(Self { hosts, _sockets: sockets })
    }

    /// Leaves only the nodes that are `meant`.
    pub fn keep(&mut self, meant: impl Fn(&NodeName) -> bool) {
        self.hosts.retain(|node, _| meant(node));
    }

    /// The host of a node.
    pub fn host(&self, node: &NodeName) -> Option<Arc<dyn Host>> {
        self.hosts.get(node).map(|host| Arc::clone(host) as Arc<dyn Host>)
    }

    /// All hosts by node.
    pub fn hosts(&self) -> BTreeMap<NodeName, Arc<dyn Host>> {
        self.hosts.iter().map(|(name, host)| (name.clone(), Arc::clone(host) as Arc<dyn Host>)).collect()
    }

    /// Remote executions so far, by node.
    pub fn executions(&self) -> BTreeMap<NodeName, usize> {
        self.hosts.iter().map(|(name, host)| (name.clone(), host.executions())).collect()
    }
}

/// Lets this process have as many open files as the system allows it: a node takes several.
fn allow_files() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Refused, it is enough for fewer nodes.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// How long a connection stays when nothing goes over it. One that ends with its run has a minute, for its pauses.
fn persist(reuse: u16) -> ControlPersist {
    let seconds = std::num::NonZeroUsize::new(reuse.into());
    ControlPersist::IdleFor(seconds.unwrap_or(std::num::NonZeroUsize::MIN.saturating_add(59)))
}

/// What the SSH client is told besides our own options, to tell one way to log in from another.
fn settings(config: Option<PathBuf>) -> String {
    let file = config.or_else(|| Some(std::env::home_dir()?.join(".ssh/config")));
    let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let agent = std::env::var("SSH_AUTH_SOCK").unwrap_or_default();
    format!("{}\n{agent}\n{text}", file.unwrap_or_default().display())
}
