//! The members of etcd: who is taken in, and who is let go of.

use serde_json::{Value, json};

use super::tests::{bare, packed, planned, refused, running, set, source};
use super::{etcd_id, foreign_data, token};
use crate::cluster::NodeName;
use crate::resource::{Arg, Change, Verb};

#[test]
fn etcd_is_bootstrapped_once_and_foreign_data_refused() {
    let source = source();
    let mut observed = bare(&source, 13);
    let all = planned("etcd", &source, &observed);
    assert_eq!(all.iter().filter(|(_, change)| change.reason == "no cluster yet").count(), 3);
    for node in ["m1", "m2", "m3"] {
        set(&mut observed, node, etcd_id(), "data", "/var/lib/etcd/default");
    }
    assert!(refused("etcd", &source, &observed).contains("this cluster did not make"));
    for node in ["m1", "m2", "m3"] {
        set(&mut observed, node, etcd_id(), "owner", "other-0123456789ab");
    }
    assert!(refused("etcd", &source, &observed).contains("belongs to another cluster (other-0123456789ab"));
    for node in ["m1", "m2", "m3"] {
        set(&mut observed, node, etcd_id(), "owner", &token(&source));
    }
    assert_eq!(planned("etcd", &source, &observed), []);
}

#[test]
fn etcd_takes_in_who_is_missing_and_lets_go_of_strangers() {
    let source = source();
    let mut observed = bare(&source, 13);
    let member = |id: u64, name: &str, end: u8| json!({ "ID": id.to_string(), "name": name, "peerURLs": [format!("https://10.1.0.{end}:2380")] });
    for node in ["m1", "m2"] {
        set(&mut observed, node, etcd_id(), "data", "/var/lib/etcd/default");
        set(&mut observed, node, etcd_id(), "owner", &token(&source));
        set(&mut observed, node, etcd_id(), "log", "yes");
    }
    let listed = |members: Value| packed(&json!({ "members": members }));
    set(
        &mut observed,
        "m1",
        etcd_id(),
        "members",
        &listed(json!([member(1, "m1", 11), member(2, "m2", 12)])),
    );
    let joins = planned("etcd", &source, &observed);
    assert_eq!(
        joins.iter().map(|(node, change)| (node.as_str(), change.reason.as_str())).collect::<Vec<_>>(),
        [("m3", "not a member yet")]
    );
    // One that was taken out once joins anew, and what it has is set aside.
    set(&mut observed, "m3", etcd_id(), "data", "/var/lib/etcd/default");
    set(&mut observed, "m3", etcd_id(), "owner", &token(&source));
    let joins = planned("etcd", &source, &observed);
    assert!(joins[0].1.reason.starts_with("a member no more"), "{}", joins[0].1.reason);
    assert!(format!("{:?}", joins[0].1.calls).contains("/var/lib/etcd/default"), "{:?}", joins[0].1.calls);
    // Even when it was taken in already, and could not begin with what it has.
    let members = json!([member(1, "m1", 11), member(2, "m2", 12), member(3, "", 13)]);
    set(&mut observed, "m1", etcd_id(), "members", &listed(members));
    let joins = planned("etcd", &source, &observed);
    assert!(joins[0].1.reason.starts_with("a member no more"), "{}", joins[0].1.reason);
    observed.get_mut(&NodeName::from("m3")).unwrap().fields.remove(&etcd_id());
    assert_eq!(planned("etcd", &source, &observed)[0].1.reason, "not a member yet");
    // A member that has started once and has no data now is replaced.
    let members = json!([member(1, "m1", 11), member(2, "m2", 12), member(3, "m3", 13)]);
    set(&mut observed, "m1", etcd_id(), "members", &listed(members));
    assert_eq!(planned("etcd", &source, &observed)[0].1.reason, "its data is gone");
    // Nor can it begin with the folders that etcd itself has made in the place of what is gone.
    set(&mut observed, "m3", etcd_id(), "data", "/var/lib/etcd/default");
    set(&mut observed, "m3", etcd_id(), "owner", &token(&source));
    assert_eq!(planned("etcd", &source, &observed)[0].1.reason, "its data is gone");
    set(&mut observed, "m3", etcd_id(), "log", "yes");
    assert_eq!(planned("etcd", &source, &observed), []);
    // One that nobody stands for is removed.
    let members =
        json!([member(1, "m1", 11), member(2, "m2", 12), member(3, "m3", 13), member(255, "old", 99)]);
    set(&mut observed, "m1", etcd_id(), "members", &listed(members));
    let removed = planned("etcd", &source, &observed);
    assert_eq!((removed[0].1.verb, removed[0].1.id.name.as_str(), removed.len()), (Verb::Delete, "old", 1));
}

#[test]
fn who_comes_to_etcd_takes_the_place_of_who_is_gone() {
    let source = source();
    let mut observed = bare(&source, 13);
    let member = |id: u64, name: &str, end: u8| {
        let url = |port: u16| [format!("https://10.1.0.{end}:{port}")];
        json!({ "ID": id.to_string(), "name": name, "peerURLs": url(2380), "clientURLs": url(2379) })
    };
    let mut listed = |members: Value, silent: &str| {
        set(&mut observed, "m1", etcd_id(), "members", &packed(&json!({ "members": members })));
        set(&mut observed, "m1", etcd_id(), "silent", silent);
        set(&mut observed, "m1", etcd_id(), "data", "/var/lib/etcd/default");
        set(&mut observed, "m1", etcd_id(), "owner", &token(&source));
        let text = |arg: &Arg| match arg {
            Arg::Text(text) => text.clone(),
            Arg::Payload(_) => String::new(),
        };
        let planned = planned("etcd", &source, &observed);
        let row = |(node, change): &(String, Change)| {
            let stale = change.calls[0].1.args.get(5).map(text).unwrap_or_default();
            format!("{node} {} {}: {stale}", change.calls[0].1.function, change.reason)
        };
        planned.iter().map(row).collect::<Vec<_>>()
    };
    // The dead one goes first, the one that lives with the last that comes; its node is still there and is stopped.
    let members = json!([member(1, "m1", 11), member(10, "w1", 21), member(11, "old", 99)]);
    let dead = listed(members.clone(), "https://10.1.0.99:2379");
    let came = "not a member yet; takes the place of";
    let row = |node: &str, whom: &str, ids: &str| format!("{node} etcd_join {came} {whom}: {ids}");
    assert_eq!(dead, [row("m2", "old", "b"), row("m3", "w1", "b a")]);
    let dead = listed(members, "https://10.1.0.21:2379");
    assert_eq!(dead, [row("m2", "w1", "a"), row("m3", "old", "a b")]);
    // One whose place is counted already takes no other; who is left over goes with the last one that does.
    let members =
        json!([member(1, "m1", 11), member(2, "m2", 12), member(10, "w1", 21), member(11, "old", 99)]);
    let lost = "m2 etcd_join its data is gone: 2".to_owned();
    assert_eq!(listed(members, ""), [lost.clone(), row("m3", "w1, old", "2 a b")]);
    // Nobody comes: it is removed when the others are there, and its node has lost the role.
    let members = json!([member(1, "m1", 11), member(2, "m2", 12), member(3, "", 13), member(10, "w1", 21)]);
    let left = "m1 etcd_remove no longer wanted by the inventory: ".to_owned();
    assert_eq!(listed(members, ""), [lost, "m3 etcd_join not a member yet: 2".to_owned(), left]);
}

#[test]
fn no_second_etcd_is_made_beside_the_one_that_patroni_has() {
    let source = source();
    let observed = running(&source, 13, &json!({}));
    let said = refused("etcd", &source, &observed);
    assert!(said.contains("keeps no member"), "{said}");
    // No node alone can tell.
    let worker = NodeName::from("w1");
    assert_eq!(foreign_data(&source, &worker, &observed[&worker]), []);
}
