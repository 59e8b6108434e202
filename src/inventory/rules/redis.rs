//! Redis and Sentinel: enough Sentinels to agree, replicas that can be asked for, a port that is free.

use super::Findings;
use super::placement::place;
use crate::inventory::model::{Inventory, mebibytes};
use crate::inventory::placement::nodes_of;

/// Least memory that Redis is of any use with, in MiB.
const MIN_MEMORY: u64 = 16;

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    let nodes = nodes_of(inventory, "redis");
    if nodes.is_empty() {
        return;
    }
    sentinels(nodes_of(inventory, "sentinel").len(), found);
    let replicas = nodes.len() - 1;
    let wanted = inventory.redis.min_replicas_to_write as usize;
    if wanted > replicas {
        found.value(
            &["redis", "min_replicas_to_write"],
            format!(
                "asks for {wanted} replicas, and Redis runs on {} node(s), which leaves {replicas}",
                nodes.len()
            ),
            format!(
                "set it to {replicas} or less, or give Redis more nodes: kind `app`, or `roles.redis.on`"
            ),
        );
    }
    if inventory.redis.maxmemory.as_deref().and_then(mebibytes).is_some_and(|size| size < MIN_MEMORY) {
        found.value(
            &["redis", "maxmemory"],
            format!("out of range: at least {MIN_MEMORY}MB"),
            "leave it out to have it follow from the machine's RAM",
        );
    }
}

fn sentinels(count: usize, found: &mut Findings<'_>) {
    if count >= 3 && !count.is_multiple_of(2) {
        return;
    }
    let problem = match count {
        0 => "Redis runs, but no node runs Sentinel, which finds its primary and replaces a lost one".into(),
        1 => "Sentinel runs on 1 node; with that one lost, nobody replaces a lost primary of Redis".into(),
        2 => "Sentinel runs on 2 nodes; with either one lost, nobody replaces a lost primary of Redis".into(),
        even => {
            format!("Sentinel runs on {even} nodes; an even number survives no more losses than {}", even - 1)
        }
    };
    let hint = "make it 3 or 5, by nodes of kind `manager` or by `roles.sentinel.on`; without Redis, set `redis.enabled: false`";
    place(found, "sentinel", problem, hint);
}
