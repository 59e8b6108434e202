//! Inventories from text to verdict: the fixtures of every rule, the shipped files, hostile input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "inventory/properties.rs"]
mod properties;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use deploy::cluster::Cluster;
use deploy::inventory::model::Kind;
use deploy::inventory::{
    InventoryError, KnownRoles, Loaded, check_memory, check_release, folder, parse, parse_with, schema,
};
use deploy::live::{Observation, Observed, secret_names};
use deploy::pki::Trust;
use deploy::plan;
use deploy::render::{Facts, Source};
use deploy::role::Library;
use deploy::secrets::Secret;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// With the roles beside it.
fn load(path: &Path) -> Result<Loaded, InventoryError> {
    let library = Library::with_folder(&folder(path)).unwrap();
    deploy::inventory::load(path, &library.known_roles())
}

fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Holds a file equal to a text, or writes it when `UPDATE` is set.
fn hold(path: &Path, text: &str) {
    if updating() {
        fs::write(path, text).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(kept, text, "{} is out of date; run the test with UPDATE=1", path.display());
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

fn shipped() -> Vec<PathBuf> {
    let mut all = files("examples");
    all.push(root().join("examples/own-role/cluster.yaml"));
    all.extend(["lab", "demo"].map(|name| root().join("inventories").join(name).join("cluster.yaml")));
    all
}

const NODES: &str = "nodes:
  m1: { kind: manager, address: 10.0.0.11 }
  m2: { kind: manager, address: 10.0.0.12 }
  m3: { kind: manager, address: 10.0.0.13 }
  w1: { kind: worker, address: 10.0.0.21 }
  w2: { kind: worker, address: 10.0.0.22 }
  a1: { kind: app, address: 10.0.0.31 }
";

/// Each fixture is a series of documents between lines that begin with `### `: the title of a case. A title that
/// begins with `ok` is the passing twin. Documents without `nodes:` get the same six.
#[test]
fn every_rule_has_a_failing_case_and_a_passing_twin() {
    for path in files("tests/inventory") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let mut transcript = String::new();
        let (mut good, mut bad) = (0, 0);
        for case in text.split("### ").skip(1) {
            let (title, document) = case.split_once('\n').unwrap();
            let mut document = document.trim_end().to_owned() + "\n";
            if !document.contains("name:") {
                document = format!("name: shop\n{document}");
            }
            if !document.lines().any(|line| line.starts_with("nodes:")) {
                document += NODES;
            }
            let verdict = parse("shop.yaml", &document);
            if title.starts_with("ok") {
                good += 1;
                assert!(verdict.is_ok(), "{name}: {title}\n{}", verdict.unwrap_err());
            } else {
                bad += 1;
                let Err(problems) = verdict else { panic!("{name}: {title}: nothing was found") };
                write!(transcript, "### {title}\n{problems}\n").unwrap();
            }
        }
        assert!(good > 0 && bad > 0, "{name} needs failing cases and passing twins");
        hold(&path.with_extension("err"), &transcript);
    }
}

#[test]
fn shipped_inventories_are_valid_and_name_their_schema() {
    for path in shipped() {
        let loaded = load(&path).unwrap_or_else(|error| panic!("{error}"));
        let first = loaded.source.lines().next().unwrap();
        let target = first.strip_prefix("# yaml-language-server: $schema=").expect(first);
        let target = loaded.dir.join(target).canonicalize().unwrap();
        assert_eq!(target, root().join("inventories/schema.json").canonicalize().unwrap());
    }
}

/// From bare machines, on either release of Debian, there is something to do on every one of them.
#[test]
fn shipped_inventories_are_planned() {
    for path in shipped() {
        let loaded = load(&path).unwrap();
        let library = Library::with_folder(&loaded.dir).unwrap();
        let cluster = Cluster::new(loaded.inventory, &library);
        let named = secret_names(&cluster, &library).into_iter();
        let secrets = named.map(|name| (name, Secret::new("x".repeat(36)))).collect();
        let source = Source::new(cluster, library, secrets, Trust::settled("authority", "0")).unwrap();
        for debian in [12, 13] {
            let facts = Facts {
                debian,
                ram_mib: 16384,
                cores: 4,
                clock: 0,
                hostname: "x".into(),
                interfaces: Vec::new(),
                unproven: None,
            };
            let bare = Observation { facts, fields: BTreeMap::new() };
            let nodes = source.cluster.nodes.keys();
            let observed: Observed = nodes.map(|node| (node.clone(), bare.clone())).collect();
            let plan = plan::build(&source, &observed, time::OffsetDateTime::UNIX_EPOCH)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            for node in observed.keys() {
                let changes = plan.changes().filter(|(_, on, _)| *on == node).count();
                assert!(changes > 5, "{}: {changes} changes of {node}", path.display());
            }
        }
    }
}

#[test]
fn the_kept_schema_is_that_of_the_types() {
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    hold(&root().join("inventories/schema.json"), &text);
}

#[test]
fn every_field_is_documented_and_every_number_bounded() {
    fn walk(at: &str, schema: &Value, bare: &mut Vec<String>) {
        let Some(schema) = schema.as_object() else { return };
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if property.get("description").is_none() {
                bare.push(format!("{at}.{name} has no description"));
            }
            let kind = property.get("type").map(Value::to_string).unwrap_or_default();
            if kind.contains("integer")
                && (property.get("minimum").is_none() || property.get("maximum").is_none())
            {
                bare.push(format!("{at}.{name} has no bounds"));
            }
        }
    }
    let schema = schema();
    let mut bare = Vec::new();
    walk("inventory", &schema, &mut bare);
    for (name, part) in schema["$defs"].as_object().unwrap() {
        walk(name, part, &mut bare);
    }
    assert_eq!(bare, [] as [String; 0]);
}

#[test]
fn a_folder_stands_for_the_file_in_it() {
    let by_folder = load(&root().join("inventories/lab")).unwrap();
    let by_file = load(&root().join("inventories/lab/cluster.yaml")).unwrap();
    assert_eq!(by_folder.inventory, by_file.inventory);
    assert_eq!(by_folder.dir, by_file.dir);
}

#[test]
fn what_is_not_there_or_not_readable_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cluster.yaml");
    assert!(matches!(load(dir.path()), Err(InventoryError::Missing(path)) if path == file));
    fs::write(&file, b"name: x\nnodes: \xff\n").unwrap();
    assert!(matches!(load(&file), Err(InventoryError::NotText { line: 2, .. })));
    fs::write(&file, "a: b\n".repeat(2_000_000)).unwrap();
    assert!(matches!(load(&file), Err(InventoryError::TooLarge(_))));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(matches!(load(dir.path()), Err(InventoryError::NotAFile(_))));
    assert!(matches!(load(Path::new("/dev/null")), Err(InventoryError::NotAFile(_))));
}

#[test]
fn roles_beside_the_inventory_can_be_placed() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("name: shop\nroles:\n  web:\n    on: [a1]\n{NODES}");
    fs::write(dir.path().join("cluster.yaml"), &text).unwrap();
    assert!(matches!(load(dir.path()), Err(InventoryError::Invalid(_))));
    fs::create_dir(dir.path().join("roles")).unwrap();
    fs::write(dir.path().join("roles/web.yaml"), "role: web\ntitle: web\nphase: services\n").unwrap();
    load(dir.path()).unwrap();
}

#[test]
fn roles_that_share_a_port_cannot_share_a_node() {
    let text = |node: &str| format!("name: shop\nroles:\n  web:\n    on: [{node}]\n{NODES}");
    let roles = KnownRoles::built_in().and("web", &[], &[5000]);
    let problems = parse_with("shop.yaml", &text("m1"), &roles).unwrap_err();
    assert_eq!(problems.list().len(), 1);
    assert_eq!(problems.list()[0].message, "`haproxy` and `web` both listen on port 5000 of `m1`");
    parse_with("shop.yaml", &text("a1"), &roles).unwrap();
    let text = format!("name: shop\n{NODES}");
    let roles = KnownRoles::built_in().and("web", &[Kind::App], &[6432]);
    let problems = parse_with("shop.yaml", &text, &roles).unwrap_err();
    assert_eq!(problems.list()[0].message, "`pgbouncer` and `web` both listen on port 6432 of `a1`");
    assert_eq!(problems.list()[0].place.unwrap().line, 8);
    let roles = KnownRoles::built_in().and("web", &[Kind::Worker], &[6432]);
    parse_with("shop.yaml", &text, &roles).unwrap();
}

#[test]
fn haproxy_has_the_ports_of_applications_where_there_are_any() {
    let roles = KnownRoles::built_in().and("web", &[Kind::Manager], &[443]);
    let text = format!("name: shop\n{NODES}");
    parse_with("shop.yaml", &text, &roles).unwrap();
    let text = text + "applications: { shop: { hosts: [shop.example.org], nodes: [a1], port: 8080 } }\n";
    let problems = parse_with("shop.yaml", &text, &roles).unwrap_err();
    assert_eq!(problems.list()[0].message, "`haproxy` and `web` both listen on port 443 of `m1`");
}

#[test]
fn a_release_is_checked_once_it_is_known() {
    let text = format!(
        "name: shop\npostgresql:\n  parameters:\n    transaction_timeout: 5s\n  roles:\n    app: {{ member_of: [pg_maintain] }}\n{NODES}"
    );
    let (inventory, places) = parse("shop.yaml", &text).unwrap();
    assert_eq!(check_release(&inventory, &places, 17), []);
    let problems = check_release(&inventory, &places, 15);
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        ["PostgreSQL 15 has no parameter `transaction_timeout`", "PostgreSQL 15 has no role `pg_maintain`"]
    );
    assert_eq!(problems[0].place.unwrap().line, 4);
}

#[test]
fn sizes_are_held_to_the_machines_once_they_are_known() {
    let text = |more: &str| {
        format!(
            "name: shop\npostgresql:\n{more}  parameters:\n    shared_buffers: 6GB\n    work_mem: 32MB\n{NODES}"
        )
    };
    let messages = |more: &str, mib: u64| -> Vec<(usize, String)> {
        let (inventory, places) = parse("shop.yaml", &text(more)).unwrap();
        let problems = check_memory(&inventory, &places, mib);
        problems.into_iter().map(|problem| (problem.place.unwrap().line, problem.message)).collect()
    };
    assert_eq!(messages("", 16_384), []);
    let buffers =
        "shared_buffers takes 6144 MB of a memory of 4096 MB, which the smallest worker has for PostgreSQL";
    let both = messages("", 4096);
    assert_eq!(both[0], (4, buffers.to_owned()));
    assert_eq!((both.len(), both[1].0), (2, 5));
    // A rehearsal on smaller machines keeps to the memory that it is told; what is taken at the start has to be there.
    assert_eq!(messages("  memory: 32GB\n", 4096), [(5, buffers.to_owned())]);
    assert_eq!(messages("  memory: 32GB\n", 8500), []);
}

fn nested(depth: usize) -> String {
    (0..depth).fold(String::new(), |text, n| text + &" ".repeat(n.min(100)) + "a:\n")
}

fn many_keys(count: usize) -> String {
    (0..count).fold(String::new(), |text, n| text + "k" + &n.to_string() + ": 1\n")
}

/// Documents that are made to hurt: each must give an error, soon, and no panic.
#[test]
fn hostile_documents_get_an_error() {
    let bomb = (0..30).fold(String::from("a0: &a0 [x, x]\n"), |text, n| {
        format!("{text}a{}: &a{} [{}]\n", n + 1, n + 1, vec![format!("*a{n}"); 10].join(", "))
    });
    let merges = (0..30).fold(String::from("a0: &a0 {x: 1}\n"), |text, n| {
        format!("{text}a{}: &a{}\n  <<: [*a{n}, *a{n}]\n  k{n}: *a{n}\n", n + 1, n + 1)
    });
    let cases: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("blank", " \n\n".into()),
        ("only a comment", "# hello\n".into()),
        ("null", "~".into()),
        ("text", "hello".into()),
        ("list", "- 1\n".into()),
        ("two documents", format!("name: a\n{NODES}---\nname: b\n")),
        ("anchors that explode", bomb),
        ("merges that explode", merges),
        ("an alias of itself", "a: &a [*a]\n".into()),
        ("deep lists", "[".repeat(100_000)),
        ("deep mappings", nested(5000)),
        ("deep flow", format!("{}1{}", "{a: ".repeat(50_000), "}".repeat(50_000))),
        ("a NUL", "name: a\0b\n".into()),
        ("an escaped NUL", format!("name: \"a\\0b\"\n{NODES}")),
        ("tabs", "name: a\n\tnodes: b\n".into()),
        ("CR only", "name: a\rnodes: {}\r".into()),
        ("ten megabytes", "a".repeat(10 * 1024 * 1024)),
        ("one long line", format!("name: {}\n{NODES}", "a".repeat(1_000_000))),
        ("many keys", many_keys(100_000)),
        ("infinity", format!("name: .inf\n{NODES}")),
        ("a huge number", format!("patroni: {{ttl: {}}}\nname: a\n{NODES}", "9".repeat(5000))),
        ("a tag", format!("name: !!python/object/apply:os.system [id]\n{NODES}")),
        ("an include", format!("name: !include /etc/passwd\n{NODES}")),
        ("a key that is a list", "? [a, b]\n: 1\n".into()),
        ("a key of the parser", "__serde_saphyr_private_spanned: true\nvalue: 1\n".into()),
        ("terminal escapes", "name: \"\\e[31m\\e]0;x\\a\"\nnodes: 1\n".into()),
        ("right to left", "\u{202e}name: a\u{202e}b\nnodes: 1\n".into()),
    ];
    for (what, text) in cases {
        let start = std::time::Instant::now();
        let problems = parse("bad.yaml", &text).expect_err(what);
        let shown = problems.to_string();
        assert!(start.elapsed().as_secs() < 60, "{what} took {:?}", start.elapsed());
        assert!(!shown.is_empty(), "{what}");
        assert!(shown.lines().all(|line| line.chars().count() < 3000), "{what}");
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{what}: {shown:?}");
        assert!(!shown.contains('\u{202e}'), "{what}");
    }
}

#[test]
fn a_private_key_in_the_wrong_place_is_not_shown() {
    let secret = "AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
    for text in [
        format!("name: shop\ntrust: {{ recipients: [{secret}] }}\n{NODES}"),
        format!("name: {secret}\n{NODES}"),
        format!("name: shop\n{secret}: 1\n{NODES}"),
        format!("name: [{secret}\n{NODES}"),
        format!("name: shop\n{NODES}postgresql: {{ parameters: {{ work_mem: {secret} }} }}\n"),
    ] {
        let shown = parse("bad.yaml", &text).unwrap_err().to_string();
        assert!(!shown.contains("QQPZRY9X8"), "{shown}");
    }
}

#[test]
fn of_very_many_problems_the_first_are_shown() {
    let problems = parse("bad.yaml", &many_keys(2000)).unwrap_err();
    assert_eq!(problems.list().len(), 2002);
    assert!(problems.to_string().ends_with("\n1902 more problems\n"));
}

#[test]
fn a_byte_order_mark_does_no_harm() {
    parse("bom.yaml", &format!("\u{feff}name: shop\n{NODES}")).unwrap();
    parse("crlf.yaml", &format!("name: shop\n{NODES}").replace('\n', "\r\n")).unwrap();
}

#[test]
fn names_are_refused_before_they_reach_a_shell_or_a_template() {
    for name in
        ["a'b", "a\"b", "a b", "a\nb", "$(id)", "`id`", "{{ x }}", "{% raw %}", "a;b", "../a", "-a", "é"]
    {
        let key = serde_json::to_string(name).unwrap();
        for text in [
            format!("name: {key}\n{NODES}"),
            format!("name: shop\n{NODES}  {key}: {{ kind: app, address: 10.0.0.99 }}\n"),
            format!("name: shop\n{NODES}postgresql: {{ roles: {{ app: {{}}, {key}: {{}} }} }}\n"),
            format!("name: shop\n{NODES}postgresql: {{ databases: {{ {key}: {{}} }} }}\n"),
            format!("name: shop\n{NODES}postgresql: {{ databases: {{ app: {{ schemas: [{key}] }} }} }}\n"),
            format!("name: shop\n{NODES}postgresql: {{ databases: {{ app: {{ extensions: [{key}] }} }} }}\n"),
            format!("name: shop\n{NODES}postgresql: {{ parameters: {{ {key}: 1 }} }}\n"),
            format!("name: shop\n{NODES}kernel: {{ sysctl: {{ {key}: 1 }} }}\n"),
            format!("name: shop\n{NODES}ssh: {{ user: {key} }}\n"),
            format!("name: shop\n{NODES}roles: {{ {key}: {{}} }}\n"),
            format!("name: shop\n{NODES}  b1: {{ kind: app, address: 10.0.0.98, host: {key} }}\n"),
        ] {
            assert!(parse("bad.yaml", &text).is_err(), "{text}");
        }
    }
}
