//! What the inventory says that does not fit the machines, once they have said what they are. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observed, dynamic, keepalived};
use crate::cluster::NodeName;
use crate::inventory::{Places, Problem, check_memory, check_release, placed};
use crate::render::Source;

/// Every such value with its place: virtual addresses outside of the nodes' networks, and what the workers' release of
/// PostgreSQL or their RAM cannot take.
pub fn misfits(source: &Source, places: &Places, observed: &Observed) -> Vec<Problem> {
    let inventory = &source.cluster.inventory;
    let workers = source.cluster.with_role("patroni");
    let releases: BTreeMap<&NodeName, u8> =
        workers.filter_map(|(node, _)| Some((node, observed.get(node)?.facts.postgresql()))).collect();
    let mut problems = placed(places, keepalived::misfits(source, observed));
    problems.extend(placed(places, mixed("PostgreSQL", "workers", &releases)));
    let redis = source.cluster.with_role("redis");
    let debian: BTreeMap<&NodeName, u8> =
        redis.filter_map(|(node, _)| Some((node, observed.get(node)?.facts.debian))).collect();
    problems.extend(placed(places, mixed("the Redis of Debian", "Redis nodes", &debian)));
    let releases: BTreeSet<u8> = releases.into_values().collect();
    problems.extend(releases.into_iter().flat_map(|it| check_release(inventory, places, u32::from(it))));
    let memory = dynamic::memory(source, observed);
    problems.extend(memory.into_iter().flat_map(|(mib, _)| check_memory(inventory, places, mib)));
    problems
}

/// Those of `all` whose release of `what` cannot copy that of the first, or be copied by it.
fn mixed(what: &str, all: &str, releases: &BTreeMap<&NodeName, u8>) -> Vec<(Vec<String>, String, String)> {
    let Some((first, release)) = releases.first_key_value() else { return Vec::new() };
    let others = releases.iter().filter(|(_, other)| *other != release);
    let misfit = |(node, other): (&&NodeName, &u8)| {
        let text =
            format!("{node} has {what} {other}, and {first} has {release}: neither can copy the other");
        let hint = format!("give all {all} the same release of Debian");
        (vec!["nodes".to_owned(), node.to_string()], text, hint)
    };
    others.map(misfit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parse;
    use crate::live::Observation;
    use crate::live::fixture::{THREE, facts, source};
    use crate::pki::Trust;

    /// What is wrong on three machines of these releases and MiB, as (line, message).
    fn wrong(more: &str, machines: [(u8, u64); 3]) -> Vec<(usize, String)> {
        let text = format!("{}{more}", THREE.trim_start());
        let source = source(&text, Trust::settled("ca", "0"));
        let (_, places) = parse("test.yaml", &text).unwrap();
        let seen = machines.map(|(debian, ram_mib)| {
            let facts = crate::render::Facts { ram_mib, ..facts(debian) };
            Observation { facts, fields: BTreeMap::new() }
        });
        let observed = source.cluster.nodes.keys().cloned().zip(seen).collect();
        let problems = misfits(&source, &places, &observed);
        problems.into_iter().map(|it| (it.place.unwrap().line, it.message)).collect()
    }

    #[test]
    fn a_parameter_that_one_worker_s_release_lacks_is_refused() {
        let more = "postgresql:\n  parameters:\n    transaction_timeout: 5s\n";
        assert_eq!(wrong(more, [(13, 4096), (13, 4096), (13, 4096)]), []);
        let lacks = (8, "PostgreSQL 15 has no parameter `transaction_timeout`".to_owned());
        assert_eq!(wrong(more, [(12, 4096); 3]), [lacks]);
    }

    #[test]
    fn nodes_that_cannot_copy_each_other_are_refused() {
        let other = |what: &str| (5, format!("n3 has {what}: neither can copy the other"));
        let both = [other("PostgreSQL 15, and n1 has 17"), other("the Redis of Debian 12, and n1 has 13")];
        assert_eq!(wrong("", [(13, 4096), (13, 4096), (12, 4096)]), both);
        assert_eq!(wrong("", [(13, 4096); 3]), []);
    }

    #[test]
    fn sizes_are_held_to_what_redis_leaves_of_the_smallest_worker() {
        let more = "postgresql:\n  parameters:\n    shared_buffers: 2900MB\n";
        assert_eq!(wrong(more, [(13, 8192), (13, 4500), (13, 8192)]), []);
        // An eighth of 4096 MB is for Redis; three quarters of what is left are 2688 MB.
        let much = "shared_buffers takes 2900 MB of a memory of 3584 MB, which the smallest worker has for PostgreSQL";
        assert_eq!(wrong(more, [(13, 8192), (13, 4096), (13, 8192)]), [(8, much.to_owned())]);
        let off = format!("{more}redis: {{ enabled: false }}\n");
        assert_eq!(wrong(&off, [(13, 8192), (13, 4096), (13, 8192)]), []);
    }
}
