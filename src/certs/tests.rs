//! What is said of certificates, each case beside its twin where nothing is wrong.

use time::macros::datetime;

use super::*;
use crate::live::fixture;
use crate::pki::{Authority, Leaf, LeafRequest, San, Trust, Usage};

const NOW: OffsetDateTime = datetime!(2026-05-01 12:00 UTC);
const PATH: &str = "/etc/pgbouncer/tls/server";

struct Fixture {
    source: Source,
    authority: Authority,
    seen: Observation,
}

impl Fixture {
    fn new() -> Self {
        let authority = Authority::create("test", NOW, 10, &mut rand::rng()).unwrap();
        let trust = Trust::settled(authority.certificate_pem(), "0");
        let source = fixture::source(fixture::THREE, trust);
        let facts = fixture::facts(13);
        let mut it = Self { source, authority, seen: Observation { facts, fields: BTreeMap::new() } };
        let leaf = Self::issue(&it.authority);
        it.stores(&leaf);
        it.serves(&leaf);
        it
    }

    fn issue(authority: &Authority) -> Leaf {
        let names: Vec<San> =
            ["n1", "10.1.0.11", "localhost", "127.0.0.1"].map(|name| name.parse().unwrap()).into();
        let request = LeafRequest { days: 365, ..LeafRequest::new("n1", names, [Usage::Server]) };
        authority.issue(&request, NOW, &mut rand::rng()).unwrap()
    }

    fn set(&mut self, id: Id, key: &str, value: &str) {
        self.seen.fields.entry(id).or_default().insert(key.into(), value.into());
    }

    fn stores(&mut self, leaf: &Leaf) {
        let id = Id::new("certificate", PATH);
        self.set(id.clone(), "certificate", &leaf.certificate_pem.replace('\n', "|"));
        self.set(id.clone(), "key", &leaf.certificate.spki_sha256);
        self.set(id.clone(), "owner", "root:postgres");
        self.set(id, "mode", "640");
    }

    fn serves(&mut self, leaf: &Leaf) {
        self.set(id(6432), "served", &leaf.certificate_pem.replace('\n', "|"));
    }

    fn report(&self, within: Option<i64>, now: OffsetDateTime) -> Report {
        let observed = Observed::from([(NodeName::from("n1"), self.seen.clone())]);
        let material = self.authority.to_material();
        let authorities = [("current", &material)];
        Report::read(&self.source, &observed, &authorities, "shop", within, now).unwrap()
    }

    fn at(&self, node: &str, within: Option<i64>, now: OffsetDateTime) -> (State, String) {
        let report = self.report(within, now);
        let found =
            report.certificates.into_iter().find(|entry| entry.path == PATH && entry.node.as_str() == node);
        let entry = found.unwrap();
        (entry.state, entry.problem.unwrap_or_default())
    }
}

#[test]
fn one_that_is_served_as_stored_is_well() {
    let it = Fixture::new();
    assert_eq!(it.at("n1", Some(30), NOW), (State::Ok, String::new()));
}

#[test]
fn what_its_port_shows_is_held_against_the_file() {
    let mut it = Fixture::new();
    let other = Fixture::issue(&it.authority);
    it.serves(&other);
    let (state, problem) = it.at("n1", None, NOW);
    assert_eq!(state, State::Wrong);
    assert_eq!(problem, format!("port 6432 serves another one, {}", short(&other.certificate.serial)));
    it.set(id(6432), "served", "");
    assert_eq!(it.at("n1", None, NOW), (State::Wrong, "port 6432 serves none".into()));
}

#[test]
fn a_stranger_s_one_and_a_missing_one_are_named() {
    let mut it = Fixture::new();
    let stranger = Authority::create("other", NOW, 10, &mut rand::rng()).unwrap();
    let leaf = Fixture::issue(&stranger);
    it.stores(&leaf);
    it.serves(&leaf);
    let (state, problem) = it.at("n1", None, NOW);
    assert_eq!(state, State::Wrong);
    assert!(problem.contains("was not issued by this cluster's CA"), "{problem}");
    it.seen.fields.remove(&Id::new("certificate", PATH));
    assert_eq!(it.at("n1", None, NOW), (State::Wrong, "is missing".into()));
}

#[test]
fn days_that_are_asked_about_make_it_due_and_the_end_makes_it_wrong() {
    let it = Fixture::new();
    let later = NOW + time::Duration::days(200);
    assert_eq!(it.at("n1", None, later).0, State::Ok);
    assert_eq!(it.at("n1", Some(165), later), (State::Due, "ends in 165 days".into()));
    assert_eq!(it.at("n1", Some(100), later).0, State::Ok);
    let end = NOW + time::Duration::days(366);
    assert_eq!(it.at("n1", None, end), (State::Wrong, "expired on 2027-05-01".into()));
}

#[test]
fn one_that_is_to_be_renewed_by_now_is_due_and_wrong_only_where_more_is_wrong() {
    let mut it = Fixture::new();
    let later = NOW + time::Duration::days(300);
    assert_eq!(it.at("n1", None, later), (State::Due, "expires in 65 days".into()));
    let other = Fixture::issue(&it.authority);
    it.serves(&other);
    assert_eq!(it.at("n1", None, later).0, State::Wrong);
}

#[test]
fn what_mends_it_is_said_with_it() {
    let mut it = Fixture::new();
    let remedy = |it: &Fixture, now| {
        let all = it.report(None, now).certificates;
        all.into_iter().find(|entry| entry.path == PATH && entry.node.as_str() == "n1").unwrap().remedy
    };
    assert_eq!(remedy(&it, NOW), None);
    let renew = "deploy certs renew shop --on n1 --service pgbouncer --force";
    assert_eq!(remedy(&it, NOW + time::Duration::days(300)).as_deref(), Some(renew));
    it.set(id(6432), "served", "");
    assert_eq!(remedy(&it, NOW).as_deref(), Some("deploy apply shop"));
    it.serves(&Fixture::issue(&it.authority));
    assert_eq!(remedy(&it, NOW).as_deref(), Some(renew), "a plan does not see what is served");
    assert_eq!(remedy(&it, NOW + time::Duration::days(3653)), None, "the authority comes first");
}

#[test]
fn a_node_that_is_silent_is_not_called_well() {
    assert_eq!(Fixture::new().at("n2", None, NOW), (State::Unknown, "the node does not answer".into()));
}

#[test]
fn an_authority_is_trusted_by_a_node_when_each_of_its_services_does() {
    let mut it = Fixture::new();
    let paths: Vec<String> = live::authority_paths(&it.source, &"n1".into()).into_iter().collect();
    let hash = sha256(it.authority.certificate_pem().as_bytes());
    for path in &paths {
        assert!(it.report(None, NOW).authorities[0].trusted_by.is_empty());
        it.set(Id::new("file", path), "sha256", &hash);
    }
    assert_eq!(it.report(None, NOW).authorities[0].trusted_by, ["n1".into()]);
}

#[test]
fn an_authority_that_nears_its_end_has_ended_or_lost_its_key_is_named() {
    let it = Fixture::new();
    let at = |now: OffsetDateTime, within| {
        let report = it.report(within, now);
        (report.authorities[0].state, report.expired())
    };
    assert_eq!(at(NOW, None), (State::Ok, false));
    assert_eq!(at(NOW + time::Duration::days(3652 - 130), None), (State::Ok, false));
    assert_eq!(at(NOW + time::Duration::days(3652 - 100), None), (State::Due, false));
    assert_eq!(at(NOW + time::Duration::days(3652 - 130), Some(140)), (State::Due, false));
    assert_eq!(at(NOW + time::Duration::days(3653), None), (State::Wrong, true));
    let mut lost = it.authority.to_material();
    lost.key = crate::secrets::Secret::new("");
    let report =
        Report::read(&it.source, &Observed::new(), &[("current", &lost)], "shop", None, NOW).unwrap();
    assert_eq!(report.authorities[0].problem.as_deref(), Some("nobody has its key"));
}
