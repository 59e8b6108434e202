//! A planned move of the primary of Redis: from where, to where, and why not.

use super::{instance, primary, watch};
use crate::cluster::NodeName;
use crate::live::Observed;
use crate::render::Source;
use crate::resource::Refusal;

/// A move that can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOver {
    /// The node of the primary.
    pub from: NodeName,
    /// The node of the replica that takes its place.
    pub to: NodeName,
}

/// The move of the primary to `to`, or to the replica that has most of its writes. No move where `to` is the primary.
pub fn hand_over(source: &Source, observed: &Observed, to: Option<&NodeName>) -> Result<HandOver, Refusal> {
    let refuse = |what: String, hint: &str| Err(Refusal { what, hint: hint.to_owned() });
    let status = "look at `deploy status`, mend what it shows and run the same command again";
    let sentinels: Vec<_> =
        source.cluster.with_role("sentinel").filter_map(|(node, _)| watch(observed, node)).collect();
    let ready = sentinels.iter().filter(|watch| watch.trouble.is_none()).count();
    if ready * 2 <= source.cluster.with_role("sentinel").count() {
        return refuse("too few Sentinels are ready to move the primary of Redis".into(), status);
    }
    let from =
        primary(source, observed).filter(|node| instance(observed, node).is_some_and(|seen| seen.primary));
    let Some((from, seen)) = from.and_then(|node| Some((node.clone(), instance(observed, &node)?))) else {
        return refuse("Redis has no primary that answers".into(), status);
    };
    let linked = |node: &NodeName| {
        let address = source.cluster.nodes.get(node).map(|node| node.address);
        seen.replicas.iter().find(|link| link.online && Some(link.address) == address)
    };
    let replicas = || source.cluster.with_role("redis").map(|(node, _)| node).filter(|node| **node != from);
    let best = replicas()
        .filter(|node| linked(node).is_some())
        .max_by_key(|node| linked(node).map(|link| link.offset));
    let to = match to {
        Some(to) if *to == from => return Ok(HandOver { from, to: to.clone() }),
        Some(to) if linked(to).is_none() => {
            return refuse(format!("{to} is not linked to the primary"), status);
        }
        Some(to) => to.clone(),
        None => match best {
            Some(node) => node.clone(),
            None => return refuse("no replica is linked to the primary".into(), status),
        },
    };
    let version = |node: &NodeName| instance(observed, node).map(|seen| release(&seen.version));
    let mut others = replicas().filter(|node| **node != to && linked(node).is_some());
    match others.find(|node| version(node) < version(&to)) {
        Some(older) => refuse(
            format!("{to} has a newer Redis than {older}, which could not copy its data"),
            &format!("bring {older} to the same release first, or name it with --to"),
        ),
        None => Ok(HandOver { from, to }),
    }
}

/// What two versions of Redis that can copy each other have in common.
fn release(version: &str) -> Vec<u64> {
    version.split('.').take(2).map_while(|number| number.parse().ok()).collect()
}
