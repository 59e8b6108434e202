//! What is wrong with the network on purpose: cuts, loss, delay.
//!
//! The faults are a file in the lab's folder; the kernel is made to match it each time it changes. Cuts and loss are
//! one nftables table on the bridge, replaced whole, which drops silently, whatever the protocol. Delay is netem on the
//! host's end of a node's cable, or a relay between two taps where the kernel has no netem.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::cgroup::Cgroup;
use super::spec::{Lab, LabNode};
use super::tools::{self, SHORT};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Faults {
    /// Nodes cut off from everything, the host among it.
    pub isolated: BTreeSet<String>,
    /// Pairs of nodes cut off from each other, the lesser name first.
    pub severed: BTreeSet<(String, String)>,
    pub slow: BTreeMap<String, Slow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slow {
    /// Added to each round trip.
    pub delay_ms: u32,
    /// Of the frames in each direction.
    pub loss_percent: f64,
}

impl Faults {
    pub fn read(lab: &Lab) -> Self {
        let text = fs::read(lab.dir().join("faults.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub fn write(&self, lab: &Lab) -> Result<()> {
        let path = lab.dir().join("faults.json");
        if *self == Self::default() {
            return tools::remove(&path);
        }
        tools::write(&path, serde_json::to_string_pretty(self).context("cannot write the faults")?)
    }

    pub fn is_cut(&self, node: &str) -> bool {
        self.isolated.contains(node) || self.severed.iter().any(|(a, b)| a == node || b == node)
    }

    pub fn sever(&mut self, a: &str, b: &str) {
        let (first, second) = if a < b { (a, b) } else { (b, a) };
        self.severed.insert((first.to_owned(), second.to_owned()));
    }

    pub fn heal(&mut self, node: &str) {
        self.isolated.remove(node);
        self.severed.retain(|(a, b)| a != node && b != node);
        self.slow.remove(node);
    }
}

/// Makes the kernel match the faults: cuts and loss of all nodes, the delay of those given.
pub(super) async fn apply(lab: &Lab, faults: &Faults, delays: &[LabNode]) -> Result<()> {
    tools::feed("nft", &["-f", "-"], &ruleset(lab, faults), SHORT)
        .await
        .context("cannot set the cuts (needs nftables for bridges in the kernel)")?;
    for node in delays {
        let delay = faults.slow.get(&node.name).map_or(0, |slow| slow.delay_ms);
        set_delay(lab, node, delay).await.with_context(|| format!("cannot delay node {}", node.name))?;
    }
    Ok(())
}

/// Removes every fault from the kernel, whatever the file says.
pub(super) async fn clear(lab: &Lab) -> Result<()> {
    tools::feed("nft", &["-f", "-"], &fresh(lab), SHORT).await.context("cannot remove the cuts").map(drop)
}

fn table(lab: &Lab) -> String {
    format!("deploy_lab_{}", lab.tag)
}

/// Leaves no table of this lab; each is declared first, so that deleting it works whether or not it is there.
fn fresh(lab: &Lab) -> String {
    let table = table(lab);
    ["bridge", "ip"].map(|family| format!("table {family} {table}\ndelete table {family} {table}\n")).concat()
}

fn ruleset(lab: &Lab, faults: &Faults) -> String {
    let table = table(lab);
    let mut text = fresh(lab);
    if *faults == Faults::default() {
        return text;
    }
    let node = |name: &str| lab.spec.nodes.iter().find(|node| node.name == name);
    let port = |name: &str| node(name).map(|node| lab.port(node.address));
    let mut drops = [String::new(), String::new()];
    for (rules, direction) in drops.iter_mut().zip(["iifname", "oifname"]) {
        for port in faults.isolated.iter().filter_map(|name| port(name)) {
            let _ = writeln!(rules, "    {direction} \"{port}\" drop");
        }
        for (port, slow) in faults.slow.iter().filter_map(|(name, slow)| Some((port(name)?, slow))) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // validated: 0 to 100
            let share = (slow.loss_percent * 100.0).round() as u32;
            if share > 0 {
                let _ = writeln!(rules, "    {direction} \"{port}\" numgen random mod 10000 < {share} drop");
            }
        }
    }
    let mut between = String::new();
    for (a, b) in faults.severed.iter().filter_map(|(a, b)| Some((node(a)?, node(b)?))) {
        // A delayed node is on the bridge by its tap.
        let ends = |node: &LabNode| {
            format!("{{ \"{}\", \"ta-{}\" }}", lab.port(node.address), lab.machine(node.address))
        };
        let (a, b) = (ends(a), ends(b));
        let _ = writeln!(between, "    iifname {a} oifname {b} drop\n    iifname {b} oifname {a} drop");
    }
    if faults.slow.values().any(|slow| slow.delay_ms > 0) {
        // A frame through a relay passes the host's firewall twice, and must be masqueraded at most on the second pass.
        let _ = write!(
            text,
            "table ip {table} {{\n  chain relayed {{\n    type filter hook prerouting priority -300\n    \
             iifname \"ds-{}-*\" notrack\n  }}\n}}\n",
            lab.tag
        );
    }
    let [from, to] = drops;
    let _ = write!(
        text,
        "table bridge {table} {{\n  chain from {{\n    type filter hook prerouting priority -300\n{from}  }}\n  \
         chain to {{\n    type filter hook postrouting priority 300\n{to}  }}\n  \
         chain between {{\n    type filter hook forward priority 0\n{between}  }}\n}}\n"
    );
    text
}

async fn set_delay(lab: &Lab, node: &LabNode, milliseconds: u32) -> Result<()> {
    let port = lab.port(node.address);
    if !Path::new("/sys/class/net").join(&port).exists() {
        return Ok(());
    }
    stop_relay(lab, node).await?;
    let shaped = tools::run("tc", &["qdisc", "show", "dev", &port], SHORT).await?.contains("netem");
    if milliseconds == 0 {
        if shaped {
            tools::run("tc", &["qdisc", "delete", "dev", &port, "root"], SHORT).await?;
        }
        return Ok(());
    }
    let delay = format!("{milliseconds}ms");
    let netem = ["qdisc", "replace", "dev", &port, "root", "netem", "limit", "20000", "delay", &delay];
    match tools::run("tc", &netem, SHORT).await {
        Ok(_) => Ok(()),
        Err(no_netem) => start_relay(lab, node, milliseconds).await.with_context(|| {
            format!("the kernel has no netem ({no_netem:#}), and the relay in its place failed")
        }),
    }
}

fn relay(lab: &Lab, node: &LabNode) -> Result<Cgroup> {
    Cgroup::of(&format!("{}-slow-{}", lab.tag, node.address.octets()[3]))
}

/// Takes the node off the lab's bridge, onto one of its own, and puts a relay between the two.
async fn start_relay(lab: &Lab, node: &LabNode, milliseconds: u32) -> Result<()> {
    let machine = lab.machine(node.address);
    let (near, far, aside) = (format!("ta-{machine}"), format!("tb-{machine}"), format!("ds-{machine}"));
    let cgroup = relay(lab, node)?;
    let mut command = tools::command("sh");
    command
        .kill_on_drop(false)
        .args(["-c", include_str!("start.sh"), "start.sh"])
        .args(cgroup.part("relay")?);
    command.args([
        "--",
        "setsid",
        "perl",
        "-e",
        include_str!("delay.pl"),
        &near,
        &far,
        &milliseconds.to_string(),
    ]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run the relay")?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        let read = async { BufReader::new(stdout).read_line(&mut said).await };
        let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
    }
    if said.trim() != "ready" {
        cgroup.kill().await?;
        let output = child.wait_with_output().await.context("cannot wait for the relay")?;
        bail!("the relay did not start: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let port = lab.port(node.address);
    let script = format!(
        "link add {aside} type bridge stp_state 0\nlink set {aside} up\nlink set {near} master {} up\n\
         link set {far} master {aside} up\nlink set {port} master {aside}\n",
        lab.bridge()
    );
    tools::feed("ip", &["-batch", "-"], &script, SHORT).await.map(drop)
}

async fn stop_relay(lab: &Lab, node: &LabNode) -> Result<()> {
    relay(lab, node)?.kill().await?;
    let aside = format!("ds-{}", lab.machine(node.address));
    if Path::new("/sys/class/net").join(&aside).exists() {
        let script =
            format!("link set {} master {}\nlink delete {aside}\n", lab.port(node.address), lab.bridge());
        tools::feed("ip", &["-batch", "-"], &script, SHORT).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::spec::{LabSpec, Release};

    fn lab() -> Lab {
        let nodes =
            (1..=3).map(|i| LabNode { name: format!("n{i}"), address: [10, 7, 0, 10 + i].into() }).collect();
        let spec = LabSpec { name: "l".into(), release: Release::Debian13, nodes, packages: vec![] };
        Lab::within(&spec, "/x".into()).unwrap()
    }

    #[test]
    fn no_fault_leaves_no_table() {
        assert!(!ruleset(&lab(), &Faults::default()).contains("chain"));
    }

    #[test]
    fn healing_a_node_takes_all_its_faults() {
        let mut faults = Faults::default();
        faults.isolated.insert("n1".into());
        faults.sever("n2", "n1");
        faults.sever("n2", "n3");
        faults.slow.insert("n1".into(), Slow { delay_ms: 5, loss_percent: 0.5 });
        let rules = ruleset(&lab(), &faults);
        let port = lab().port([10, 7, 0, 11].into());
        assert!(rules.contains(&format!("oifname \"{port}\" drop\n")), "{rules}");
        assert!(rules.contains("mod 10000 < 50 drop"), "{rules}");
        faults.heal("n1");
        assert_eq!(faults.severed.len(), 1);
        assert!(!faults.is_cut("n1") && faults.is_cut("n2") && faults.slow.is_empty());
    }
}
