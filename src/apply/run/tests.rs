//! Runs over hosts that answer from memory: which steps begin after a failure, and what becomes of certificates.

use std::collections::BTreeMap;
use std::time::Duration;

use time::macros::datetime;

use super::*;
use crate::apply::Halt;
use crate::live::fixture;
use crate::pki::{Authority, Trust};
use crate::plan::{Hidden, PHASES};
use crate::transport::{Recorder, Reply};
use crate::verdict::Outcome;

fn reply(stdout: &str) -> Reply {
    Reply { status: Some(0), stdout: stdout.into(), stderr: String::new() }
}

/// What a bare machine says of itself.
fn bare() -> Reply {
    reply("os=debian\nversion=13\nuid=0\nram_kib=4194304\ncores=2\n#end")
}

/// The same machine with something unreadable wherever a certificate is to be.
fn with_certificates() -> Reply {
    let sections: Vec<String> = (0..99).map(|number| format!("#{number}\ncertificate=eA==\n")).collect();
    reply(&bare().stdout.replace("#end", &(sections.concat() + "#end")))
}

fn done() -> Reply {
    reply(". done")
}

fn fails() -> Reply {
    reply("| no space\n! 0 1")
}

/// The replies of a node that goes through all its node phases.
fn well() -> Vec<Reply> {
    vec![bare(), done(), bare(), done(), done()]
}

/// Nothing is tried from outside then.
fn without_filter() -> String {
    format!("{}firewall: {{ enabled: false }}\n", fixture::THREE)
}

struct Fixture {
    apply: Arc<Apply>,
    recorders: BTreeMap<NodeName, Arc<Recorder>>,
}

impl Fixture {
    fn new(max_fail: usize, replies: &[(&str, Vec<Reply>)]) -> Self {
        Self::of(fixture::THREE, max_fail, replies)
    }

    fn of(inventory: &str, max_fail: usize, replies: &[(&str, Vec<Reply>)]) -> Self {
        let clock = || datetime!(2026-01-01 0:00 UTC);
        let authority = Authority::create("test", clock(), 10, &mut rand::rng()).unwrap();
        let source = fixture::source(inventory, Trust::settled(authority.certificate_pem(), "0"));
        let recorders: BTreeMap<NodeName, Arc<Recorder>> = replies
            .iter()
            .map(|(node, replies)| {
                (NodeName::from(*node), Arc::new(Recorder::new(node, replies.iter().cloned())))
            })
            .collect();
        let hosts: Hosts = recorders
            .iter()
            .map(|(node, host)| (node.clone(), Arc::clone(host) as Arc<dyn crate::transport::Host>))
            .collect();
        let apply = Apply {
            source: Arc::new(source),
            hosts,
            authority: Some(authority),
            checks: Vec::new(),
            heading: Heading::default(),
            parallel: Semaphore::new(9),
            brake: Arc::new(Brake::new(max_fail)),
            seen: Seen::new(BTreeMap::new(), Instant::now(), &BTreeMap::new()),
            clock,
            events: mpsc::unbounded_channel().0,
        };
        Self { apply: Arc::new(apply), recorders }
    }

    /// Runs the node phases of bare machines.
    async fn node_phases(&self) -> Result<Option<Vec<Verdict>>, ApplyError> {
        let seen = crate::live::Observation { facts: fixture::facts(13), fields: BTreeMap::new() };
        let observed = self.recorders.keys().map(|node| (node.clone(), seen.clone())).collect();
        let mut plan = plan::build(&self.apply.source, &observed, (self.apply.clock)()).unwrap();
        plan.phases.retain(|phase| phase.phase.scope == Scope::Node);
        Arc::clone(&self.apply).run(plan).await
    }

    /// Runs everything that bare machines need.
    async fn everything(&self) -> Result<Option<Vec<Verdict>>, ApplyError> {
        let seen = crate::live::Observation { facts: fixture::facts(13), fields: BTreeMap::new() };
        let observed = self.recorders.keys().map(|node| (node.clone(), seen.clone())).collect();
        let plan = plan::build(&self.apply.source, &observed, (self.apply.clock)()).unwrap();
        Arc::clone(&self.apply).run(plan).await
    }

    /// How many steps a node was sent.
    fn steps(&self, node: &str) -> usize {
        let asked = self.recorders[&NodeName::from(node)].asked();
        asked.iter().filter(|(command, _)| command.contains("tar -xf")).count()
    }
}

fn changes(error: &ApplyError) -> Vec<&str> {
    let failed = error.each().iter().filter_map(|error| match error {
        ApplyError::Change { node, .. } => Some(node.as_str()),
        _ => None,
    });
    failed.collect()
}

fn not_begun(error: &ApplyError) -> Vec<&str> {
    let nodes = error.each().iter().filter_map(|error| match error {
        ApplyError::NotBegun(nodes) => Some(nodes.iter().map(NodeName::as_str)),
        _ => None,
    });
    nodes.flatten().collect()
}

#[tokio::test]
async fn without_a_failure_every_node_comes_through() {
    let it = Fixture::new(1, &[("n1", well()), ("n2", well()), ("n3", well())]);
    it.node_phases().await.unwrap();
    assert_eq!((it.steps("n1"), it.steps("n2"), it.steps("n3")), (2, 2, 2));
}

#[tokio::test]
async fn one_failure_lets_no_further_step_begin_and_says_where() {
    let it = Fixture::new(1, &[("n1", vec![bare(), fails()]), ("n2", well()), ("n3", well())]);
    let error = it.node_phases().await.unwrap_err();
    assert_eq!(changes(&error), ["n1"]);
    assert_eq!(not_begun(&error), ["n2", "n3"]);
    assert!(it.steps("n2") < 2 && it.steps("n3") < 2);
}

#[tokio::test]
async fn with_more_failures_allowed_the_others_go_on_and_each_failure_is_kept() {
    let broken = || vec![bare(), fails()];
    let it = Fixture::new(2, &[("n1", broken()), ("n2", well()), ("n3", well())]);
    let error = it.node_phases().await.unwrap_err();
    assert_eq!((changes(&error), not_begun(&error)), (vec!["n1"], vec![]));
    assert_eq!((it.steps("n2"), it.steps("n3")), (2, 2));
    let it = Fixture::new(3, &[("n1", broken()), ("n2", broken()), ("n3", well())]);
    let error = it.node_phases().await.unwrap_err();
    assert_eq!(changes(&error), ["n1", "n2"]);
    assert_eq!(it.steps("n3"), 2);
}

#[tokio::test]
async fn a_phase_of_the_cluster_does_not_begin_without_a_node_that_it_needs() {
    let it = Fixture::new(9, &[("n1", vec![bare(), fails()]), ("n2", well()), ("n3", well())]);
    let error = it.everything().await.unwrap_err();
    assert_eq!((changes(&error), it.steps("n2")), (vec!["n1"], 2));
    assert!(error.to_string().contains("was not begun: n1 n2 n3"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn redis_does_not_wait_for_workers_that_are_not_ready() {
    // Good for an observation as for a step.
    let any = || vec![reply(&format!(". done\n{}", bare().stdout)); 99];
    let mut it = Fixture::of(fixture::MIXED, 9, &[("m1", any()), ("m2", any()), ("m3", any())]);
    let apply = Arc::get_mut(&mut it.apply).unwrap();
    for (node, replies, seconds) in [("a1", any(), 1), ("w1", vec![bare(), fails()], 60)] {
        let host = Arc::new(Recorder::new(node, replies).taking(Duration::from_secs(seconds)));
        it.recorders.insert(node.into(), Arc::clone(&host));
        apply.hosts.insert(node.into(), host);
    }
    let error = it.everything().await.unwrap_err();
    assert!(changes(&error) == ["w1"] && not_begun(&error).contains(&"w1"), "{error}");
    let asked = it.recorders[&NodeName::from("a1")].asked();
    assert!(
        asked.iter().any(|(_, stdin)| String::from_utf8_lossy(stdin).contains("; redis_probe ")),
        "{error}"
    );
}

#[tokio::test]
async fn an_interrupted_run_begins_nothing_and_says_so_first() {
    let it = Fixture::new(1, &[("n1", well())]);
    it.apply.brake.halt(Halt::Interrupted);
    let error = it.node_phases().await.unwrap_err();
    assert!(matches!(error.each(), [ApplyError::Halted(Halt::Interrupted), ApplyError::NotBegun(_)]));
    assert_eq!(it.steps("n1"), 0);
}

/// The phase of PgBouncer on a node whose certificate is replaced, ending as the replies of its step and checks say.
async fn pgbouncer(replies: Vec<Reply>) -> (Fixture, Result<Option<Vec<Verdict>>, ApplyError>) {
    let names = ["pgbouncer/certificate-6432"];
    pgbouncer_with(&names, false, replies).await
}

/// The same with these checks; where it is the last phase, all of them count.
async fn pgbouncer_with(
    names: &[&str],
    last: bool,
    replies: Vec<Reply>,
) -> (Fixture, Result<Option<Vec<Verdict>>, ApplyError>) {
    let (it, approved) = before_pgbouncer(names, replies).await;
    let needed = [NodeName::from("n1")].into();
    let proof = Proof { own: it.apply.own_checks(&[], &approved, &needed), last, ..Proof::default() };
    let ended = it.apply.cluster_phase(&approved, &needed, &proof).await;
    (it, ended)
}

/// The same before it begins.
async fn before_pgbouncer(names: &[&str], replies: Vec<Reply>) -> (Fixture, PhasePlan) {
    let mut all = vec![with_certificates(), with_certificates()];
    all.extend(replies);
    let mut it = Fixture::of(&without_filter(), 1, &[("n1", all)]);
    let apply = Arc::get_mut(&mut it.apply).unwrap();
    let phase = PHASES.iter().find(|phase| phase.name == "pgbouncer").unwrap();
    let answers = observe::observe_phase(&apply.source, &apply.hosts, phase.name).await.unwrap();
    let facts = crate::live::facts(&answers.observed);
    apply.checks = plan::checks(&apply.source, &facts).unwrap();
    apply.checks.retain(|check| names.contains(&check.name.as_str()) && check.node.as_str() == "n1");
    let now = (apply.clock)();
    let approved = plan::build_phase(&apply.source, phase, &answers.observed, now).unwrap().unwrap();
    (it, approved)
}

const SERVED: &str = "#0 0 serial=1";
const NOT_SERVED: &str = "#0 1 served another one";

fn put_back(error: &ApplyError) -> Vec<Option<&str>> {
    let restored = error.each().iter().filter_map(|error| match error {
        ApplyError::PutBack(restored) => Some(restored.iter().map(|one| one.error.as_deref())),
        _ => None,
    });
    restored.flatten().collect()
}

#[tokio::test]
async fn a_certificate_whose_step_failed_goes_back_when_it_is_not_served() {
    let (it, ended) = pgbouncer(vec![fails(), reply(NOT_SERVED), done(), reply(SERVED)]).await;
    let error = ended.unwrap_err();
    assert_eq!((changes(&error), put_back(&error)), (vec!["n1"], vec![None]));
    assert_eq!(it.steps("n1"), 2);
}

#[tokio::test]
async fn a_certificate_that_is_served_stays_whatever_failed() {
    let (it, ended) = pgbouncer(vec![fails(), reply(SERVED)]).await;
    let error = ended.unwrap_err();
    assert_eq!((changes(&error), put_back(&error)), (vec!["n1"], vec![]));
    assert_eq!(it.steps("n1"), 1);
}

#[tokio::test]
async fn the_one_of_before_is_not_called_back_unless_it_is_served() {
    // The journal is asked for between the failed check and the restoring step.
    let replies = vec![done(), reply(NOT_SERVED), reply("cannot bind"), done(), reply(NOT_SERVED)];
    let (_, ended) = pgbouncer(replies).await;
    let error = ended.unwrap_err();
    assert_eq!(put_back(&error), [Some("it is not served either: served another one")]);
    assert!(error.to_string().contains("n1: the last lines of its journal:\n| cannot bind"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_was_not_replaced_is_not_put_back() {
    let (it, approved) = before_pgbouncer(&["pgbouncer/certificate-6432"], vec![reply(NOT_SERVED)]).await;
    it.apply.brake.halt(Halt::Interrupted);
    let needed = [NodeName::from("n1")].into();
    let proof = Proof { own: it.apply.own_checks(&[], &approved, &needed), ..Proof::default() };
    let error = it.apply.cluster_phase(&approved, &needed, &proof).await.unwrap_err();
    assert_eq!((not_begun(&error), put_back(&error)), (vec!["n1"], vec![]));
    assert_eq!(it.steps("n1"), 0);
}

#[tokio::test]
async fn without_the_lock_no_certificate_is_put_back() {
    let (it, approved) = before_pgbouncer(&["pgbouncer/certificate-6432"], vec![reply(NOT_SERVED)]).await;
    let made: Vec<Step> = approved.waves.iter().flat_map(|wave| wave.steps.clone()).collect();
    it.apply.brake.halt(Halt::LockLost("n1".into()));
    let error = ApplyError::CutOff { node: "n1".into(), stderr: String::new() };
    let own = it.apply.own_checks(&[], &approved, &[NodeName::from("n1")].into());
    assert!(it.apply.put_back(approved.phase, &made, &own, &error).await.is_none());
    assert_eq!(it.steps("n1"), 0);
}

#[tokio::test]
async fn a_phase_that_is_proven_puts_nothing_back() {
    let (it, ended) = pgbouncer(vec![done(), reply(SERVED)]).await;
    ended.unwrap();
    assert_eq!(it.steps("n1"), 1);
}

#[tokio::test]
async fn every_other_check_is_run_beside_those_of_the_last_phase_and_fails_nobody_else() {
    let names = ["pgbouncer/certificate-6432", "haproxy/backends"];
    let (_, ended) = pgbouncer_with(&names, true, vec![done(), reply(SERVED), reply("#0 0 up")]).await;
    let verdicts = ended.unwrap().unwrap();
    let said: Vec<(&str, Outcome)> =
        verdicts.iter().map(|verdict| (verdict.name.as_str(), verdict.outcome)).collect();
    assert_eq!(said, [(names[1], Outcome::Pass), (names[0], Outcome::Pass)]);
    // It is run once more, with all others.
    let (_, ended) = pgbouncer_with(&names, true, vec![done(), reply(SERVED), reply("#0 1 no leader")]).await;
    assert!(ended.unwrap().is_none());
    let (it, ended) =
        pgbouncer_with(&names, true, vec![done(), reply(NOT_SERVED), reply("#0 0"), reply(""), done()]).await;
    assert_eq!(put_back(&ended.unwrap_err()).len(), 1);
    assert_eq!(it.steps("n1"), 2);
}

/// The phase of roles and databases where the run before it has started Patroni, and this is said of a leader.
async fn databases(leader: &str) -> (Fixture, Result<Option<Vec<Verdict>>, ApplyError>) {
    let replies = vec![bare(), reply(leader), bare(), done()];
    let others = || vec![bare(), bare()];
    let nodes = [("n1", replies), ("n2", others()), ("n3", others())];
    let mut it = Fixture::of(&without_filter(), 1, &nodes);
    let apply = Arc::get_mut(&mut it.apply).unwrap();
    let phase = PHASES.iter().find(|phase| phase.name == "databases").unwrap();
    let answers = observe::observe_phase(&apply.source, &apply.hosts, phase.name).await.unwrap();
    apply.checks = plan::checks(&apply.source, &crate::live::facts(&answers.observed)).unwrap();
    apply.checks.retain(|check| check.name == "patroni/leader");
    let now = (apply.clock)();
    let approved = plan::build_phase(&apply.source, phase, &answers.observed, now).unwrap().unwrap();
    let mut plan = Plan::default();
    plan.phases.push(approved);
    let ended = Arc::clone(&it.apply).run(plan).await;
    (it, ended)
}

#[tokio::test]
async fn roles_and_databases_are_not_made_before_there_is_a_leader() {
    let (it, ended) = databases("#0 1 there is no leader").await;
    assert!(ended.unwrap_err().to_string().contains("there is no leader"));
    assert_eq!(it.steps("n1"), 0);
}

#[tokio::test]
async fn roles_and_databases_are_made_when_there_is_one() {
    let (it, ended) = databases("#0 0 the leader takes writes").await;
    ended.unwrap();
    assert_eq!(it.steps("n1"), 1);
}

#[tokio::test]
async fn nodes_that_a_selection_leaves_out_are_not_asked_and_not_missed() {
    let (it, mut approved) = before_pgbouncer(&["pgbouncer/write-and-read"], Vec::new()).await;
    let all = it.apply.own_checks(&[], &approved, &[NodeName::from("n1")].into());
    assert!(all.len() == 1 && !all[0].vars.contains_key("GATE"));
    approved.partial = true;
    let needed = [NodeName::from("n1")].into();
    let asked = |node: &str| {
        let hidden = Hidden { phase: "pgbouncer", changes: 1, nodes: [node.into()].into() };
        let own = it.apply.own_checks(&[hidden], &approved, &needed);
        own.iter().map(|check| check.vars.contains_key("GATE")).collect::<Vec<bool>>()
    };
    assert_eq!((asked("n1"), asked("n2")), (vec![], vec![true]));
}

#[tokio::test]
async fn what_a_failed_check_keeps_from_beginning_is_said() {
    let (_, ended) = databases("#0 1 there is no leader").await;
    let error = ended.unwrap_err();
    assert_eq!(not_begun(&error), Vec::<&str>::new(), "it was the last phase");
    let (it, approved) =
        before_pgbouncer(&["pgbouncer/write-and-read"], vec![done(), reply("#0 1 no leader")]).await;
    let later = PHASES.iter().find(|phase| phase.name == "services").unwrap();
    let step = Step { node: "n1".into(), changes: vec![approved.changes().next().unwrap().1.clone()] };
    let waves = vec![Wave { steps: vec![step], ..Wave::default() }];
    let plan =
        Plan { phases: vec![approved, PhasePlan { phase: later, waves, partial: false }], ..Plan::default() };
    let error = Arc::clone(&it.apply).run(plan).await.unwrap_err();
    assert!(error.to_string().contains("no leader"), "{error}");
    assert_eq!(not_begun(&error), ["n1"]);
}
