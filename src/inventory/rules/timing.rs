//! Timings of Patroni and etcd that must fit each other.

use super::Findings;
use crate::inventory::model::Inventory;

/// A follower must miss several heartbeats before it stands for election (etcd's own guide asks for ten; it refuses
/// fewer than five).
const HEARTBEATS: u32 = 5;

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    let (ttl, loop_wait, retry_timeout) = inventory.patroni.timings();
    let least = loop_wait.saturating_add(retry_timeout.saturating_mul(2));
    if ttl < least {
        found.first(
            &[&["patroni", "ttl"], &["patroni", "loop_wait"], &["patroni", "retry_timeout"]],
            format!(
                "ttl {ttl} is less than loop_wait + 2 × retry_timeout = {loop_wait} + 2 × {retry_timeout} = {least}: \
                 a leader could lose its lock while it still tries to renew it"
            ),
            format!("set `patroni.ttl` to {least} or more, or lower the other two"),
        );
    }
    let (heartbeat, election) = (inventory.etcd.heartbeat_interval, inventory.etcd.election_timeout);
    let least = heartbeat.saturating_mul(HEARTBEATS);
    if election < least {
        found.first(
            &[&["etcd", "election_timeout"], &["etcd", "heartbeat_interval"]],
            format!("election_timeout {election} is less than {HEARTBEATS} × heartbeat_interval = {HEARTBEATS} × {heartbeat} = {least}"),
            format!("set `etcd.election_timeout` to {least} or more (better {})", heartbeat.saturating_mul(10)),
        );
    }
}
