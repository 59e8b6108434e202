//! How far one authority has taken the place of another: told from the nodes' trust bundles and certificates alone, so
//! that a hand-over that was interrupted anywhere goes on where the nodes are.

use std::collections::BTreeSet;

use super::{Observed, text};
use crate::cluster::NodeName;
use crate::pki::{Certificate, Handover, bundle};
use crate::render::{Source, authority_path};
use crate::resource::{Id, sha256};

/// The step at hand, and whether it has begun anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The step that is not finished on all nodes.
    pub step: Handover,
    /// At least one node has made it.
    pub begun: bool,
}

/// Where the nodes are on the way from `old` to `new`, both PEM.
pub fn reached(source: &Source, observed: &Observed, old: &str, new: &str) -> Reached {
    let (both, alone) = (sha256(bundle(old, new).as_bytes()), sha256(new.as_bytes()));
    let bundles: Vec<&str> = observed
        .iter()
        .flat_map(|(node, seen)| {
            let paths = authority_paths(source, node);
            paths
                .into_iter()
                .filter_map(|path| seen.fields.get(&Id::new("file", path))?.get("sha256").map(String::as_str))
        })
        .collect();
    let has = |hash: &String| bundles.contains(&hash.as_str());
    if bundles.iter().any(|hash| *hash != both && *hash != alone) {
        return Reached { step: Handover::Trust, begun: has(&both) };
    }
    if has(&alone) {
        let step = if has(&both) { Handover::Drop } else { Handover::Done };
        return Reached { step, begun: true };
    }
    let Ok(authority) = Certificate::parse(new) else {
        return Reached { step: Handover::Trust, begun: false };
    };
    let issued: Vec<bool> = observed
        .values()
        .flat_map(|seen| seen.fields.iter().filter(|(id, _)| id.kind == "certificate"))
        .filter_map(|(_, fields)| Certificate::parse(&text(fields, "certificate")?).ok())
        .map(|leaf| leaf.is_issued_by(&authority))
        .collect();
    match issued.iter().all(|by_new| *by_new) {
        true => Reached { step: Handover::Drop, begun: false },
        false => Reached { step: Handover::Reissue, begun: issued.contains(&true) },
    }
}

/// Every `ca.crt` of a node.
pub fn authority_paths(source: &Source, node: &NodeName) -> BTreeSet<String> {
    let roles = source.cluster.nodes.get(node).map(|node| &node.roles);
    let manifests = source
        .library
        .roles
        .values()
        .filter(|manifest| roles.is_some_and(|roles| roles.contains(&manifest.role)));
    manifests
        .flat_map(|manifest| &manifest.certificates)
        .map(|certificate| authority_path(&certificate.path))
        .collect()
}
