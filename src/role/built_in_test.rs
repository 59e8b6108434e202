//! Tests of the roles that come with the program: manifests hold together, scripts are POSIX shell, templates render.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, escape_formatter};
use serde_json::{Value as Json, json};

use super::{Library, Manifest, ServedPort, Takes};
use crate::inventory::model;

fn library() -> Library {
    Library::built_in().unwrap()
}

/// The rules of the real renderer: strict, scalars only, no escaping.
fn environment(library: &Library) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.unwrap());
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::String | ValueKind::Number => escape_formatter(out, state, value),
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("{kind} where a scalar belongs"))),
    });
    environment.add_filter("sha256", |text: String| crate::resource::sha256(text.as_bytes()));
    environment.add_function("secret", |name: String| format!("secret-of-{}", name.replace('/', "-")));
    environment.add_function("secret_start", |_: String| "eight-of".to_owned());
    for (name, text) in &library.templates {
        environment.add_template_owned(name.clone(), text.clone()).unwrap();
    }
    environment
}

/// One of three machines that are all kinds at once.
fn context(role: &Manifest, debian: u8, ipv6: bool) -> Value {
    let nodes: Vec<Json> = (1..=3)
        .map(|number| {
            let (address, url_address, cidr) = if ipv6 {
                (format!("fd00::{number}"), format!("[fd00::{number}]"), format!("fd00::{number}/128"))
            } else {
                let address = format!("10.0.0.{number}");
                (address.clone(), address.clone(), format!("{address}/32"))
            };
            json!({
                "name": format!("n{number}"), "address": address, "url_address": url_address, "cidr": cidr,
                "kinds": ["manager", "worker", "app"], "debian": debian, "ram_mib": 4096, "cores": 2,
            })
        })
        .collect();
    let names = [
        "base",
        "firewall",
        "etcd",
        "patroni",
        "haproxy",
        "keepalived",
        "nginx",
        "pgbouncer",
        "redis",
        "sentinel",
    ];
    let roles: BTreeMap<&str, &Vec<Json>> = names.map(|name| (name, &nodes)).into();
    let mut patroni = json!(model::Patroni::default());
    patroni["ttl"] = json!(30);
    patroni["loop_wait"] = json!(10);
    patroni["retry_timeout"] = json!(10);
    let version = if debian == 12 { 15 } else { 17 };
    let hba = vec!["hostssl app reports 10.1.0.0/16 scram-sha-256".into()];
    let mut postgresql = json!(model::Postgresql { hba, ..model::Postgresql::default() });
    postgresql["version"] = json!(version);
    postgresql["bin_dir"] = json!(format!("/usr/lib/postgresql/{version}/bin"));
    postgresql["data_dir"] = json!(format!("/var/lib/postgresql/{version}/main"));
    postgresql["pools"] = [
        ("app", "app", 5000),
        ("app_ro", "app", 5001),
        ("deploy", "deploy", 5000),
        ("deploy_ro", "deploy", 5001),
    ]
    .iter()
    .map(|(alias, database, port)| json!({ "alias": alias, "database": database, "port": port }))
    .collect();
    let mut redis = json!(model::Redis::default());
    redis["port"] = json!(6380);
    redis["bytes"] = json!(536_870_912);
    redis["ask"] = json!({ "name": "n1", "url_address": "127.0.0.1" });
    redis["behind_virtual_ip"] = json!(true);
    let virtual_ip = if ipv6 { "fd00::9" } else { "10.0.0.9" };
    let virtual_ips = json!([{
        "name": "cluster", "address": virtual_ip, "url_address": if ipv6 { "[fd00::9]" } else { virtual_ip },
        "ipv6": ipv6, "device": "eth0", "router_id": 9, "priority": 200, "database": true, "applications": true,
    }]);
    let server = json!({ "name": "n1", "node": "n1", "target": "10.0.0.1:8080", "port": 8080, "backup": ipv6, "fronted": !ipv6 });
    let pool = |group: &str| json!({ "backend": format!("app.shop.{group}"), "group": group, "servers": [server], "processes": [9001, 9002] });
    let applications = json!([{
        "name": "shop", "hosts": ["shop.example.org"], "pools": [pool("blue"), pool("green")], "grouped": true,
        "health_path": "/", "health_status": 200, "sticky": ipv6, "rate_limit": ipv6.then_some(100),
        "max_connections": ipv6.then_some(50), "certificate": ipv6.then_some("/etc/haproxy/applications/shop.pem"),
    }]);
    let mut own = nodes[0].clone();
    own["interface"] = json!("eth0");
    Value::from(Serde(json!({
        "cluster": { "name": "demo" },
        "node": own,
        "virtual_ips": virtual_ips,
        "applications": applications,
        "own_certificates": ipv6.then_some("/etc/haproxy/applications/certificates"),
        "roles": roles,
        "etcd": model::Etcd { heartbeat_interval: Some(250), election_timeout: Some(2500), ..model::Etcd::default() },
        "patroni": patroni,
        "postgresql": postgresql,
        "haproxy": model::Haproxy { connection_rate_limit: ipv6.then_some(20), ..model::Haproxy::default() },
        "pgbouncer": model::Pgbouncer::default(),
        "redis": redis,
        "access": model::Access::default(),
        "kernel": model::Kernel::default(),
        "settings": role.settings,
    })))
}

/// Every file of every role on one node, by path.
fn render(debian: u8, ipv6: bool) -> BTreeMap<PathBuf, String> {
    let library = library();
    let environment = environment(&library);
    let mut files = BTreeMap::new();
    for role in library.roles.values() {
        let context = context(role, debian, ipv6);
        for file in role.files.iter().filter(|file| file.debian.is_none_or(|only| only == debian)) {
            let text = environment.get_template(&file.template).unwrap().render(&context);
            let text = text.unwrap_or_else(|error| panic!("{}: {error:#}", file.template));
            files.insert(PathBuf::from(&file.path), text);
        }
        let texts = role.certificates.iter().flat_map(|certificate| {
            certificate.names.iter().chain([&certificate.common_name]).map(String::as_str)
        });
        let vars = role.checks.iter().flat_map(|check| check.vars.values().map(String::as_str));
        for text in texts.chain(vars) {
            let rendered = environment.render_str(text, &context);
            let rendered = rendered.unwrap_or_else(|error| panic!("role {}, `{text}`: {error:#}", role.role));
            assert!(!rendered.contains('\n'), "role {}, `{text}`", role.role);
        }
    }
    files
}

#[test]
fn the_roles_of_the_platform_are_there() {
    let names: Vec<String> = library().roles.into_keys().collect();
    let wanted = [
        "base",
        "etcd",
        "firewall",
        "haproxy",
        "keepalived",
        "nginx",
        "patroni",
        "pgbouncer",
        "redis",
        "sentinel",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn every_template_is_used() {
    let library = library();
    let used: BTreeSet<&str> =
        library.roles.values().flat_map(|role| &role.files).map(|file| file.template.as_str()).collect();
    let unused: Vec<&String> =
        library.templates.keys().filter(|name| !used.contains(name.as_str())).collect();
    // Rendered for Patroni's dynamic configuration.
    assert_eq!(unused, ["patroni/pg_hba.j2"]);
}

#[test]
fn every_script_is_a_check() {
    let library = library();
    let used: BTreeSet<&String> =
        library.roles.values().flat_map(|role| &role.checks).map(|check| &check.script).collect();
    let unused: Vec<&String> = library.scripts.keys().filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn what_a_service_takes_names_a_unit_of_its_role() {
    for role in library().roles.values() {
        let units: Vec<&str> = role.units.iter().map(|unit| unit.name.as_str()).collect();
        let named = role.files.iter().filter_map(|file| file.unit.as_deref());
        for unit in named.chain(role.certificates.iter().filter_map(|one| one.unit.as_deref())) {
            assert!(units.contains(&unit), "role {} has no unit {unit}", role.role);
        }
        assert!(
            !units.is_empty() || role.files.iter().all(|file| file.takes == Takes::Nothing),
            "role {} has no unit to take its files",
            role.role
        );
    }
}

#[test]
fn every_file_says_who_owns_it() {
    for (path, text) in render(12, false) {
        // A script names its shell first.
        let head: String = text.lines().take(1 + usize::from(text.starts_with("#!"))).collect();
        assert!(head.contains("managed by deploy (role "), "{}: {head}", path.display());
    }
}

#[test]
fn everything_renders_on_every_release_and_in_both_families() {
    // A folder to look at what comes out, and to try it on a node.
    let out = std::env::var_os("DEPLOY_RENDERED").map(PathBuf::from);
    for (debian, ipv6) in [(12, false), (12, true), (13, false), (13, true)] {
        for (path, text) in render(debian, ipv6) {
            let Some(out) = &out else { continue };
            let to = out.join(format!("{debian}-{ipv6}")).join(path.strip_prefix("/").unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, text).unwrap();
        }
    }
}

#[test]
fn patroni_comes_with_the_driver_of_etcd() {
    let patroni = &library().roles["patroni"];
    assert!(
        patroni.packages.iter().any(|package| package.name == "python3-etcd" && package.debian.is_none())
    );
}

#[test]
fn a_reload_waits_for_ports_that_serve_a_certificate() {
    for role in library().roles.values() {
        let served = role.certificates.iter().flat_map(|certificate| &certificate.served);
        let ports: Vec<ServedPort> = served.map(|served| served.port).collect();
        for port in role.units.iter().filter_map(|unit| unit.reload_until_served) {
            assert!(ports.contains(&ServedPort::One(port)), "role {}: {port} serves nothing", role.role);
        }
    }
}

#[test]
fn only_patroni_3_gets_the_guard_of_its_lock() {
    let guard = Path::new("/usr/local/lib/deploy/patroni_safe.py");
    assert!(render(12, false).contains_key(guard));
    assert!(!render(13, false).contains_key(guard));
}

#[test]
fn rules_of_access_keep_their_order() {
    let library = library();
    let text = environment(&library)
        .get_template("patroni/pg_hba.j2")
        .unwrap()
        .render(context(&library.roles["patroni"], 13, false))
        .unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let at = |wanted: &str| {
        lines.iter().position(|line| *line == wanted).unwrap_or_else(|| panic!("{wanted}: {lines:#?}"))
    };
    let superuser = at("local all postgres peer");
    let plaintext = at("hostnossl all all all reject");
    let user = at("hostssl app reports 10.1.0.0/16 scram-sha-256");
    let clients = at("hostssl all all 10.0.0.1/32 scram-sha-256");
    assert!(superuser < plaintext && plaintext < user && user < clients, "{lines:#?}");
    assert_eq!(lines.len(), text.lines().count(), "{text}");
}

#[test]
fn scripts_are_posix_shell() {
    for (path, text) in library().scripts {
        assert!(text.starts_with("#!/bin/sh\n# "), "{path}");
    }
    let Ok(output) = Command::new("shellcheck")
        .arg("--shell=sh")
        .args(
            library()
                .scripts
                .keys()
                .map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join("roles").join(path)),
        )
        .output()
    else {
        return; // not installed
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn scripts_use_what_their_checks_give_them() {
    let library = library();
    for role in library.roles.values() {
        for check in &role.checks {
            let text = &library.scripts[&check.script];
            let (head, _) = text.split_once("\n\n").unwrap_or((text, ""));
            for word in head.split(|c: char| !c.is_ascii_uppercase() && c != '_') {
                let documented = word.len() > 2 && !["JSON", "TLS", "URL", "IPv"].contains(&word);
                if documented && head.contains(&format!("{word}:")) {
                    assert!(
                        check.vars.contains_key(word) || (check.gate && word == "GATE") || word == "PART",
                        "{} says {word}, its check gives none",
                        check.script
                    );
                }
            }
        }
    }
}

/// What an inventory is validated against is what the manifests say.
#[test]
fn the_inventory_knows_every_role_and_its_ports() {
    let known = crate::inventory::KnownRoles::built_in();
    let library = library();
    assert!(known.names().eq(library.roles.keys().map(String::as_str)));
    for (role, manifest) in &library.roles {
        for port in manifest.ports.iter().filter(|port| port.when.is_none()) {
            assert!(known.ports(role).contains(&port.port), "{role} {}", port.port);
        }
    }
}
