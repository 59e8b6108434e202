//! Three Debian 12 machines that are everything at once, with a virtual address and applications.

use crate::cluster::Cluster;
use crate::shape::Shape;
use crate::{Run, applications, clients, eight, lost, redis, virtual_ip};

pub const SCENARIOS: &[(&str, Run)] = &[
    ("deploy", eight::deploy),
    ("second-apply", eight::second_apply),
    ("exposure", clients::exposure),
    ("redis-moved", redis::moved),
    ("virtual-ip-follows-redis", virtual_ip::follows_redis),
    ("applications", applications::deployed),
    ("applications-requests", applications::requests),
    ("applications-switched", applications::switched),
    ("applications-node-away", applications::node_away),
    ("standby-killed", lost::standby_killed),
    ("both-leaders-killed", lost::both_leaders_killed),
    ("etcd-data-lost", lost::etcd_data),
    // The last one: the machines are others behind it.
    ("replaced", lost::replaced),
];

pub fn lab() -> Cluster {
    Cluster::new(Shape {
        name: "suite3".into(),
        subnet: "10.97.0".into(),
        debian: 12,
        nodes: &[
            ("n1", "[manager, worker, app]", 11),
            ("n2", "[manager, worker, app]", 12),
            ("n3", "[manager, worker, app]", 13),
        ],
        // Clients are everywhere, and one machine administers.
        access: "admin: [10.97.0.1]\nclients: [10.97.0.0/24]".into(),
        user: "root",
        virtual_ip: Some(100),
    })
}
