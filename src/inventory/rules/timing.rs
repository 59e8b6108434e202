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
    let (heartbeat, election) = inventory.etcd.timings(inventory.patroni.failover);
    let longest = 2 * u64::from(election) + 1000;
    if u64::from(retry_timeout) * 1000 < longest {
        let seconds = longest.div_ceil(1000);
        found.first(
            &[&["etcd", "election_timeout"], &["etcd", "heartbeat_interval"], &["patroni", "retry_timeout"]],
            format!(
                "retry_timeout {retry_timeout} s is less than an election of etcd may take, 2 × {election} ms and a \
                 second: losing etcd's leader would cost the one of PostgreSQL too"
            ),
            format!(
                "set `patroni.retry_timeout` to {seconds} or more, or `etcd.election_timeout` to {} or less",
                (u64::from(retry_timeout) * 1000).saturating_sub(1000) / 2
            ),
        );
    }
    let least = heartbeat.saturating_mul(HEARTBEATS);
    if election < least {
        found.first(
            &[&["etcd", "election_timeout"], &["etcd", "heartbeat_interval"]],
            format!("election_timeout {election} is less than {HEARTBEATS} × heartbeat_interval = {HEARTBEATS} × {heartbeat} = {least}"),
            format!("set `etcd.election_timeout` to {least} or more (better {})", heartbeat.saturating_mul(10)),
        );
    }
}
