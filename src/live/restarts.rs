//! Members of Patroni that wait for a restart, and the leadership that moves before it.

use super::dynamic::{self, Configuration};
use super::members::{ClusterView, MemberStatus, id};
use super::{Observed, Placed, certificate_path, fields, json};
use crate::cluster::{Node, NodeName, bracketed};
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

/// A function for the leader, which looks for a standby that can lead.
fn leading(function: &'static str, source: &Source, node: &NodeName, machine: &Node) -> Call {
    let lag = source.cluster.inventory.patroni.maximum_lag_on_failover.to_string();
    Call::new(function, own(source, node, machine).into_iter().chain([lag]))
}

/// Certificate, address and name: what each function asks Patroni with.
fn own(source: &Source, node: &NodeName, machine: &Node) -> [String; 3] {
    [certificate_path(source, "patroni", "client"), bracketed(machine.address), node.to_string()]
}

/// Before anybody waits for it: there is a standby that can lead, and PostgreSQL writes what it would write before it stops.
pub fn checkpoint(source: &Source, leader: &NodeName, why: &str) -> Option<Change> {
    let call = leading("members_ready", source, leader, source.cluster.nodes.get(leader)?);
    let mut change = Change::new(Id::new("postgresql", "checkpoint"), Verb::Run, why, Order::Prepare, call);
    change.ahead = Some(Effect::Switchover);
    Some(change)
}

/// Moves the leadership away from `leader`, for what has to restart there.
pub fn hand_over(source: &Source, leader: &NodeName, why: &str) -> Option<Change> {
    let call = leading("members_hand_over", source, leader, source.cluster.nodes.get(leader)?);
    let mut change = Change::new(Id::new("postgresql", "leadership"), Verb::Run, why, Order::Prepare, call);
    change.effect = Effect::Switchover;
    Some(change)
}

#[cfg(test)]
mod tests {
    use crate::live::SHELL;

    /// Whom a leader hands over to, that may be 1 MiB behind; each member as role, state and lag.
    fn candidate(members: &[(&str, &str, &str)]) -> String {
        let member = |(number, (role, state, lag)): (usize, &(&str, &str, &str))| {
            format!(
                "\"name\": \"w{number}\", \"role\": \"{role}\", \"state\": \"{state}\", \"timeline\": 3, \"lag\": {lag}}}, \n"
            )
        };
        let view: String = members.iter().enumerate().map(member).collect();
        let script = format!("{SHELL}\nmembers_candidate \"$1\" 1048576");
        let output = std::process::Command::new("sh").args(["-c", &script, "sh", &view]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn the_synchronous_standby_leads_next_else_the_replica_that_is_least_behind() {
        let (leader, replica) = (("leader", "running", "0"), "replica");
        assert_eq!(
            candidate(&[leader, (replica, "streaming", "0"), ("sync_standby", "streaming", "8")]),
            "w2"
        );
        // Under a steady writer nobody is at exactly zero.
        assert_eq!(candidate(&[leader, (replica, "streaming", "900"), (replica, "streaming", "16")]), "w2");
        assert_eq!(candidate(&[leader, (replica, "running", "1048576"), (replica, "starting", "0")]), "w1");
        assert_eq!(
            candidate(&[leader, (replica, "streaming", "1048577"), (replica, "streaming", "\"unknown\"")]),
            ""
        );
        assert_eq!(candidate(&[leader]), "");
    }
}
