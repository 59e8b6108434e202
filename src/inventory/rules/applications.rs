//! Applications: their host names, where they run, which group is live, and who takes which port.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::Findings;
use super::names::{is_host_name, is_label, is_one_line};
use super::placement::ports_of;
use crate::inventory::known_roles::KnownRoles;
use crate::inventory::model::{Application, Inventory, Servers};
use crate::inventory::placement::nodes_of;
use crate::inventory::wording::{closest, listed, quoted};

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    if inventory.roles.get("nginx").is_some_and(|role| role.on.is_some()) {
        found.key(
            &["roles", "nginx", "on"],
            "nginx runs where an application has `processes`",
            "name the nodes of the application, and its `processes`",
        );
    }
    if inventory.applications.is_empty() {
        return;
    }
    if nodes_of(inventory, "haproxy").is_empty() {
        found.key(
            &["applications"],
            "no node runs HAProxy, which leads to applications",
            "add nodes of kind `manager`, or name some in `roles.haproxy.on`",
        );
    }
    hosts(inventory, found);
    for (name, application) in &inventory.applications {
        if !is_label(name) {
            found.key(
                &["applications", name],
                format!("{} cannot be the name of an application", quoted(name)),
                LABEL,
            );
        }
        groups(name, application, found);
        files(name, application, found);
    }
    ports(inventory, found);
}

const LABEL: &str =
    "use lower-case letters, digits and dashes, at most 63, beginning and ending with a letter or a digit";

fn hosts(inventory: &Inventory, found: &mut Findings<'_>) {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for (name, application) in &inventory.applications {
        if application.hosts.is_empty() {
            found.key(
                &["applications", name],
                format!("{} has no host name", quoted(name)),
                "name one in `hosts`: requests are led by it",
            );
        }
        for (index, host) in application.hosts.iter().enumerate() {
            let index = index.to_string();
            let path = ["applications", name, "hosts", &index];
            if !is_host_name(host) {
                found.value(
                    &path,
                    format!("{} is not a host name", quoted(host)),
                    "write a name in lower case, as `shop.example.org`, without a port and without `*`",
                );
            } else if let Some(other) = taken.insert(host.clone(), name) {
                let message = if other == name {
                    format!("{} is given twice", quoted(host))
                } else {
                    format!("{} and {} have the same host name, {host}", quoted(other), quoted(name))
                };
                found.value(&path, message, "a host name leads to one application: keep it in one of them");
            }
        }
    }
}

fn groups(name: &str, application: &Application, found: &mut Findings<'_>) {
    let path = ["applications", name];
    let names = || listed(application.groups.keys(), "and");
    match (&application.live, application.groups.is_empty()) {
        (Some(_), true) => found.value(
            &["applications", name, "live"],
            format!("{} has no groups, of which one could be live", quoted(name)),
            "remove `live`, or part its nodes into `groups`",
        ),
        (Some(live), false) if !application.groups.contains_key(live) => found.value(
            &["applications", name, "live"],
            format!("{} has no group {}", quoted(name), quoted(live)),
            format!("its groups are {}", names()),
        ),
        (None, false) => found.key(
            &path,
            format!("{} does not say which of its groups is live", quoted(name)),
            format!("write `live:` with one of {}", names()),
        ),
        _ => {}
    }
    let own = [
        ("nodes", application.nodes.is_empty()),
        ("backup", application.backup.is_empty()),
        ("processes", application.processes.is_empty()),
    ];
    for (field, _) in own.iter().filter(|(_, empty)| !empty && !application.groups.is_empty()) {
        found.key(
            &["applications", name, field],
            format!("{} has groups, and `{field}` beside them", quoted(name)),
            format!("move `{field}` into the groups"),
        );
    }
    for group in application.groups.keys().filter(|group| !is_label(group)) {
        let path = ["applications", name, "groups", group];
        found.key(&path, format!("{} cannot be the name of a group", quoted(group)), LABEL);
    }
}

/// The path of a group's field.
fn path<'a>(name: &'a str, group: &Servers<'a>, field: &'a str) -> Vec<&'a str> {
    let inner = group.group.map(|group| ["groups", group]).into_iter().flatten();
    ["applications", name].into_iter().chain(inner).chain([field]).collect()
}

fn ports(inventory: &Inventory, found: &mut Findings<'_>) {
    // One of the user's own may well be what the application is.
    let roles = KnownRoles::built_in();
    let mut taken: BTreeMap<(String, u16), String> = BTreeMap::new();
    for (node, machine) in &inventory.nodes {
        for role in roles.names().filter(|role| nodes_of(inventory, role).contains(&node.as_str())) {
            let ports = ports_of(inventory, &roles, role).into_iter();
            taken.extend(ports.map(|port| ((node.clone(), port), role.to_owned())));
        }
        if machine.host.is_none() {
            let port = machine.port.or(inventory.ssh.port).unwrap_or(22);
            taken.insert((node.clone(), port), "ssh".into());
        }
    }
    for (name, application) in &inventory.applications {
        for group in application.servers() {
            if group.nodes.is_empty() {
                let what = group
                    .group
                    .map_or_else(|| quoted(name), |group| format!("{} of {}", quoted(group), quoted(name)));
                let inner = path(name, &group, "nodes");
                found.key(&inner[..inner.len() - 1], format!("{what} runs nowhere"), "name its `nodes`");
            }
            for (field, list) in [("nodes", group.nodes), ("backup", group.backup)] {
                for (index, text) in list.iter().enumerate() {
                    let index = index.to_string();
                    let at: Vec<&str> =
                        path(name, &group, field).into_iter().chain([index.as_str()]).collect();
                    server(inventory, name, &group, text, &at, &mut taken, found);
                    if list.iter().take_while(|other| !std::ptr::eq(*other, text)).any(|other| other == text)
                    {
                        found.value(&at, format!("{} is given twice", quoted(text)), "keep one of them");
                    }
                }
            }
            processes(inventory, name, &group, &mut taken, found);
        }
    }
}

/// One entry of `nodes` or `backup`.
fn server(
    inventory: &Inventory,
    name: &str,
    group: &Servers<'_>,
    text: &str,
    at: &[&str],
    taken: &mut BTreeMap<(String, u16), String>,
    found: &mut Findings<'_>,
) {
    let outside = text.parse::<IpAddr>().is_ok();
    if text.parse::<SocketAddr>().is_ok() {
        return;
    }
    if !inventory.nodes.contains_key(text) && !outside {
        let names = inventory.nodes.keys().map(String::as_str);
        let meant =
            closest(text, names).map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
        found.value(
            at,
            format!("{} is neither a node of this inventory nor an address", quoted(text)),
            format!("{meant}an address outside of the cluster is written as `192.0.2.7` or `192.0.2.7:8080`"),
        );
        return;
    }
    let Some(port) = group.port else {
        found.value(
            at,
            format!("it is not said on which port {} listens there", quoted(name)),
            "give a `port`",
        );
        return;
    };
    if outside {
        return;
    }
    let owner = format!("application {name}");
    if let Some(other) = taken.insert((text.to_owned(), port), owner.clone()) {
        let (message, hint) = if other == owner {
            (
                format!("port {port} of {} serves twice for {}", quoted(text), quoted(name)),
                "let groups differ in nodes or in `port`",
            )
        } else {
            (
                format!("port {port} of {} is taken by {}", quoted(text), quoted(&other)),
                "let the application listen on another `port`",
            )
        };
        found.value(at, message, hint);
    }
}

/// The processes behind an nginx: on nodes alone, and on ports that nothing else has.
fn processes(
    inventory: &Inventory,
    name: &str,
    group: &Servers<'_>,
    taken: &mut BTreeMap<(String, u16), String>,
    found: &mut Findings<'_>,
) {
    if group.processes.is_empty() {
        return;
    }
    for text in group.nodes.iter().filter(|text| !inventory.nodes.contains_key(*text)) {
        found.key(
            &path(name, group, "processes"),
            format!("nginx cannot be put on {}, which is no node of this inventory", quoted(text)),
            "leave out `processes`, or name nodes alone",
        );
    }
    for (index, port) in group.processes.iter().enumerate() {
        for node in group.nodes.iter().filter(|node| inventory.nodes.contains_key(*node)) {
            let owner = format!("a process of {name}");
            if let Some(other) = taken.insert((node.clone(), *port), owner) {
                let index = index.to_string();
                let at: Vec<&str> =
                    path(name, group, "processes").into_iter().chain([index.as_str()]).collect();
                let message = format!("port {port} of {} is taken by {}", quoted(node), quoted(&other));
                found.value(&at, message, "let the process listen on another port");
            }
        }
    }
}

fn files(name: &str, application: &Application, found: &mut Findings<'_>) {
    let Some(files) = &application.certificate else { return };
    for (field, path) in [("chain", &files.chain), ("key", &files.key)] {
        if path.is_empty() || !is_one_line(path) {
            found.value(
                &["applications", name, "certificate", field],
                format!("`{field}` is not a path"),
                "name a file",
            );
        }
    }
}
