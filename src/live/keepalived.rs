//! Who holds the virtual addresses, and whether somebody else has one of them. Read only: keepalived moves them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Observed, fields};
use crate::cluster::NodeName;
use crate::inventory::model::VirtualIp;
use crate::render::{Source, device, virtual_ips};
use crate::resource::{Call, Id};
use crate::verdict::{Outcome, Verdict};

pub fn id() -> Id {
    Id::new("keepalived", "addresses")
}

/// What tells who holds the addresses, of any node.
pub fn holder_probe(source: &Source) -> (Id, Call) {
    (id(), Call::new("keepalived_held", words(source)))
}

/// The same of a node that may hold them; and whether somebody else answers to them.
pub fn probe(source: &Source) -> (Id, Call) {
    (id(), Call::new("keepalived_probe", words(source)))
}

fn words(source: &Source) -> Vec<String> {
    virtual_ips(&source.cluster).iter().map(ToString::to_string).collect()
}

/// The nodes that hold each virtual address, of those that answer: also such as should not.
pub fn holders(source: &Source, observed: &Observed) -> BTreeMap<IpAddr, BTreeSet<NodeName>> {
    let all = virtual_ips(&source.cluster).into_iter();
    all.map(|address| {
        let holding = observed.keys().filter(|node| has(observed, node, "held", address));
        (address, holding.cloned().collect())
    })
    .collect()
}

/// One verdict for each address: exactly one node holds it.
pub fn held_once(source: &Source, observed: &Observed) -> Vec<Verdict> {
    let Some((first, _)) = source.cluster.with_role("keepalived").next() else { return Vec::new() };
    let each = holders(source, observed).into_iter();
    each.map(|(address, nodes)| {
        let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
        let (outcome, reason) = match names.as_slice() {
            [one] => (Outcome::Pass, format!("{address} on {one}")),
            [] => (Outcome::Fail, format!("nobody holds {address}")),
            _ => (Outcome::Fail, format!("{address} is held by {} at once", names.join(" and "))),
        };
        Verdict {
            name: "keepalived/holder".into(),
            title: "one node holds the virtual address".into(),
            node: nodes.first().unwrap_or(first).clone(),
            outcome,
            reason,
        }
    })
    .collect()
}

/// What the inventory says that does not fit the nodes: the path of the value, what is wrong, and what to do.
pub fn misfits(source: &Source, observed: &Observed) -> Vec<(Vec<String>, String, String)> {
    let wanted = source.cluster.inventory.virtual_ip.as_ref().map(VirtualIp::addresses).unwrap_or_default();
    let path = |address: IpAddr| -> Vec<String> {
        let field = wanted.iter().find(|(_, known)| *known == address).and_then(|(field, _)| *field);
        ["virtual_ip"].into_iter().chain(field).map(str::to_owned).collect()
    };
    let mut all = Vec::new();
    for (address, nodes) in holders(source, observed) {
        let outside = source.cluster.with_role("keepalived").find(|(node, _)| {
            observed.get(*node).is_some_and(|seen| {
                !seen.facts.interfaces.is_empty() && device(&seen.facts, address).is_none()
            })
        });
        if let Some((node, _)) = outside {
            let networks: Vec<String> = observed[node]
                .facts
                .interfaces
                .iter()
                .filter(|(_, network)| network.prefix_len() < network.max_prefix_len())
                .map(|(_, network)| network.trunc().to_string())
                .collect();
            let what = format!("{address} is in no network of {node}, which has {}", networks.join(", "));
            all.push((
                path(address),
                what,
                "choose a free address of a network that every HAProxy node is in".into(),
            ));
            continue;
        }
        // One of ours may have taken it since it was asked.
        let own =
            |mac: &str| observed.keys().any(|node| words_of(observed, node, "own").any(|one| one == mac));
        let mut seen = source.cluster.with_role("keepalived").map(|(node, _)| node);
        if nodes.is_empty()
            && let Some(node) =
                seen.find(|node| answering(observed, node, address).is_some_and(|mac| !own(mac)))
        {
            let what = format!("a machine that is not of this cluster answers to {address}, as {node} sees");
            all.push((path(address), what, "choose a free address, or take it from that machine".into()));
        }
    }
    all
}

fn has(observed: &Observed, node: &NodeName, key: &str, address: IpAddr) -> bool {
    words_of(observed, node, key).any(|word| word.parse() == Ok(address))
}

/// The hardware address that answers to `address`, as `node` sees.
fn answering<'a>(observed: &'a Observed, node: &NodeName, address: IpAddr) -> Option<&'a str> {
    let pairs = words_of(observed, node, "answers").filter_map(|word| word.split_once('='));
    pairs.filter(|(known, _)| known.parse() == Ok(address)).map(|(_, mac)| mac).next()
}

fn words_of<'a>(observed: &'a Observed, node: &NodeName, key: &str) -> impl Iterator<Item = &'a str> {
    let list = fields(observed, node, &id()).and_then(|fields| fields.get(key));
    list.into_iter().flat_map(|list| list.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::fixture::{THREE, source};
    use crate::live::tests::{bare, set};
    use crate::pki::Trust;

    #[test]
    fn an_address_that_is_on_its_way_between_our_nodes_is_nobody_else_s() {
        let text = format!("{THREE}virtual_ip: 10.1.0.100\n");
        let source = source(&text, Trust::settled("ca", "0"));
        let wrong = |held: &str, answers: &str| {
            let mut observed = bare(&source, 13);
            for seen in observed.values_mut() {
                seen.facts.interfaces.clear();
            }
            set(&mut observed, "n1", id(), "held", held);
            set(&mut observed, "n2", id(), "answers", answers);
            set(&mut observed, "n3", id(), "own", "00:00:00:00:00:00 02:00:00:00:00:03");
            misfits(&source, &observed).into_iter().map(|(.., what, _)| what).collect::<Vec<_>>()
        };
        let nothing: [String; 0] = [];
        assert_eq!(wrong("10.1.0.100", "10.1.0.100=02:00:00:00:00:99"), nothing);
        assert_eq!(wrong("", "10.1.0.100=02:00:00:00:00:03"), nothing, "n3 has taken it since");
        assert_eq!(wrong("", "10.1.0.99=02:00:00:00:00:99"), nothing);
        let stranger = wrong("", "10.1.0.100=02:00:00:00:00:99");
        assert!(
            stranger[0].contains("not of this cluster answers to 10.1.0.100, as n2 sees"),
            "{stranger:?}"
        );
    }
}
