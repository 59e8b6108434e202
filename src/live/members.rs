//! Patroni's members: whose data they run, who leads, and which of them wait for a restart.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dynamic::{self, Configuration};
use super::{Observed, Placed, certificate_path, fields, foreign_hint, json, token};
use crate::cluster::{Node, NodeName, bracketed};
use crate::render::{Source, data_directories};
use crate::resource::{Call, Change, Effect, Fields, Id, Order, Refusal, Verb};

/// One member as Patroni's `GET /cluster` lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Name of the node.
    pub name: String,
    /// `leader`, `sync_standby`, `replica`.
    pub role: String,
    /// `running`, `streaming`, or what is wrong.
    #[serde(default)]
    pub state: String,
    /// Timeline.
    #[serde(default)]
    pub timeline: Option<u64>,
    /// Bytes behind the leader; text when it is not known.
    #[serde(default)]
    pub lag: Option<serde_json::Value>,
}

/// What Patroni says of the whole cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterView {
    /// Every member.
    #[serde(default)]
    pub members: Vec<Member>,
    /// Patroni only watches.
    #[serde(default)]
    pub pause: bool,
}

impl ClusterView {
    /// The view of the first worker that has one with a leader.
    pub fn read(source: &Source, observed: &Observed) -> Option<Self> {
        let views = source.cluster.with_role("patroni").filter_map(|(node, _)| {
            serde_json::from_value::<Self>(json(fields(observed, node, &id())?, "cluster")?).ok()
        });
        let mut views: Vec<Self> = views.collect();
        let with_leader = views.iter().position(|view| view.leader().is_some()).unwrap_or(0);
        (!views.is_empty()).then(|| views.swap_remove(with_leader))
    }

    /// The leader, where there is one.
    pub fn leader(&self) -> Option<&Member> {
        self.members.iter().find(|member| ["leader", "standby_leader"].contains(&member.role.as_str()))
    }
}

/// What one member says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberStatus {
    /// Some parameters wait for a restart.
    #[serde(default)]
    pub pending_restart: bool,
}

pub fn id() -> Id {
    Id::new("patroni", "member")
}

pub fn probe(source: &Source, node: &NodeName) -> Call {
    let certificate = certificate_path(source, "patroni", "client");
    let address = source.cluster.nodes.get(node).map(|node| bracketed(node.address)).unwrap_or_default();
    let mount = source.cluster.inventory.postgresql.data_mount.clone().unwrap_or_default();
    let directories = data_directories(&source.cluster);
    Call::new("members_probe", [certificate, address, mount].into_iter().chain(directories))
}

/// Refuses to make data where the mount that it belongs on is not there.
pub fn mounted(source: &Source, observed: &Observed) -> Result<(), Refusal> {
    let Some(mount) = &source.cluster.inventory.postgresql.data_mount else { return Ok(()) };
    let missing = |node: &&NodeName| {
        fields(observed, node, &id()).is_some_and(|seen| seen.get("mounted").is_some_and(|said| said == "no"))
    };
    match source.cluster.with_role("patroni").map(|(node, _)| node).find(missing) {
        None => Ok(()),
        Some(node) => Err(Refusal {
            what: format!("{node}: nothing is mounted on {mount}, which `postgresql.data_mount` names"),
            hint: format!("mount the disk on {node}, in /etc/fstab too; without one, leave `data_mount` out"),
        }),
    }
}

/// Marks the data directories that this cluster is about to make; refuses those that it did not.
pub fn ownership(source: &Source, observed: &Observed) -> Result<Vec<Placed>, Refusal> {
    let token = token(source);
    let mut claims = Vec::new();
    for (node, _) in source.cluster.with_role("patroni") {
        let empty = Fields::new();
        let seen = fields(observed, node, &id()).unwrap_or(&empty);
        let owner = seen.get("owner");
        if owner == Some(&token) {
            continue;
        }
        if let Some(data) = seen.get("data") {
            let what = match owner {
                Some(owner) => format!("{node}: {data} belongs to another cluster ({owner}, not {token})"),
                None => format!("{node}: {data} holds a PostgreSQL cluster that this one did not make"),
            };
            let hint = foreign_hint(source, node, "PostgreSQL", data, owner);
            return Err(Refusal { what, hint });
        }
        let call = Call::new("owned_claim", ["patroni".to_owned(), token.clone()]);
        let id = Id::new("postgresql", "data directory");
        let mut claim = Change::new(id, Verb::Create, "no data yet", Order::Settle, call);
        // The package has made the usual place, and a new disk belongs to root.
        if let (Some(mount), Some(seen)) =
            (&source.cluster.inventory.postgresql.data_mount, observed.get(node))
        {
            let folder = format!("{mount}/{}", seen.facts.postgresql());
            let args = [folder.as_str(), "postgres:postgres", "0755"];
            claim.calls.push((Order::Settle, Call::new("directory_apply", args)));
        }
        claims.push((node.clone(), claim));
    }
    Ok(claims)
}

/// Whether any member has data of this cluster already.
pub fn has_data(source: &Source, observed: &Observed) -> bool {
    let ours = token(source);
    source.cluster.with_role("patroni").any(|(node, _)| {
        fields(observed, node, &id())
            .is_some_and(|seen| seen.contains_key("data") && seen.get("owner") == Some(&ours))
    })
}

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
