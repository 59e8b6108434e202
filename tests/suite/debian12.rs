//! The core on Debian 12, whose Patroni is the one that can steal the lock back. The machine that is killed leads
//! PostgreSQL and nothing else: one that leads etcd too costs an election of etcd before its lock begins to run out. Who
//! logs in is not root.

use crate::cluster::Cluster;
use crate::shape::Shape;
use crate::{Run, eight, failures, guards};

pub const SCENARIOS: &[(&str, Run)] = &[
    ("deploy", eight::deploy),
    ("second-apply", eight::second_apply),
    ("from-where", guards::from_where),
    ("no-sudo", guards::no_sudo),
    ("jump-host", guards::jump_host),
    ("leader-killed", failures::leader_killed),
    ("patroni-frozen", failures::patroni_frozen),
];

pub fn lab() -> Cluster {
    Cluster::new(Shape {
        name: "suite12".into(),
        subnet: "10.96.0".into(),
        debian: 12,
        nodes: &[
            ("m1", "[manager, app]", 11),
            ("m2", "[manager, app]", 12),
            ("m3", "[manager, app]", 13),
            ("w1", "worker", 21),
            ("w2", "worker", 22),
            ("w3", "worker", 23),
        ],
        access: "admin: [10.96.0.0/24]\nclients: [10.96.0.0/24]".into(),
        user: "provisioner",
        virtual_ip: None,
    })
}
