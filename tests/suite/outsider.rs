//! A machine on the lab's network that is no member of the cluster: a network namespace with an address of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;

/// Removed when it is dropped.
pub struct Outsider {
    namespace: String,
    link: String,
}

impl Outsider {
    /// Plugs it into the lab's bridge with the address `.last`.
    pub fn new(cluster: &Cluster, last: u8) -> Result<Self> {
        let status = cluster.deploy(&["lab", "status", "--json"])?.json()?;
        let bridge = status["bridge"].as_str().context("lab status names no bridge")?;
        let outsider = Self { namespace: format!("suite-{last}"), link: format!("suite{last}") };
        outsider.remove();
        let Self { namespace, link } = &outsider;
        let address = format!("{}.{last}/24", cluster.shape.subnet);
        for line in [
            format!("netns add {namespace}"),
            format!("link add {link} type veth peer name eth0 netns {namespace}"),
            format!("link set {link} master {bridge} up"),
            format!("-n {namespace} address add {address} dev eth0"),
            format!("-n {namespace} link set eth0 up"),
        ] {
            let output = Command::new("ip").args(line.split(' ')).output()?;
            ensure!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(outsider)
    }

    /// Which of the ports of each address accept a connection from here.
    pub fn open(&self, targets: &BTreeMap<String, BTreeSet<u16>>) -> Result<BTreeMap<String, BTreeSet<u16>>> {
        let mut script = String::new();
        for (address, ports) in targets {
            for port in ports {
                let _ = writeln!(
                    script,
                    "(timeout 2 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null && echo {address} {port}) &"
                );
            }
        }
        script.push_str("wait\n");
        let run = ["netns", "exec", &self.namespace, "bash", "-c", &script];
        let output = Command::new("ip").args(run).stderr(Stdio::inherit()).output()?;
        let mut open: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let (address, port) = line.split_once(' ').context("an odd answer from the scan")?;
            open.entry(address.to_owned()).or_default().insert(port.parse()?);
        }
        Ok(open)
    }

    fn remove(&self) {
        for words in [["link", "delete", &self.link], ["netns", "delete", &self.namespace]] {
            let _ = Command::new("ip").args(words).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        self.remove();
    }
}
