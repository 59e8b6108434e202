//! Verdicts from made-up answers, and the helper that tries connections against real sockets.

use std::net::TcpListener;
use std::process::Command;

use super::judge::{Others, judge};
use super::question::{Answer, script, ways};
use crate::cluster::NodeName;
use crate::resource::Id;
use crate::status::tests::{bare, source};
use crate::verdict::{Outcome, Verdict};

const GOOD: &str = "clock=1.5\ndisk=90000000\nnamed=yes\nlisten=22 sshd ssh\nlists=yes\nend=yes\n";

fn answer(more: &str) -> Answer {
    let mut answer = Answer::parse(&format!("{GOOD}{more}")).unwrap();
    answer.skew = Some(0.1);
    let source = source();
    for node in source.cluster.nodes.keys() {
        for way in ways(&source, node) {
            answer.reached.entry((way.address, way.port)).or_insert_with(|| "refused".into());
        }
    }
    for manifest in source.library.roles.values() {
        for package in &manifest.packages {
            answer.candidates.entry(package.name.clone()).or_insert_with(|| "1".into());
        }
    }
    answer
}

/// The verdicts on w1 that are neither passed nor skipped.
fn faults(
    answer: &Answer,
    change: impl FnOnce(&mut crate::live::Observation),
) -> Vec<(String, Outcome, String)> {
    faults_beside(&Others::default(), answer, change)
}

fn faults_beside(
    others: &Others,
    answer: &Answer,
    change: impl FnOnce(&mut crate::live::Observation),
) -> Vec<(String, Outcome, String)> {
    let source = source();
    let mut seen = bare(13);
    change(&mut seen);
    let verdicts = judge(&source, &NodeName::from("w1"), &seen, answer, others);
    let bad = |verdict: &Verdict| matches!(verdict.outcome, Outcome::Warn | Outcome::Fail);
    verdicts.into_iter().filter(bad).map(|one| (one.name, one.outcome, one.reason)).collect()
}

#[test]
fn a_fit_machine_passes() {
    assert_eq!(faults(&answer(""), |_| {}), []);
}

#[test]
fn everybody_in_access_is_a_warning_that_names_the_key() {
    let found = |access: &str| {
        let text = format!("{}{access}", crate::live::fixture::THREE);
        super::judge::access(&crate::inventory::parse("c.yaml", &text).unwrap().0)
    };
    let warned =
        "everybody is in `access.admin` and in `access.clients`: name the networks that have to come in";
    assert_eq!(found(""), (Outcome::Warn, warned.into()));
    let (outcome, reason) = found("access: { admin: [10.0.0.0/8, '::/0'], clients: [10.0.0.0/8] }\n");
    assert_eq!(outcome, Outcome::Warn);
    assert!(reason.contains("`access.admin`") && !reason.contains("clients"), "{reason}");
    assert_eq!(found("access: { admin: [10.0.0.0/8], clients: [] }\n").0, Outcome::Pass);
    assert_eq!(found("firewall: { enabled: false }\n").0, Outcome::Skip);
}

#[test]
fn a_cut_reply_is_no_answer() {
    assert_eq!(Answer::parse("clock=1\ndisk=5\n"), None);
}

#[test]
fn a_port_is_free_or_held_by_its_own_service() {
    let taken = "listen=5432 postgres postgresql@15-main\n";
    let found = faults(&answer(taken), |_| {});
    assert_eq!(
        found[0].2,
        "port 5432, which patroni needs, is taken by postgres (postgresql@15-main.service)"
    );
    let active = |seen: &mut crate::live::Observation| {
        seen.fields.entry(Id::new("unit", "patroni")).or_default().insert("active".into(), "active".into());
    };
    assert_eq!(faults(&answer("listen=5432 postgres patroni\n"), active), []);
}

#[test]
fn foreign_data_stands_in_the_way() {
    let found = faults(&answer(""), |seen| {
        let fields = seen.fields.entry(crate::live::member_id()).or_default();
        fields.insert("data".into(), "/var/lib/postgresql/17/main".into());
    });
    assert_eq!((found[0].0.as_str(), found[0].1), ("data", Outcome::Fail));
}

#[test]
fn a_dropped_way_fails_and_a_refused_one_is_open() {
    let found =
        faults(&answer("reach=10.1.0.22 8008 dropped\nreach=10.1.0.11 2379 No route to host\n"), |_| {});
    assert_eq!(
        found[0].2,
        "m1 port 2379 (etcd clients): No route to host\nw2 port 8008 (Patroni): no answer within 2 s"
    );
}

#[test]
fn a_way_that_our_own_filter_may_close_is_no_reason_to_stop() {
    let others = Others { filtering: [NodeName::from("w2")].into(), ..Others::default() };
    let found = faults_beside(&others, &answer("reach=10.1.0.22 8008 dropped\n"), |_| {});
    assert_eq!((found[0].0.as_str(), found[0].1), ("network", Outcome::Warn));
}

#[test]
fn clocks_memory_space_and_packages_have_their_bounds() {
    let mut unfit = answer("candidate=patroni (none)\n");
    unfit.skew = Some(-7.25);
    unfit.fields.insert("disk".into(), "1048576".into());
    let names: Vec<String> =
        faults(&unfit, |seen| seen.facts.ram_mib = 500).into_iter().map(|found| found.0).collect();
    assert_eq!(names, ["clock", "disk", "packages", "ram"]);
}

#[test]
fn unattended_upgrades_are_a_warning_unless_our_packages_are_left_out() {
    let found = faults(&answer("upgrades=1\nleft_out=patroni$\nleft_out=postgresql-.*\n"), |_| {});
    assert_eq!((found[0].1, found.len()), (Outcome::Warn, 1));
    assert!(found[0].2.contains("may restart etcd-client, etcd-server at any time"), "{}", found[0].2);
    assert_eq!(
        faults(&answer("upgrades=1\nleft_out=patroni$\nleft_out=postgresql-\nleft_out=etcd\n"), |_| {}),
        []
    );
}

#[test]
fn a_connection_is_open_or_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap().port();
    let closed = {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        other.local_addr().unwrap().port()
    };
    let targets = [format!("127.0.0.1 {open}"), format!("127.0.0.1 {closed}")];
    let output =
        Command::new("perl").arg("-e").arg(include_str!("reach.pl")).args(&targets).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("reach=127.0.0.1 {open} open\n")), "{said}");
    assert!(said.contains(&format!("reach=127.0.0.1 {closed} refused\n")), "{said}");
}

#[test]
fn the_script_is_one_that_a_shell_can_read() {
    let text = script(&source(), &NodeName::from("w1"));
    let status = Command::new("sh").arg("-n").arg("-c").arg(text).status().unwrap();
    assert!(status.success());
}

#[test]
fn user_data_that_writes_etc_hosts_at_every_boot_is_refused() {
    let found = faults(&answer("hosts_of_cloud=yes\n"), |_| {});
    let [(name, outcome, reason)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((name.as_str(), *outcome), ("hostname", Outcome::Fail));
    assert!(reason.contains("manage_etc_hosts"), "{reason}");
}
