//! The phases of a run, in order. The whole run on one screen.

/// How far a phase waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A node goes on as soon as its own step is done.
    Node,
    /// The phase begins when the nodes that it needs are ready, and ends, with its checks, for all of them at once.
    Cluster,
}

/// A stage of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name, as roles give it.
    pub name: &'static str,
    /// What it does, for the screen.
    pub title: &'static str,
    /// How far it waits.
    pub scope: Scope,
    /// The roles whose nodes it looks at and works on; the nodes of others need not be ready for it.
    pub roles: &'static [&'static str],
    /// Whether it may begin while an earlier phase is still being checked, or waits for its nodes. Its own checks are then made with all the
    /// others, at the end of the run.
    pub early: Early,
}

/// When a phase that disturbs nothing may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Early {
    /// In its turn.
    No,
    /// As soon as its nodes are ready: its services wait by themselves for what they lead to.
    Ready,
    /// As soon as a check of this name holds as well.
    After(&'static str),
}

const fn node(name: &'static str, title: &'static str) -> Phase {
    Phase { name, title, scope: Scope::Node, roles: &[], early: Early::No }
}

const fn cluster(name: &'static str, title: &'static str, roles: &'static [&'static str]) -> Phase {
    Phase { name, title, scope: Scope::Cluster, roles, early: Early::No }
}

const fn early(when: Early, phase: Phase) -> Phase {
    Phase { early: when, ..phase }
}

/// All phases. `services` is for roles of the user's own.
pub static PHASES: [Phase; 11] = [
    node("packages", "Install packages on all nodes"),
    node("base", "Names, kernel settings and packet filter"),
    cluster("etcd", "Form the etcd cluster", &["etcd"]),
    cluster("patroni", "Start PostgreSQL under Patroni", &["etcd", "patroni"]),
    early(Early::After("patroni/leader"), cluster("databases", "Create roles and databases", &["patroni"])),
    early(Early::Ready, cluster("redis", "Start Redis", &["redis", "sentinel"])),
    early(Early::Ready, cluster("sentinel", "Let Sentinels watch over Redis", &["redis", "sentinel"])),
    early(Early::Ready, cluster("haproxy", "Lead clients to the leader", &["haproxy"])),
    early(Early::Ready, cluster("pgbouncer", "Pool the clients' connections", &["pgbouncer", "patroni"])),
    cluster("redis-passwords", "Take back the passwords that Redis had before", &["redis", "sentinel"]),
    cluster("services", "Start the services of your own roles", &[]),
];
