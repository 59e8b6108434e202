//! Machines that are no members of the cluster: network namespaces with addresses of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;

/// Where the machine is that no lab knows, and the host on the way to it: a network for documentation.
pub const BEYOND: &str = "198.51.100.2";
const ROUTER: &str = "198.51.100.1";

/// On the lab's network. Removed when it is dropped.
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
        let address = format!("{}.{last}/24", cluster.shape.subnet);
        outsider.plug(&address, &format!("master {bridge}"))?;
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

    /// Beyond the host, at [`BEYOND`]: it is no part of the lab's network.
    pub fn beyond() -> Result<Self> {
        let outsider = Self { namespace: "suite-beyond".to_owned(), link: "suitebeyond".to_owned() };
        outsider.plug(&format!("{BEYOND}/30"), "")?;
        let Self { namespace, link } = &outsider;
        ip(&format!("address add {ROUTER}/30 dev {link}"))?;
        ip(&format!("-n {namespace} route add default via {ROUTER}"))?;
        Ok(outsider)
    }

    /// Accepts connections on ports, until it is killed.
    pub fn listen(&self, ports: &[u16]) -> Result<Child> {
        let script = "import selectors, socket, sys\n\
            wait = selectors.DefaultSelector()\n\
            for port in sys.argv[1:]: wait.register(socket.create_server(('', int(port))), selectors.EVENT_READ)\n\
            print('ready', flush=True)\n\
            while True:\n    for key, _ in wait.select(): key.fileobj.accept()[0].close()\n";
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "/usr/bin/python3", "-c", script]);
        let mut child = command.args(ports.iter().map(u16::to_string)).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut said)?;
        ensure!(said == "ready\n", "nobody listens");
        Ok(child)
    }

    /// Makes the namespace and a cable to it, whose near end gets the `link` words.
    fn plug(&self, address: &str, words: &str) -> Result<()> {
        self.remove();
        let Self { namespace, link } = self;
        ip(&format!("netns add {namespace}"))?;
        ip(&format!("link add {link} type veth peer name eth0 netns {namespace}"))?;
        ip(&format!("link set {link} {words} up"))?;
        ip(&format!("-n {namespace} address add {address} dev eth0"))?;
        ip(&format!("-n {namespace} link set eth0 up"))
    }

    fn remove(&self) {
        for words in [["link", "delete", &self.link], ["netns", "delete", &self.namespace]] {
            let _ = Command::new("ip").args(words).stderr(Stdio::null()).status();
        }
    }
}

fn ip(line: &str) -> Result<()> {
    let output = Command::new("ip").args(line.split_whitespace()).output()?;
    ensure!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl Drop for Outsider {
    fn drop(&mut self) {
        self.remove();
    }
}
