//! Roles and databases: what is seen, and what has to change; each with its twin where nothing has.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::members;
use super::tests::{INVENTORY, bare, packed, planned, running, set, source, source_of, written};
use super::*;
use crate::resource::{Arg, Payload, Verb};
use crate::secrets::{Secret, scram_verifier};

/// The SQL of a change.
fn sql(change: &Change) -> String {
    let args = change.calls.iter().flat_map(|(_, call)| &call.args);
    let bytes = args.filter_map(|arg| match arg {
        Arg::Payload(Payload::Bytes(bytes)) => Some(bytes.clone()),
        _ => None,
    });
    bytes.map(|bytes| String::from_utf8(bytes).unwrap()).collect()
}

#[test]
fn a_role_is_made_with_a_verifier_and_left_alone_when_it_is_right() {
    let source = source();
    let configuration = written(&source, &bare(&source, 13)).unwrap();
    let mut observed = running(&source, 13, &configuration);
    let role = |observed: &Observed| {
        planned("databases", &source, observed)
            .into_iter()
            .find(|(_, change)| change.id == Id::new("role", "app"))
    };
    let (node, change) = role(&observed).unwrap();
    let password = &source.secrets["postgresql/app"];
    assert_eq!((node.as_str(), change.verb), ("w1", Verb::Create));
    assert!(sql(&change).contains("SCRAM-SHA-256$4096:") && !sql(&change).contains(password.expose()));
    let seen = |verifier: &str| {
        let app = json!({ "login": true, "limit": -1, "password": verifier, "member_of": [] });
        packed(&json!({ "roles": { "app": app }, "databases": {} }))
    };
    set(
        &mut observed,
        "w1",
        objects::id(),
        "main",
        &seen(&scram_verifier(password, b"0123456789abcdef", 4096)),
    );
    assert_eq!(role(&observed), None);
    let other = scram_verifier(&Secret::new("something else"), b"0123456789abcdef", 4096);
    set(&mut observed, "w1", objects::id(), "main", &seen(&other));
    let reason = role(&observed).unwrap().1.reason;
    assert_eq!(
        reason,
        "its password is not the one in the store: the old one ends at once, open connections stay"
    );
}

#[test]
fn what_no_leader_shows_is_not_called_missing() {
    let source = source();
    let mut observed = bare(&source, 13);
    let reasons = |observed: &Observed| -> Vec<String> {
        planned("databases", &source, observed).into_iter().map(|(_, change)| change.reason).collect()
    };
    assert!(reasons(&observed).iter().any(|reason| reason == "does not exist"));
    set(&mut observed, "w2", members::id(), "data", "/var/lib/postgresql/17/main");
    set(&mut observed, "w2", members::id(), "owner", &token(&source));
    assert!(reasons(&observed).iter().all(|reason| reason == "cannot be seen: no leader answers"));
}

#[test]
fn a_changed_password_is_shown_to_every_pooler_and_patroni_s_own_one_is_changed() {
    let source =
        source_of(&(INVENTORY.replace("patroni:", "  a1: { kind: app, address: 10.1.0.31 }\npatroni:")));
    let configuration = written(&source, &bare(&source, 13)).unwrap();
    let mut observed = running(&source, 13, &configuration);
    let made = |observed: &Observed| -> Vec<(String, String)> {
        let all = planned("databases", &source, observed).into_iter();
        let of_passwords = all.filter(|(_, change)| change.reason.contains("password"));
        of_passwords.map(|(node, change)| (node, change.id.to_string())).collect()
    };
    let verifier = |text: &str| scram_verifier(&Secret::new(text), b"0123456789abcdef", 4096);
    let app = json!({ "login": true, "limit": -1, "password": verifier("old"), "member_of": [] });
    let roles = json!({ "roles": { "app": app, "rewind": app }, "databases": {} });
    set(&mut observed, "w1", objects::id(), "main", &packed(&roles));
    let leader = |name: &str| ("w1".to_owned(), format!("role {name}"));
    assert_eq!(made(&observed), [leader("app"), leader("rewind")]);
    set(&mut observed, "a1", Id::new("pgbouncer", "pools"), "console", &STANDARD.encode("database,user,\n"));
    let login = ("a1".to_owned(), "pgbouncer login of app".to_owned());
    assert_eq!(made(&observed), [leader("app"), leader("rewind"), login.clone()]);
    // What the next run finds where this one was killed in front of the log-in.
    let due = json!({ "login": true, "limit": -1, "password": verifier(source.secrets["postgresql/app"].expose()),
        "log_in_due": true, "member_of": [] });
    let mut killed = observed.clone();
    set(
        &mut killed,
        "w1",
        objects::id(),
        "main",
        &packed(&json!({ "roles": { "app": due }, "databases": {} })),
    );
    assert_eq!(made(&killed), std::slice::from_ref(&login));
    for observed in [&observed, &killed] {
        let behind = planned("pgbouncer", &source, observed);
        assert!(
            behind
                .iter()
                .any(|(node, change)| node == "w1" && sql(change).contains("\"app\" RESET deploy.log_in;"))
        );
    }
    let right = |name: &str| verifier(source.secrets[name].expose());
    let role = |name: &str| json!({ "login": true, "limit": -1, "password": right(name), "member_of": [] });
    let roles = json!({ "app": role("postgresql/app"), "rewind": role("patroni/rewind") });
    set(&mut observed, "w1", objects::id(), "main", &packed(&json!({ "roles": roles, "databases": {} })));
    assert_eq!(made(&observed), []);
}

#[test]
fn names_that_are_hostile_to_sql_stay_names() {
    let text = INVENTORY.to_owned()
        + "postgresql:\n  roles: { \"o_1\": {} }\n  databases: { d: { owner: o_1, schemas: [s] } }\n";
    let source = source_of(&text);
    let all = planned("databases", &source, &bare(&source, 13));
    let made: String = all.iter().map(|(_, change)| sql(change)).collect();
    assert!(
        made.contains(
            "SELECT 'CREATE DATABASE \"d\" OWNER \"o_1\" ALLOW_CONNECTIONS false' WHERE NOT EXISTS"
        ),
        "{made}"
    );
    assert!(made.contains("CREATE SCHEMA IF NOT EXISTS \"s\" AUTHORIZATION \"o_1\";"), "{made}");
    assert_eq!(sql::identifier("a\"; drop"), "\"a\"\"; drop\"");
    assert_eq!(sql::literal("it's"), "'it''s'");
}

#[test]
fn a_database_that_was_not_made_to_its_end_is_not_taken_for_one() {
    let source = source();
    let all = planned("databases", &source, &bare(&source, 13));
    let of = |kind: &str| {
        let mut own =
            all.iter().filter(|(_, change)| change.id == Id::new(kind, crate::render::CHECK_DATABASE));
        sql(&own.next().unwrap().1)
    };
    let (made, contents) = (of("database"), of("contents"));
    let opened = made.split_once("\nBEGIN;\n").unwrap().1;
    assert!(
        opened.starts_with("REVOKE CONNECT, TEMPORARY ON DATABASE")
            && opened.contains("ALLOW_CONNECTIONS true")
    );
    assert!(opened.ends_with(";\nCOMMIT;\n"), "{made}");
    let within = contents.split_once("\nBEGIN;\n").unwrap().1;
    for statement in ["COMMENT ON FUNCTION", "GRANT CONNECT ON DATABASE", "OWNER TO"] {
        assert!(within.contains(statement), "{contents}");
    }
    assert!(within.ends_with(";\nCOMMIT;\n"), "{contents}");
    assert!(
        format!("{:?}", objects::probe(&source).args).contains("FROM pg_database WHERE datallowconn)\\n)")
    );
}

#[test]
fn roles_that_are_ours_cannot_be_declared() {
    let ours =
        [database::LOOKUP_ROLE, objects::REWIND_ROLE, crate::render::CHECK_ROLE, "replicator", "postgres"];
    for role in ours {
        let text = format!("{INVENTORY}postgresql:\n  roles: {{ app: {{}}, {role}: {{}} }}\n");
        let problems = crate::inventory::parse("test.yaml", &text).unwrap_err();
        let messages: Vec<&str> = problems.list().iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, [format!("the role name `{role}` is reserved")]);
    }
    // `rewind` alone is Patroni's.
    let text = INVENTORY.to_owned() + "postgresql:\n  roles: { app: {}, rewinder: {} }\n";
    assert!(crate::inventory::parse("test.yaml", &text).is_ok());
}

#[test]
fn the_password_of_the_look_up_changes_right_before_its_poolers_hear_of_it() {
    let source = source();
    let configuration = written(&source, &bare(&source, 13)).unwrap();
    let mut observed = running(&source, 13, &configuration);
    let with = |observed: &mut Observed, password: &str| {
        let verifier = scram_verifier(&Secret::new(password), b"0123456789abcdef", 4096);
        let role = json!({ "login": true, "limit": -1, "password": verifier, "member_of": [] });
        set(
            observed,
            "w1",
            objects::id(),
            "main",
            &packed(&json!({ "roles": { "pgbouncer": role }, "databases": {} })),
        );
    };
    let changed = |observed: &Observed, phase: &str| {
        planned(phase, &source, observed).iter().any(|(_, change)| change.id == Id::new("role", "pgbouncer"))
    };
    // Nobody takes writes yet: whoever is to lead is told.
    let unseen = |observed: &Observed| planned("pgbouncer", &source, observed).remove(0).0;
    let mut starting = observed.clone();
    set(&mut starting, "w1", members::id(), "data", "/var/lib/postgresql/17/main");
    assert_eq!(unseen(&starting), "w1");
    let view = json!({ "members": [{ "name": "w2", "role": "leader", "state": "starting" }] });
    for node in ["w1", "w2", "w3"] {
        set(&mut starting, node, members::id(), "cluster", &packed(&view));
    }
    assert_eq!(unseen(&starting), "w2");
    with(&mut observed, "old");
    assert!(!changed(&observed, "databases") && changed(&observed, "pgbouncer"));
    with(&mut observed, source.secrets["pgbouncer/auth"].expose());
    assert!(!changed(&observed, "databases") && !changed(&observed, "pgbouncer"));
}

#[test]
fn rights_follow_the_inventory_both_ways() {
    let source = source_of(
        &(INVENTORY.to_owned()
            + "postgresql:\n  roles: { o: {}, r: {}, w: {} }\n  databases: { d: { owner: o, read_write: [w], read_only: [r] } }\n"),
    );
    let configuration = written(&source, &bare(&source, 13)).unwrap();
    let mut observed = running(&source, 13, &configuration);
    let contents = |observed: &Observed| {
        let all = planned("databases", &source, observed).into_iter();
        all.map(|(_, change)| change).find(|change| change.id == Id::new("contents", "d"))
    };
    let main = packed(&json!({ "roles": {}, "databases": { "d": "o" } }));
    set(&mut observed, "w1", objects::id(), "main", &main);
    let lookup = crate::resource::sha256(include_bytes!("lookup.sql"));
    let mut see = |missing: &[&str], excess: &[&str]| {
        let inside = json!({ "extensions": [], "schemas": ["public"], "lookup": lookup, "heartbeat": false,
            "missing": missing, "excess": excess });
        set(&mut observed, "w1", objects::id(), "database.d", &packed(&inside));
        contents(&observed)
    };
    assert_eq!(see(&[], &[]), None);
    let widened = see(&["w public"], &[]).unwrap();
    assert_eq!(widened.reason, "missing: read and write for w in public");
    assert!(sql(&widened).contains("UPDATE, DELETE ON ALL TABLES IN SCHEMA \"public\" TO \"w\";"));
    assert!(!sql(&widened).contains("REVOKE"), "{}", sql(&widened));
    let narrowed = see(&[], &["r public"]).unwrap();
    assert_eq!(narrowed.reason, "may only read, and can write: r in public");
    for line in [
        "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA \"public\" FROM \"r\" CASCADE;\n",
        "REVOKE USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA \"public\" FROM \"r\" CASCADE;\n",
        "FOR ROLE \"o\" IN SCHEMA \"public\" REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON TABLES FROM \"r\";\n",
        "FOR ROLE \"o\" IN SCHEMA \"public\" REVOKE USAGE, UPDATE ON SEQUENCES FROM \"r\";\n",
    ] {
        assert!(sql(&narrowed).contains(line), "{}", sql(&narrowed));
    }
    assert!(!sql(&narrowed).contains("GRANT"), "{}", sql(&narrowed));
    let both = see(&["r public"], &["r public"]).unwrap();
    assert_eq!(both.reason, "missing: read for r in public; may only read, and can write: r in public");
    // The probe asks for the owner that is wanted, and for each grant.
    let asked = format!("{:?}", objects::probe(&source).args);
    assert!(asked.contains("to_regrole(quote_ident('o'))"), "{asked}");
    assert!(asked.contains("(VALUES ('w', 'public', true), ('r', 'public', false))"), "{asked}");
}

#[test]
fn who_may_connect_as_a_member_of_an_owner_is_logged_in_for_as_well() {
    let text = INVENTORY.replace("patroni:", "  a1: { kind: app, address: 10.1.0.31 }\npatroni:")
        + "postgresql:\n  roles: { owner: {}, team: { member_of: [owner] }, second: { member_of: [team] }, other: {} }\n\
           \x20 databases: { shop: { owner: owner } }\n";
    let source = source_of(&text);
    let configuration = written(&source, &bare(&source, 13)).unwrap();
    let mut observed = running(&source, 13, &configuration);
    let old = scram_verifier(&Secret::new("old"), b"0123456789abcdef", 4096);
    let role = |groups: &[&str]| json!({ "login": true, "limit": -1, "password": old, "member_of": groups });
    let roles = json!({ "second": role(&["team"]), "other": role(&[]) });
    set(&mut observed, "w1", objects::id(), "main", &packed(&json!({ "roles": roles, "databases": {} })));
    set(&mut observed, "a1", Id::new("pgbouncer", "pools"), "console", &STANDARD.encode("database,user,\n"));
    let logins = planned("databases", &source, &observed).into_iter();
    let of = |role: &str| {
        let mut logins = logins.clone().filter(|(_, change)| change.id.name == format!("login of {role}"));
        logins.next().map(|(_, change)| format!("{:?}", change.calls).contains("shop shop_ro"))
    };
    assert_eq!((of("second"), of("other")), (Some(true), Some(false)));
}
