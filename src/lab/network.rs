//! The lab's cable and its way out: a bridge with the host's address, forwarding to package sources, masquerading.
//!
//! All rules carry the lab's comment, so that those of a killed lab are found and replaced. Two kernel settings are
//! raised for the whole host and stay so after `down`, for others may by then rely on them: net.ipv4.ip_forward, and
//! the inotify limits, too low by default for some thirty booted systems.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use ipnet::Ipv4Net;
use serde::Deserialize;

use super::sources;
use super::spec::Lab;
use super::tools::{self, SHORT};

#[derive(Debug, Deserialize)]
struct Interface {
    ifname: String,
    #[serde(default)]
    addr_info: Vec<InterfaceAddress>,
}

#[derive(Debug, Deserialize)]
struct InterfaceAddress {
    #[serde(default)]
    local: String,
    #[serde(default)]
    prefixlen: u8,
}

/// Fails when another interface of this machine has addresses of the lab's network.
pub(super) async fn check(lab: &Lab) -> Result<()> {
    let Some((interface, net)) = clash(&interfaces().await?, &lab.bridge(), lab.subnet) else {
        return Ok(());
    };
    bail!(
        "lab {} wants {}, but {} of this machine already has {net}: take that one down or choose other addresses",
        lab.spec.name,
        lab.subnet,
        owner(lab, &interface)
    )
}

/// Builds the network, or completes what is there of it.
pub(super) async fn ensure(lab: &Lab) -> Result<()> {
    check(lab).await?;
    bridge(lab).await.with_context(|| format!("cannot build the network of lab {}", lab.spec.name))?;
    rules(lab).await.with_context(|| format!("cannot open the way out for lab {}", lab.spec.name))?;
    for (setting, wanted) in [
        ("net.ipv4.ip_forward", 1),
        ("fs.inotify.max_user_instances", 4096),
        ("fs.inotify.max_user_watches", 524_288),
    ] {
        raise(setting, wanted).await?;
    }
    Ok(())
}

async fn interfaces() -> Result<Vec<Interface>> {
    let list = tools::run("ip", &["-json", "-4", "address", "show"], SHORT).await?;
    serde_json::from_str(&list).context("cannot read the list of addresses")
}

fn clash(interfaces: &[Interface], own: &str, subnet: Ipv4Net) -> Option<(String, Ipv4Net)> {
    let nets = interfaces.iter().filter(|i| i.ifname != own && i.ifname != "lo").flat_map(|interface| {
        interface.addr_info.iter().filter_map(move |address| {
            let net = Ipv4Net::new(address.local.parse().ok()?, address.prefixlen).ok()?;
            Some((interface.ifname.clone(), net))
        })
    });
    nets.into_iter().find(|(_, net)| net.contains(&subnet) || subnet.contains(net))
}

/// The lab that has a bridge, if one of the same root does.
fn owner(lab: &Lab, interface: &str) -> String {
    let labs = fs::read_dir(lab.root.join("labs")).into_iter().flatten().flatten();
    let names = labs.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut owners = names.filter(|name| {
        let mut other = lab.spec.clone();
        other.name.clone_from(name);
        Lab::within(&other, lab.root.clone()).is_ok_and(|other| other.bridge() == interface)
    });
    owners.next().map_or_else(|| format!("interface {interface}"), |name| format!("lab {name}"))
}

async fn bridge(lab: &Lab) -> Result<()> {
    let bridge = lab.bridge();
    if !Path::new("/sys/class/net").join(&bridge).exists() {
        // An address of its own: or else the bridge takes its lowest port's, and with it changes as nodes come and go.
        let address = format!("02:da:00:{}:{}:{}", &lab.tag[..2], &lab.tag[2..4], &lab.tag[4..]);
        let add = ["link", "add", &bridge, "address", &address, "type", "bridge", "stp_state", "0"];
        tools::run("ip", &add, SHORT).await?;
    }
    let gateway = lab.gateway.to_string();
    let own = interfaces().await?.into_iter().find(|interface| interface.ifname == bridge);
    if own.is_some_and(|own| own.addr_info.iter().any(|address| address.local != gateway)) {
        // Of the same lab with other addresses.
        tools::run("ip", &["-4", "address", "flush", "dev", &bridge], SHORT).await?;
    }
    let gateway = format!("{gateway}/24");
    tools::run("ip", &["address", "replace", &gateway, "dev", &bridge], SHORT).await?;
    tools::run("ip", &["link", "set", &bridge, "up"], SHORT).await.map(drop)
}

/// Puts the lab's rules in place of those it had, in one transaction. Nodes reach each other, and outside only what they
/// install packages from; nobody outside reaches them.
async fn rules(lab: &Lab) -> Result<()> {
    let (bridge, subnet, comment) = (lab.bridge(), lab.subnet, lab.comment());
    let tagged = format!("-m comment --comment {comment}");
    let nat = [format!("-A POSTROUTING -s {subnet} ! -o {bridge} {tagged} -j MASQUERADE")];
    let ours = format!("ds-{}-+", lab.tag);
    let known = "-m conntrack --ctstate RELATED,ESTABLISHED";
    let mut filter = vec![
        format!("-i {ours} {tagged} -j ACCEPT"),
        format!("-i {bridge} -o {bridge} {tagged} -j ACCEPT"),
        format!("-i {bridge} {known} {tagged} -j ACCEPT"),
        format!("-o {bridge} {known} {tagged} -j ACCEPT"),
        // No other lab.
        format!("-i {bridge} -o dl-+ {tagged} -j REJECT"),
        format!("-i {bridge} -p udp --dport 53 {tagged} -j ACCEPT"),
    ];
    let ways = sources::ports(lab.spec.release).await;
    filter.extend(ways.iter().map(|port| format!("-i {bridge} -p tcp --dport {port} {tagged} -j ACCEPT")));
    filter.extend(["-i", "-o"].map(|way| format!("{way} {bridge} {tagged} -j REJECT")));
    // First in the chain: the host's own policy may be to forward nothing.
    let filter: Vec<String> = filter.iter().rev().map(|rule| format!("-I FORWARD 1 {rule}")).collect();
    restore(lab, &nat, &filter).await
}

async fn restore(lab: &Lab, nat: &[String], filter: &[String]) -> Result<()> {
    let mut script = String::new();
    for (table, new) in [("nat", nat), ("filter", filter)] {
        let present = tools::run("iptables-save", &["-t", table], SHORT).await?;
        let old = stale(&present, &lab.comment());
        if !(old.is_empty() && new.is_empty()) {
            let lines: Vec<&str> = old.iter().chain(new).map(String::as_str).collect();
            let _ = write!(script, "*{table}\n{}\nCOMMIT\n", lines.join("\n"));
        }
    }
    if script.is_empty() {
        return Ok(());
    }
    tools::feed("iptables-restore", &["--noflush", "--wait", "10"], &script, SHORT).await.map(drop)
}

/// The commands that delete the rules with this comment.
fn stale(rules: &str, comment: &str) -> Vec<String> {
    let ours =
        rules.lines().filter(|rule| rule.replace('"', "").split_whitespace().any(|word| word == comment));
    ours.filter_map(|rule| rule.strip_prefix("-A ")).map(|rule| format!("-D {rule}")).collect()
}

async fn raise(setting: &str, wanted: u64) -> Result<()> {
    let path = format!("/proc/sys/{}", setting.replace('.', "/"));
    let present = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    if present.is_some_and(|present| present < wanted) {
        tools::run("sysctl", &["-q", "-w", &format!("{setting}={wanted}")], SHORT).await?;
    }
    Ok(())
}

/// Removes bridge, cables and rules.
pub(super) async fn remove(lab: &Lab) -> Result<()> {
    let links = fs::read_dir("/sys/class/net").context("cannot list the network interfaces")?;
    let mark = format!("-{}", lab.tag);
    for link in links.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        if link.contains(&mark)
            && ["dl-", "ds-", "vb-", "ta-", "tb-"].iter().any(|start| link.starts_with(start))
        {
            let removed = tools::run("ip", &["link", "delete", &link], SHORT).await;
            if Path::new("/sys/class/net").join(&link).exists() {
                removed?;
            }
        }
    }
    restore(lab, &[], &[]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_only_its_own_rules() {
        let rules = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i dl-1 -m comment --comment \"deploy-lab:1:a\" -j ACCEPT\n-A FORWARD -i dl-2 -m comment --comment deploy-lab:2:a -j ACCEPT\nCOMMIT\n";
        assert_eq!(
            stale(rules, "deploy-lab:1:a"),
            ["-D FORWARD -i dl-1 -m comment --comment \"deploy-lab:1:a\" -j ACCEPT"]
        );
    }

    #[test]
    fn an_address_taken_elsewhere_is_a_clash() {
        let interfaces: Vec<Interface> = serde_json::from_str(
            r#"[{"ifname":"lo","addr_info":[{"local":"127.0.0.1","prefixlen":8}]},
                {"ifname":"dl-1","addr_info":[{"local":"10.7.0.1","prefixlen":24}]}]"#,
        )
        .unwrap();
        let subnet: Ipv4Net = "10.7.0.0/24".parse().unwrap();
        assert_eq!(clash(&interfaces, "dl-1", subnet), None);
        assert_eq!(clash(&interfaces, "dl-2", subnet).unwrap().0, "dl-1");
        assert_eq!(clash(&interfaces, "dl-2", "10.8.0.0/24".parse().unwrap()), None);
    }
}
