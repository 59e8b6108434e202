//! The cluster at a glance, from what its nodes said: members, roles, lag, etcd, backends, pools, certificates, and what
//! needs attention with the command for it. Pure; [`crate::ui::status`] draws it, `--json` prints it as it is.

mod applications;
mod attention;
mod certificates;
mod etcd;
mod nodes;
mod postgresql;
mod redis;
mod traffic;
mod virtual_ips;

#[cfg(test)]
pub(crate) mod tests;

pub use applications::{AppServerStatus, ApplicationStatus, GroupStatus};
pub use attention::{Attention, Remedies, Severity};
pub use certificates::CertificateStatus;
pub use etcd::{EtcdMemberStatus, EtcdStatus};
pub use nodes::NodeStatus;
pub use postgresql::{LockGuard, PostgresqlMember, PostgresqlStatus};
pub use redis::{RedisMember, RedisStatus, SentinelStatus};
pub use traffic::{Backend, HaproxyStatus, PgbouncerStatus};
pub use virtual_ips::VirtualIpStatus;

use schemars::JsonSchema;
use serde::Serialize;

use crate::observe::Answers;
use crate::render::{RenderError, Source};
use attention::Notes;

/// The state of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Everything is as it should be.
    Healthy,
    /// Clients are served, and something needs attention.
    Degraded,
    /// Clients cannot write: no leader is known, or no way to it is open.
    Down,
}

/// A cluster at a glance. The names of its fields are the documented keys of `status --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Status {
    /// Name of the cluster.
    pub cluster: String,
    /// The state of the whole.
    pub health: Health,
    /// Every node of the inventory, by name.
    pub nodes: Vec<NodeStatus>,
    /// The members of PostgreSQL; none where no node has the role.
    pub postgresql: Option<PostgresqlStatus>,
    /// The members of etcd; none where no node has the role.
    pub etcd: Option<EtcdStatus>,
    /// The addresses that move between the HAProxy nodes.
    pub virtual_ips: Vec<VirtualIpStatus>,
    /// HAProxy on each node that has it.
    pub haproxy: Vec<HaproxyStatus>,
    /// PgBouncer on each node that has it.
    pub pgbouncer: Vec<PgbouncerStatus>,
    /// Redis and its Sentinels; none where no node has the role.
    pub redis: Option<RedisStatus>,
    /// For each node that has certificates, the one that ends first.
    pub certificates: Vec<CertificateStatus>,
    /// What needs attention, the worst first.
    pub attention: Vec<Attention>,
}

impl Status {
    /// Reads the state of a cluster from what its nodes said.
    pub fn read(
        source: &Source,
        answers: &Answers,
        remedies: &Remedies<'_>,
        now: time::OffsetDateTime,
    ) -> Result<Self, RenderError> {
        let mut found = Notes::default();
        let nodes = nodes::read(source, answers, remedies, &mut found);
        let view = View { source, answers, remedies, nodes: &nodes };
        let postgresql = postgresql::read(&view, &mut found);
        let etcd = etcd::read(&view, &mut found);
        let leader = postgresql.as_ref().and_then(|postgresql| postgresql.leader.as_ref());
        let virtual_ips = virtual_ips::read(&view, &mut found);
        let haproxy = traffic::haproxy(&view, leader, &mut found);
        let pgbouncer = traffic::pgbouncer(&view, &mut found);
        let redis = redis::read(&view, &mut found);
        let certificates = certificates::read(&view, now, &mut found)?;
        let closed =
            |running: Vec<Option<bool>>| !running.is_empty() && running.iter().all(|one| *one == Some(false));
        let down = postgresql.is_some() && leader.is_none()
            || redis.as_ref().is_some_and(|redis| redis.primary.is_none())
            || closed(haproxy.iter().map(|haproxy| haproxy.running).collect())
            || closed(pgbouncer.iter().map(|pgbouncer| pgbouncer.running).collect());
        let attention = found.sorted();
        let health = match attention.first().map(|attention| attention.severity) {
            _ if down => Health::Down,
            Some(Severity::Critical | Severity::Warning) => Health::Degraded,
            Some(Severity::Note) | None => Health::Healthy,
        };
        let cluster = source.cluster.name().to_owned();
        Ok(Self {
            cluster,
            health,
            nodes,
            postgresql,
            etcd,
            virtual_ips,
            haproxy,
            pgbouncer,
            redis,
            certificates,
            attention,
        })
    }
}

/// What the parts of a status are read from.
struct View<'a> {
    source: &'a Source,
    answers: &'a Answers,
    remedies: &'a Remedies<'a>,
    nodes: &'a [NodeStatus],
}

impl View<'_> {
    /// Whether more can be said of a node than that it does not answer or has nothing on it yet.
    fn speaks(&self, node: &crate::cluster::NodeName) -> bool {
        self.nodes.iter().any(|status| status.name == *node && status.reachable && status.deployed)
    }

    /// Whether a unit runs on a node, where the node answers.
    fn running(&self, node: &crate::cluster::NodeName, unit: &str) -> Option<bool> {
        let reachable = self.nodes.iter().any(|status| status.name == *node && status.reachable);
        reachable.then(|| self.runs(node, unit))
    }

    /// Whether a unit is known to run on a node.
    fn runs(&self, node: &crate::cluster::NodeName, unit: &str) -> bool {
        let status = self.nodes.iter().find(|status| status.name == *node);
        status.is_some_and(|status| status.units.get(unit).is_some_and(|state| nodes::running(state)))
    }
}
