//! Golden renderings: what the shipped eight-node inventory puts on a node of each kind, on each release of Debian.
//!
//! Beside it, the same inventory with IPv6 addresses.
//!
//! `UPDATE=1 cargo test --test golden` writes them anew; the difference then tells what a change means for users.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use deploy::cluster::{Cluster, NodeName};
use deploy::inventory::{Inventory, KnownRoles};
use deploy::live::secret_names;
use deploy::pki::Trust;
use deploy::render::{Facts, Graph, Source, resources};
use deploy::role::Library;
use deploy::secrets::Secret;

fn shipped() -> Inventory {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    deploy::inventory::load(&root.join("inventories/lab"), &KnownRoles::built_in()).unwrap().inventory
}

fn rendered(inventory: Inventory, debian: u8, node: &str) -> BTreeMap<String, String> {
    rendered_by(Library::built_in().unwrap(), inventory, debian, node)
}

fn rendered_by(library: Library, inventory: Inventory, debian: u8, node: &str) -> BTreeMap<String, String> {
    let cluster = Cluster::new(inventory, &library);
    let secrets = secret_names(&cluster, &library)
        .into_iter()
        .map(|name| (name.clone(), Secret::new(format!("(secret {name})"))))
        .collect();
    let source =
        Source::new(cluster, library, secrets, Trust::settled("(the cluster's authority)\n", "0")).unwrap();
    let facts = Facts {
        debian,
        ram_mib: 4096,
        cores: 2,
        clock: 0,
        hostname: node.into(),
        interfaces: Vec::new(),
        unproven: None,
    };
    let all = resources(&source, &NodeName::from(node), Some(&facts)).unwrap();
    let files = all.values().flatten().filter_map(|resource| resource.content());
    files.map(|(path, content)| (path.trim_start_matches('/').replace('/', "_"), content)).collect()
}

#[test]
fn a_node_of_each_kind_gets_what_it_got_before() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let update = std::env::var_os("UPDATE").is_some();
    for (debian, node) in [(12, "m1"), (12, "w1"), (12, "a1"), (13, "m1"), (13, "w1"), (13, "a1")] {
        let folder: PathBuf = golden.join(format!("debian-{debian}")).join(node);
        let files = rendered(shipped(), debian, node);
        if update {
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            for (name, content) in &files {
                std::fs::write(folder.join(name), content).unwrap();
            }
            continue;
        }
        let known: Vec<String> = std::fs::read_dir(&folder)
            .expect("UPDATE=1 writes the golden renderings")
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(known.len(), files.len(), "{}: {known:?}", folder.display());
        for (name, content) in &files {
            let golden = std::fs::read_to_string(folder.join(name)).unwrap();
            assert_eq!(*content, golden, "{} differs; UPDATE=1 accepts it", folder.join(name).display());
        }
    }
}

/// What the edge adds: virtual addresses and applications.
#[test]
fn the_edge_is_what_it_was_before() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let update = std::env::var_os("UPDATE").is_some();
    let folder = root.join("tests/golden/edge");
    let edge: &[&str] = &["etc_haproxy_haproxy.cfg", "etc_keepalived_keepalived.conf", "etc_deploy_firewall"];
    let cases: [(&str, &str, &[&str]); 5] = [
        ("examples/blue-green.yaml", "m1", edge),
        ("examples/own-role/cluster.yaml", "a1", &["etc_nginx_nginx.conf", "etc_deploy_firewall"]),
        ("examples/own-role/cluster.yaml", "m3", &["etc_haproxy_haproxy.cfg"]),
        // Everything on one machine, a server in reserve, a limit.
        ("examples/gitea.yaml", "n1", edge),
        // A cookie, on the second of three.
        ("examples/nextcloud.yaml", "m2", edge),
    ];
    for (inventory, node, wanted) in cases {
        let path = root.join(inventory);
        let library = Library::with_folder(&deploy::inventory::folder(&path)).unwrap();
        let loaded = deploy::inventory::load(&path, &library.known_roles()).unwrap();
        let files = rendered_by(library, loaded.inventory, 13, node);
        for name in wanted {
            let path = folder.join(node).join(name);
            if update {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &files[*name]).unwrap();
            }
            let golden = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(files[*name], golden, "{} differs; UPDATE=1 accepts it", path.display());
        }
    }
}

/// More words in a line than HAProxy takes would be found by its own check alone, on the nodes.
#[test]
fn many_applications_do_not_make_a_line_too_long_for_haproxy() {
    let mut text = String::from(
        "name: many\nnodes:\n  m1: { kind: manager, address: 10.1.0.11 }\n  m2: { kind: manager, address: 10.1.0.12 }\n  \
         m3: { kind: manager, address: 10.1.0.13 }\n  w1: { kind: worker, address: 10.1.0.21 }\n  \
         w2: { kind: worker, address: 10.1.0.22 }\n  a1: { kind: app, address: 10.1.0.31 }\napplications:\n",
    );
    for number in 0..40 {
        let hosts: Vec<String> = (0..70).map(|host| format!("h{host}.a{number}.example.org")).collect();
        let _ = writeln!(
            text,
            "  a{number}: {{ hosts: [{}], nodes: [a1], port: {}, certificate: {{ chain: c, key: k }} }}",
            hosts.join(", "),
            8000 + number
        );
    }
    let (inventory, _) = deploy::inventory::parse("many.yaml", &text).unwrap();
    let files = rendered(inventory, 13, "m1");
    let configuration = &files["etc_haproxy_haproxy.cfg"];
    for line in configuration.lines() {
        assert!(line.split_whitespace().count() <= 64, "{line}");
    }
    let known = "acl known req.hdr(host),host_only,lower -m str h69.a39.example.org\n";
    assert_eq!(configuration.matches(known).count(), 2, "for the redirect, and for HTTPS");
}

#[test]
fn an_address_of_ipv6_is_in_brackets_wherever_a_port_follows_it() {
    let mut inventory = shipped();
    let addresses: Vec<String> = (inventory.nodes.values_mut().zip(0x11..))
        .map(|(node, last)| {
            node.address = format!("fd00:10::{last:x}").parse().unwrap();
            node.address.to_string()
        })
        .collect();
    for (debian, node) in [(12, "m1"), (12, "w1"), (12, "a1"), (13, "m1"), (13, "w1"), (13, "a1")] {
        let files = rendered(inventory.clone(), debian, node);
        for (name, content) in &files {
            for address in &addresses {
                assert!(!content.contains(&format!("{address}:")), "{name} of {node}:\n{content}");
            }
        }
        let rules = &files["etc_deploy_firewall"];
        let (four, six) = rules.split_once("COMMIT").unwrap();
        assert!(!four.contains("fd00:") && six.contains("-s fd00:10::"), "{rules}");
        let names = &files["etc_hosts"];
        assert!(addresses.iter().all(|address| names.contains(&format!("\n{address} "))), "{names}");
    }
    let files = rendered(inventory, 13, "w1");
    let own = "listen: \"[fd00:10::16],127.0.0.1:5432\"";
    assert!(files["etc_patroni_config.yml"].contains(own), "{}", files["etc_patroni_config.yml"]);
}

/// `deploy graph` for a cluster that has everything; the SVG is a picture for any browser.
#[test]
fn the_picture_is_what_it_was_before() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inventory = deploy::inventory::load(&root.join("examples/blue-green.yaml"), &KnownRoles::built_in())
        .unwrap()
        .inventory;
    let library = Library::built_in().unwrap();
    let cluster = Cluster::new(inventory, &library);
    let library = cluster.fit(library).wanted_by(&cluster.inventory);
    let graph = Graph::of(&cluster, &library);
    for (name, drawn) in
        [("graph.mmd", graph.mermaid()), ("graph.dot", graph.dot()), ("graph.svg", graph.svg())]
    {
        let path = root.join("tests/golden/edge").join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &drawn).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(drawn, golden, "{} differs; UPDATE=1 accepts it", path.display());
    }
}
