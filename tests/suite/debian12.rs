//! The core on Debian 12, three machines that are everything at once: the Patroni there is the one that can steal the
//! lock back.

use crate::cluster::{Cluster, Shape};
use crate::{Run, eight, failures};

pub const SCENARIOS: &[(&str, Run)] = &[
    ("deploy", eight::deploy),
    ("second-apply", eight::second_apply),
    ("leader-killed", failures::leader_killed),
    ("patroni-frozen", failures::patroni_frozen),
];

pub fn lab() -> Cluster {
    Cluster::new(Shape {
        name: "suite12",
        subnet: "10.96.0",
        debian: 12,
        nodes: &[
            ("n1", "[manager, worker, app]", 11),
            ("n2", "[manager, worker, app]", 12),
            ("n3", "[manager, worker, app]", 13),
        ],
        access: "admin: [10.96.0.0/24]\nclients: [10.96.0.0/24]".into(),
    })
}
