//! Redis from the replies of its nodes: what is compared, what is left alone, who is taken for the primary.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::live::{Observation, fixture, token};
use crate::pki::Trust;
use crate::resource::{Arg, sha256};

fn source() -> Source {
    fixture::source(fixture::THREE, Trust::settled("authority", "0123456789ab"))
}

fn hash(source: &Source, secret: &str) -> String {
    sha256(source.secrets[secret].expose().as_bytes())
}

/// A reply of Redis as the wanted configuration makes it; `turned` are directives with other values.
fn reply(source: &Source, observed: &Observed, node: &str, info: &str, turned: &[(&str, &str)]) -> String {
    let seed = text::seed(source, observed, &NodeName::from(node), "redis").unwrap().unwrap().content;
    let mut config = String::new();
    for (name, value) in text::directives(&seed, &["dir", "pidfile", "masterauth"]) {
        let other = turned.iter().find(|(turned, _)| *turned == name);
        let _ = writeln!(config, "{name}\n{}", other.map_or(value.as_str(), |(_, value)| value));
    }
    // Redis 7.0 puts commands in an order of its own, and adds words.
    let users: String = seed
        .lines()
        .filter(|line| line.starts_with("user "))
        .map(|line| {
            line.replace("+ping +info", "+info +ping").replace(" on ", " on sanitize-payload ") + "\n"
        })
        .collect();
    format!("=info\nredis_version:7.0.15\n{info}=config\n{config}=users\n{users}=end\n")
}

fn put(observed: &mut Observed, node: &str, id: Id, fields: &[(&str, &str)]) {
    let seen = observed.get_mut(&NodeName::from(node)).unwrap().fields.entry(id).or_default();
    seen.extend(fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
}

fn bare(source: &Source) -> Observed {
    let facts = fixture::facts(13);
    let nodes = source.cluster.nodes.keys();
    nodes.map(|node| (node.clone(), Observation { facts: facts.clone(), fields: BTreeMap::new() })).collect()
}

/// n2 is the primary, as after a failover; the other two follow it, and all Sentinels name it.
fn running(source: &Source, turned: &[(&str, &str)]) -> Observed {
    let mut observed = bare(source);
    for node in ["n1", "n2", "n3"] {
        let info = if node == "n2" {
            "role:master\nmaster_repl_offset:100\nslave0:ip=10.1.0.11,port=6380,state=online,offset=90,lag=0\nslave1:ip=10.1.0.13,port=6380,state=online,offset=100,lag=0\n"
        } else {
            "role:slave\nmaster_host:10.1.0.12\nmaster_link_status:up\nslave_repl_offset:90\n"
        };
        let said = STANDARD.encode(reply(source, &observed, node, info, turned));
        let masterauth = hash(source, "redis/replica");
        let owner = token(source);
        let redis =
            [("said", said.as_str()), ("masterauth", &masterauth), ("owner", &owner), ("configured", "yes")];
        put(&mut observed, node, id(), &redis);
        let others: String =
            ["10.1.0.11", "10.1.0.12"].map(|ip| format!("name\nx\nip\n{ip}\nflags\nsentinel\n")).concat();
        let seed = text::seed(source, &observed, &NodeName::from(node), "sentinel").unwrap().unwrap().content;
        let users: String =
            seed.lines().filter(|line| line.starts_with("user ")).flat_map(|line| [line, "\n"]).collect();
        let said = format!(
            "=info\nredis_version:7.0.15\n=master\nname\ntest\nip\n10.1.0.12\nport\n6380\nquorum\n2\ndown-after-milliseconds\n5000\n\
             failover-timeout\n30000\nparallel-syncs\n1\n=replicas\nname\nx\nip\n10.1.0.11\nflags\nslave\n=sentinels\n{others}\
             =ckquorum\nOK 3 usable Sentinels\n=users\n{users}=end\n"
        );
        let fields = [
            ("configured", "yes".to_owned()),
            ("said", STANDARD.encode(said)),
            ("auth-user", "sentinel".into()),
            ("auth-pass", hash(source, "redis/sentinel")),
            ("master-reboot-down-after-period", "5000".into()),
            ("sentinel-user", "admin".into()),
            ("sentinel-pass", hash(source, "sentinel/admin")),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (*key, value.as_str())).collect();
        put(&mut observed, node, sentinel_id(), &fields);
    }
    observed
}

fn told(change: &Change) -> String {
    let (_, call) = &change.calls[0];
    call.args
        .iter()
        .filter_map(|arg| match arg {
            Arg::Payload(Payload::Bytes(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_primary_that_moved_at_run_time_is_left_where_it_is() {
    let source = source();
    let observed = running(&source, &[]);
    assert_eq!(primary(&source, &observed), Some(NodeName::from("n2")));
    assert_eq!(changes(&source, &observed).unwrap(), []);
    assert_eq!(sentinel_changes(&source, &observed).unwrap().0, []);
    assert_eq!(password_changes(&source, &observed).unwrap(), []);
}

#[test]
fn at_first_one_node_begins_and_the_others_follow_it() {
    let source = source();
    let begun = changes(&source, &bare(&source)).unwrap();
    let calls = |change: &Change| change.calls.iter().map(|(_, call)| call.function).collect::<Vec<_>>();
    let all: Vec<_> = begun.iter().map(|(node, change)| (node.as_str(), calls(change))).collect();
    let follows = vec!["redis_follow", "owned_claim"];
    assert_eq!(all, [("n1", vec!["owned_claim"]), ("n2", follows.clone()), ("n3", follows)]);
}

#[test]
fn a_replica_whose_beginning_was_cut_off_follows_and_does_not_lead() {
    let source = source();
    let mut observed = bare(&source);
    put(&mut observed, "n2", id(), &[("configured", "yes")]);
    let begun = changes(&source, &observed).unwrap();
    assert_eq!(begun[1].1.reason, "no data yet; follows n1");
    // One that had the role before and gets it back.
    let owner = token(&source);
    let mut observed = running(&source, &[]);
    observed.get_mut(&NodeName::from("n3")).unwrap().fields.remove(&id());
    put(&mut observed, "n3", id(), &[("owner", &owner)]);
    let calls: Vec<_> = changes(&source, &observed).unwrap().remove(0).1.calls;
    assert_eq!(calls.iter().map(|(_, call)| call.function).collect::<Vec<_>>(), ["redis_follow"]);
}

#[test]
fn nobody_copies_a_primary_that_has_lost_its_data() {
    let source = source();
    let mut observed = running(&source, &[]);
    observed.get_mut(&NodeName::from("n2")).unwrap().fields.remove(&id());
    let refused = changes(&source, &observed).unwrap_err().to_string();
    assert!(
        refused.starts_with("n2 is new, and the Sentinels still have it for the primary of Redis"),
        "{refused}"
    );
    // A replica may come back without any.
    let mut observed = running(&source, &[]);
    observed.get_mut(&NodeName::from("n3")).unwrap().fields.remove(&id());
    assert_eq!(changes(&source, &observed).unwrap()[0].1.reason, "no data yet; follows n2");
}

#[test]
fn redis_is_not_given_less_memory_than_it_has_data() {
    let source = source();
    let mut observed = running(&source, &[("maxmemory", "8589934592")]);
    assert_eq!(changes(&source, &observed).unwrap().len(), 3);
    let own = observed.get_mut(&NodeName::from("n1")).unwrap().fields.get_mut(&id()).unwrap();
    let said = crate::live::text(own, "said").unwrap().replace("=info\n", "=info\nused_memory:4294967296\n");
    own.insert("said".into(), STANDARD.encode(said));
    let refused = changes(&source, &observed).unwrap_err().to_string();
    assert!(refused.starts_with("n1: Redis has 4096 MB in use, and `maxmemory` would be "), "{refused}");
}

#[test]
fn a_directive_set_by_hand_is_set_back_alone() {
    let source = source();
    let observed = running(&source, &[("appendfsync", "no")]);
    let changes = changes(&source, &observed).unwrap();
    assert_eq!(changes.len(), 3);
    assert_eq!(told(&changes[0].1), "CONFIG SET appendfsync \"everysec\"\nCONFIG REWRITE\n");
    assert_eq!(changes[0].1.reason, "appendfsync is no, not everysec");
}

#[test]
fn a_new_password_comes_beside_the_old_one_before_that_is_taken_back() {
    let source = source();
    let mut observed = running(&source, &[]);
    let (old, new) = ("0".repeat(64), hash(&source, "redis/app"));
    let with = |observed: &mut Observed, passwords: &str| {
        let own = observed.get_mut(&NodeName::from("n1")).unwrap().fields.get_mut(&id()).unwrap();
        let said = crate::live::text(own, "said").unwrap();
        let said = said
            .replace(&format!("user app on sanitize-payload #{new}"), &format!("user app on {passwords}"));
        own.insert("said".into(), STANDARD.encode(said));
    };
    with(&mut observed, &format!("#{old}"));
    let (_, given) = &changes(&source, &observed).unwrap()[0];
    assert_eq!(told(given), format!("ACL SETUSER app #{new}\nCONFIG REWRITE\n"));
    let mut observed = running(&source, &[]);
    with(&mut observed, &format!("#{old} #{new}"));
    assert_eq!(changes(&source, &observed).unwrap(), []);
    let (_, taken) = &password_changes(&source, &observed).unwrap()[0];
    assert_eq!(told(taken), format!("ACL SETUSER app resetpass #{new}\nCONFIG REWRITE\n"));
}

#[test]
fn data_of_others_and_another_port_stop_the_run() {
    let source = source();
    let mut observed = bare(&source);
    put(&mut observed, "n1", id(), &[("data", "/var/lib/redis")]);
    let refused = changes(&source, &observed).unwrap_err().to_string();
    assert_eq!(refused, "n1: /var/lib/redis holds the data of a Redis that this cluster did not make");
    let refused = changes(&source, &running(&source, &[("tls-port", "6379")])).unwrap_err().to_string();
    assert_eq!(refused, "n1: Redis listens on port 6379, and the inventory leads to 6380");
}

#[test]
fn who_left_the_inventory_is_forgotten_once_it_is_gone() {
    let source = source();
    let gone = |flags: &str| {
        let mut observed = running(&source, &[]);
        for node in ["n1", "n2", "n3"] {
            let own =
                observed.get_mut(&NodeName::from(node)).unwrap().fields.get_mut(&sentinel_id()).unwrap();
            let said = crate::live::text(own, "said").unwrap();
            let said = said
                .replace("=sentinels\n", &format!("name\ny\nip\n10.1.0.99\nflags\n{flags}\n=sentinels\n"));
            own.insert("said".into(), STANDARD.encode(said));
        }
        sentinel_changes(&source, &observed).unwrap()
    };
    let (changes, notes) = gone("slave");
    assert!(
        changes.is_empty() && notes[0].contains("10.1.0.99 is no longer in the inventory and still runs"),
        "{notes:?}"
    );
    // While a Sentinel tries to connect again, only its last answer tells.
    let silent = "slave\nlast-ok-ping-reply\n9000\ndown-after-milliseconds\n5000";
    assert_eq!(gone(silent).0.len(), 1);
    let (changes, notes) = gone("slave\nlast-ok-ping-reply\n120\ndown-after-milliseconds\n5000");
    assert_eq!((changes.len(), notes.len()), (0, 1));
    let (changes, _) = gone("s_down,slave");
    assert_eq!(changes[0].1.calls[0].1.function, "sentinel_forget");
    assert!(changes[0].1.reason.contains("10.1.0.99"));
}

/// What a Sentinel says, with `from` in it turned into `to`.
fn turn(observed: &mut Observed, node: &str, from: &str, to: &str) {
    let own = observed.get_mut(&NodeName::from(node)).unwrap().fields.get_mut(&sentinel_id()).unwrap();
    let said = crate::live::text(own, "said").unwrap();
    assert!(said.contains(from), "{said}");
    own.insert("said".into(), STANDARD.encode(said.replace(from, to)));
}

const FIVE: &str = "
name: test
nodes:
  n1: { kind: [manager, worker, app], address: 10.1.0.11 }
  n2: { kind: [manager, worker, app], address: 10.1.0.12 }
  n3: { kind: [manager, worker, app], address: 10.1.0.13 }
  n4: { kind: worker, address: 10.1.0.14 }
  n5: { kind: worker, address: 10.1.0.15 }
";

/// Five machines of which n1 to n3 run everything; and what `roles` makes of them.
fn five(roles: &str) -> (Source, Observed) {
    let trust = || Trust::settled("authority", "0123456789ab");
    let observed = running(&fixture::source(FIVE, trust()), &[]);
    (fixture::source(&format!("{FIVE}roles: {roles}\n"), trust()), observed)
}

#[test]
fn a_sentinel_that_is_lost_is_forgotten_in_the_run_that_brings_another() {
    let (source, mut observed) = five("{ sentinel: { on: [n1, n2, n4] } }");
    observed.get_mut(&NodeName::from("n3")).unwrap().fields.remove(&sentinel_id());
    for node in ["n1", "n2"] {
        turn(&mut observed, node, "=ckquorum", "name\nz\nip\n10.1.0.13\nflags\ns_down,sentinel\n=ckquorum");
    }
    let forgets = |observed: &Observed| {
        let (changes, notes) = sentinel_changes(&source, observed).unwrap();
        let forget = changes.iter().find(|(_, change)| change.calls[0].1.function == "sentinel_forget");
        (forget.is_some_and(|(_, change)| change.last), notes.len())
    };
    assert_eq!(forgets(&observed), (true, 0));
    // One that runs and does not answer is none that comes.
    put(&mut observed, "n4", Id::new("unit", SENTINEL), &[("active", "active")]);
    put(&mut observed, "n4", sentinel_id(), &[("configured", "yes")]);
    assert_eq!(forgets(&observed), (false, 1));
}

#[test]
fn what_the_run_itself_stops_is_forgotten_in_it() {
    let (source, mut observed) = five("{ sentinel: { on: [n1, n2, n4] } }");
    for node in ["n1", "n2"] {
        turn(&mut observed, node, "=ckquorum", "name\nz\nip\n10.1.0.13\nflags\nsentinel\n=ckquorum");
    }
    let forgets = |observed: &Observed| {
        let (changes, notes) = sentinel_changes(&source, observed).unwrap();
        (changes.iter().any(|(_, change)| change.verb == Verb::Delete), notes.len())
    };
    assert_eq!(forgets(&observed), (false, 1));
    let ours = [("started", "here"), ("active", "active"), ("enabled", "enabled")];
    put(&mut observed, "n3", Id::new("unit", SENTINEL), &ours);
    assert_eq!(forgets(&observed), (true, 0));
}

#[test]
fn most_of_the_sentinels_that_run_have_to_stay() {
    let refused = |roles: &str| {
        let (source, observed) = five(roles);
        sentinel_changes(&source, &observed).err().map(|error| error.to_string())
    };
    let said = refused("{ sentinel: { on: [n1, n4, n5] } }").unwrap();
    assert_eq!(
        said,
        "of the 3 Sentinels that run, only 1 would stay: too few to replace a lost primary of Redis"
    );
    assert_eq!(refused("{ sentinel: { on: [n1, n2, n4] } }"), None);
    // With n2 down already, it may not be n1 alone that is left.
    let (source, mut observed) = five("{ sentinel: { on: [n1, n2, n4] } }");
    observed.get_mut(&NodeName::from("n2")).unwrap().fields.remove(&sentinel_id());
    for node in ["n1", "n3"] {
        turn(&mut observed, node, "10.1.0.12\nflags\nsentinel", "10.1.0.12\nflags\ns_down,sentinel");
    }
    assert!(sentinel_changes(&source, &observed).is_err());
}

#[test]
fn a_primary_on_a_node_without_the_role_is_not_left_behind() {
    let refused = |roles: &str, sentinels: bool| {
        let (source, mut observed) = five(roles);
        if !sentinels {
            for seen in observed.values_mut() {
                seen.fields.remove(&sentinel_id());
            }
        }
        changes(&source, &observed).err().map(|error| error.to_string())
    };
    let moved = "{ redis: { on: [n4, n5] } }";
    let said = refused(moved, true).unwrap();
    assert_eq!(said, "the primary of Redis is 10.1.0.12, which is no Redis node of the inventory");
    assert!(refused(moved, false).unwrap().contains("is n2, which is no Redis node"));
    for sentinels in [true, false] {
        assert_eq!(refused("{ redis: { on: [n2, n4] } }", sentinels), None);
    }
}

#[test]
fn a_move_goes_to_the_replica_with_most_writes_or_where_it_is_asked_to() {
    let source = source();
    let observed = running(&source, &[]);
    let to = |node: Option<&str>| hand_over(&source, &observed, node.map(NodeName::from).as_ref());
    assert_eq!(to(None).unwrap(), HandOver { from: "n2".into(), to: "n3".into() });
    assert_eq!(to(Some("n1")).unwrap().to.as_str(), "n1");
    assert_eq!(to(Some("n2")).unwrap(), HandOver { from: "n2".into(), to: "n2".into() });
    assert_eq!(to(Some("n9")).unwrap_err().what, "n9 is not linked to the primary");
    let mut newer = running(&source, &[]);
    let own = newer.get_mut(&NodeName::from("n3")).unwrap().fields.get_mut(&id()).unwrap();
    let said = crate::live::text(own, "said").unwrap().replace("redis_version:7.0.15", "redis_version:8.0.2");
    own.insert("said".into(), STANDARD.encode(said));
    assert_eq!(
        hand_over(&source, &newer, None).unwrap_err().what,
        "n3 has a newer Redis than n1, which could not copy its data"
    );
    assert_eq!(
        hand_over(&source, &bare(&source), None).unwrap_err().what,
        "too few Sentinels are ready to move the primary of Redis"
    );
}
