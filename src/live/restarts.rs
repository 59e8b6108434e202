//! Members of Patroni that wait for a restart.

use super::dynamic::{self, Configuration};
use super::leadership::{leading, own};
use super::members::{ClusterView, MemberStatus, id};
use super::{Observed, Placed, fields, json};
use crate::cluster::{Node, NodeName};
use crate::render::Source;
use crate::resource::{Call, Change, Effect, Id, Order, Verb};

/// Restarts of PostgreSQL: those that wait already, and those that a changed configuration brings.
pub fn restarts(source: &Source, observed: &Observed, changed: Option<&Configuration>) -> Vec<Placed> {
    // A run that was killed in between leaves the restarts of its own change behind.
    let lowered = changed.is_some_and(|configuration| configuration.lowered)
        || dynamic::lowers_pending(source, observed);
    let coming = changed.map(|configuration| configuration.restart.as_slice()).unwrap_or_default();
    let leader =
        ClusterView::read(source, observed).and_then(|view| view.leader().map(|leader| leader.name.clone()));
    let Some(leader) = leader else { return Vec::new() };
    let mut placed = Vec::new();
    for (node, machine) in source.cluster.with_role("patroni") {
        let Some(seen) = fields(observed, node, &id()) else { continue };
        let pending = json(seen, "status")
            .and_then(|status| serde_json::from_value::<MemberStatus>(status).ok())
            .is_some_and(|status| status.pending_restart);
        if !pending && coming.is_empty() {
            continue;
        }
        let reason = if coming.is_empty() {
            "parameters wait for a restart".to_owned()
        } else {
            format!("restart takes {}", coming.join(", "))
        };
        // A standby must not have less than its leader runs with: what gets smaller does so on the leader first, where it
        // leads, because a new leader would start with the old value.
        let (call, effect) = match (node.as_str() == leader, lowered) {
            (true, true) => (restart(source, node, machine), Effect::Downtime),
            (true, false) => (leading("members_hand_over", source, node, machine), Effect::Switchover),
            (false, _) => (restart(source, node, machine), Effect::Restart),
        };
        let id = Id::new("postgresql", "restart");
        let mut change = Change::new(id, Verb::Run, reason, Order::Activate, call);
        change.effect = effect;
        placed.push((node.clone(), change));
    }
    placed
}

fn restart(source: &Source, node: &NodeName, machine: &Node) -> Call {
    let (_, loop_wait, _) = source.cluster.inventory.patroni.timings();
    let patience = (loop_wait + 5).to_string();
    Call::new("members_restart", own(source, node, machine).into_iter().chain([patience]))
}
