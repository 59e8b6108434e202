//! The leadership of PostgreSQL, which moves for what has to restart where it is, or because somebody wants it to.

use super::members::{ClusterView, Member};
use super::{Observed, Placed, certificate_path};
use crate::cluster::{Node, NodeName, bracketed};
use crate::render::Source;
use crate::resource::{Call, Change, Effect, Id, Order, Refusal, Verb};

/// A function for the leader, which looks for a standby that can lead.
pub(super) fn leading(function: &'static str, source: &Source, node: &NodeName, machine: &Node) -> Call {
    let lag = source.cluster.inventory.patroni.maximum_lag_on_failover.to_string();
    let to = source.leader.iter().map(NodeName::to_string);
    Call::new(function, own(source, node, machine).into_iter().chain([lag]).chain(to))
}

/// Certificate, address and name: what each function asks Patroni with.
pub(super) fn own(source: &Source, node: &NodeName, machine: &Node) -> [String; 3] {
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
    let mut change = Change::new(leadership(), Verb::Run, why, Order::Prepare, call);
    change.effect = Effect::Switchover;
    Some(change)
}

/// What moves when another member leads.
pub fn leadership() -> Id {
    Id::new("postgresql", "leadership")
}

/// The move of the leadership to the member that somebody wants to lead; none where it leads already.
pub fn moved(source: &Source, observed: &Observed) -> Option<Placed> {
    let to = source.leader.as_ref()?;
    let from = NodeName::from(ClusterView::read(source, observed)?.leader()?.name.as_str());
    let change = hand_over(source, &from, &format!("{to} is to lead")).filter(|_| from != *to)?;
    Some((from, change))
}

/// Who leads, and who is to lead instead: `to`, or the first that can.
pub fn switchover(
    source: &Source,
    observed: &Observed,
    to: Option<&NodeName>,
) -> Result<(NodeName, NodeName), Refusal> {
    let refuse = |what: String, hint: String| Err(Refusal { what, hint });
    let status = || "look at `deploy status`, mend what it shows and run the same command again".to_owned();
    let view = ClusterView::read(source, observed).unwrap_or_default();
    let Some(leader) = view.leader() else { return refuse("PostgreSQL has no leader".into(), status()) };
    let from = NodeName::from(leader.name.as_str());
    if to == Some(&from) {
        return Ok((from.clone(), from));
    }
    let lag = source.cluster.inventory.patroni.maximum_lag_on_failover;
    let ready: Vec<&str> = view.candidates(lag).iter().map(|member| member.name.as_str()).collect();
    let (Some(first), named) = (ready.first(), ready.join(", ")) else {
        return refuse("no standby is ready to lead".into(), status());
    };
    match to {
        Some(to) if !ready.contains(&to.as_str()) => refuse(
            format!("{to} is not ready to lead: it may lack what was acknowledged"),
            format!("ready: {named}"),
        ),
        Some(to) => Ok((from, to.clone())),
        None => Ok((from, NodeName::from(*first))),
    }
}

impl ClusterView {
    /// Who can lead next without losing anything: synchronous standbys, else replicas that are `lag` bytes behind at most, the
    /// least behind first.
    fn candidates(&self, lag: u64) -> Vec<&Member> {
        let synchronous: Vec<&Member> =
            self.members.iter().filter(|member| member.role == "sync_standby").collect();
        if !synchronous.is_empty() {
            return synchronous;
        }
        let behind = |member: &Member| member.lag.as_ref().and_then(serde_json::Value::as_u64);
        let runs = |member: &Member| ["running", "streaming"].contains(&member.state.as_str());
        let replicas = self.members.iter().filter(|member| member.role == "replica" && runs(member));
        let mut ready: Vec<&Member> =
            replicas.filter(|member| behind(member).is_some_and(|bytes| bytes <= lag)).collect();
        ready.sort_by_key(|member| behind(member));
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::SHELL;
    use crate::live::tests::{bare, planned, running, source, written};

    /// Whom a leader hands over to, that may be 1 MiB behind; each member as role, state and lag.
    fn candidate(members: &[(&str, &str, &str)]) -> String {
        candidate_of(members, "")
    }

    /// The same where one is named.
    fn candidate_of(members: &[(&str, &str, &str)], to: &str) -> String {
        let member = |(number, (role, state, lag)): (usize, &(&str, &str, &str))| {
            format!(
                "\"name\": \"w{number}\", \"role\": \"{role}\", \"state\": \"{state}\", \"timeline\": 3, \"lag\": {lag}}}, \n"
            )
        };
        let view: String = members.iter().enumerate().map(member).collect();
        let script = format!("{SHELL}\nmembers_candidate \"$1\" 1048576 \"$2\"");
        let output =
            std::process::Command::new("sh").args(["-c", &script, "sh", &view, to]).output().unwrap();
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

    #[test]
    fn who_is_named_leads_next_only_where_it_can() {
        let members = [
            ("leader", "running", "0"),
            ("sync_standby", "streaming", "0"),
            ("sync_standby", "streaming", "0"),
            ("replica", "streaming", "0"),
        ];
        let to = |name: &str| candidate_of(&members, name);
        assert_eq!([to("w1"), to("w2"), to("w3"), to("w0"), to("w9")], ["w1", "w2", "", "", ""]);
        let asynchronous = [members[0], members[3], members[3]];
        assert_eq!(candidate_of(&asynchronous, "w2"), "w2");
    }

    #[test]
    fn whoever_is_not_told_who_leads_hands_nothing_over_and_says_so() {
        let ready = |answer: &str| {
            let script = format!(
                "{SHELL}\nsleep() {{ :; }}\nsetpriv() {{ :; }}\nmembers_rest() {{ {answer}; }}\n\
                 members_ready crt 10.0.0.1 w1 1048576 && echo \"to=$members_to\""
            );
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
        };
        let view = |leader: &str| {
            format!(
                "echo '{{\"members\": [{{\"name\": \"{leader}\", \"role\": \"leader\"}}, {{\"name\": \"w2\", \"role\": \"sync_standby\"}}]}}'"
            )
        };
        assert_eq!(ready("return 28"), "Patroni does not say who leads");
        assert_eq!(ready("echo '{\"members\": []}'"), "Patroni does not say who leads");
        assert_eq!(ready(&view("w1")), "to=w2");
        assert_eq!(ready(&view("w3")), "to=", "another one leads already");
    }

    #[test]
    fn the_leadership_goes_where_it_is_asked_to() {
        let source = source();
        let observed = running(&source, 13, &serde_json::json!({}));
        let to = |node: Option<&str>| {
            switchover(&source, &observed, node.map(NodeName::from).as_ref())
                .map(|(from, to)| format!("{from} to {to}"))
                .map_err(|refusal| (refusal.what, refusal.hint))
        };
        assert_eq!(to(None).unwrap(), "w1 to w2");
        assert_eq!(to(Some("w2")).unwrap(), "w1 to w2");
        assert_eq!(to(Some("w1")).unwrap(), "w1 to w1");
        let refused =
            ("w3 is not ready to lead: it may lack what was acknowledged".to_owned(), "ready: w2".to_owned());
        assert_eq!(to(Some("w3")).unwrap_err(), refused);
        let member = |name: &str, role: &str, lag: u64| Member {
            name: name.into(),
            role: role.into(),
            state: "streaming".into(),
            timeline: None,
            lag: Some(lag.into()),
        };
        let members =
            vec![member("w1", "leader", 0), member("w2", "replica", 900), member("w3", "replica", 16)];
        let view = ClusterView { members, pause: false };
        let ready = |lag| view.candidates(lag).iter().map(|member| member.name.as_str()).collect::<Vec<_>>();
        assert_eq!((ready(1000), ready(100), ready(1)), (vec!["w3", "w2"], vec!["w3"], vec![]));
        let nobody = switchover(&source, &bare(&source, 13), None).unwrap_err();
        assert_eq!(nobody.what, "PostgreSQL has no leader");
    }

    #[test]
    fn it_moves_once_and_takes_nothing_else_with_it() {
        let mut source = source();
        let configuration = written(&source, &bare(&source, 13)).unwrap();
        let observed = running(&source, 13, &configuration);
        assert_eq!(planned("patroni", &source, &observed), []);
        source.leader = Some("w2".into());
        let changes = planned("patroni", &source, &observed);
        let [(from, change)] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((from.as_str(), change.effect), ("w1", Effect::Switchover));
        assert!(format!("{:?}", change.calls).ends_with("Text(\"w2\")] })]"), "{:?}", change.calls);
        source.leader = Some("w1".into());
        assert_eq!(planned("patroni", &source, &observed), []);
    }
}
