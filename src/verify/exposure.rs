//! From outside: only the ports that are meant for this machine answer it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Outcome, Verdict};
use crate::cluster::{Cluster, NodeName};
use crate::render::edges;
use crate::role::Library;
use crate::tasks::outcome;

/// A dropped packet gives no answer; a port that is open answers well within this.
const PATIENCE: Duration = Duration::from_millis(700);
/// Ports tried at once.
const AT_ONCE: usize = 512;

/// Tries every port that any role declares, on every node, from this machine: those that the manifests open to its
/// address may answer, no other one.
pub async fn exposure(cluster: &Cluster, library: &Library) -> Vec<Verdict> {
    let all: BTreeSet<u16> =
        library.roles.values().flat_map(|manifest| manifest.ports.iter().map(|port| port.port)).collect();
    let mut tasks = JoinSet::new();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut intended: BTreeMap<NodeName, BTreeSet<u16>> = BTreeMap::new();
    for (name, node) in &cluster.nodes {
        let Some(here) = address_towards(node.address).await else { continue };
        let open = edges(cluster, library, name)
            .into_iter()
            .filter(|edge| edge.from.iter().any(|network| network.contains(&here)))
            .filter_map(|edge| edge.port())
            .collect::<BTreeSet<_>>();
        intended.insert(name.clone(), open);
        for port in &all {
            let (name, target) = (name.clone(), SocketAddr::new(node.address, *port));
            let turns = Arc::clone(&turns);
            tasks.spawn(async move {
                let _turn = turns.acquire().await;
                let answers =
                    matches!(tokio::time::timeout(PATIENCE, TcpStream::connect(target)).await, Ok(Ok(_)));
                (name, target.port(), answers)
            });
        }
    }
    let mut unexpected: BTreeMap<NodeName, BTreeSet<u16>> = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        let (node, port, true) = outcome(joined) else { continue };
        if !intended.get(&node).is_some_and(|open| open.contains(&port)) {
            unexpected.entry(node).or_default().insert(port);
        }
    }
    let verdict = |node: &NodeName| {
        let ports =
            unexpected.get(node).map(|ports| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "));
        Verdict {
            name: "firewall/exposure".into(),
            title: "only the intended ports answer this machine".into(),
            node: node.clone(),
            outcome: if ports.is_none() { Outcome::Pass } else { Outcome::Fail },
            reason: ports.map_or_else(String::new, |ports| format!("these answer too: {ports}")),
        }
    };
    intended.keys().map(verdict).collect()
}

/// The address that this machine uses towards `target`; nothing is sent.
async fn address_towards(target: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if target.is_ipv4() { [0, 0, 0, 0].into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    socket.connect((target, 9)).await.ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
