//! How far one authority has taken the place of another: told from the nodes' trust bundles and certificates alone, so
//! that a hand-over that was interrupted anywhere goes on where the nodes are.

use std::collections::BTreeSet;

use super::Observed;
use crate::cluster::NodeName;
use crate::pki::{Certificate, Handover, bundle};
use crate::render::{Source, authority_path};
use crate::resource::{Id, pem, sha256};
use crate::role;

/// The step at hand, and whether it has begun anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The step that is not finished on all nodes.
    pub step: Handover,
    /// At least one node has made it.
    pub begun: bool,
    /// Every node trusts the new authority.
    pub trusted: bool,
    /// Every certificate is issued by the new authority.
    pub issued: bool,
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
    let by_new = issued_by(observed, new);
    let issued = by_new.iter().all(|by_new| *by_new);
    let trusted = bundles.iter().all(|hash| *hash == both || *hash == alone);
    let (step, begun) = if !trusted {
        (Handover::Trust, has(&both))
    } else if has(&alone) {
        (if has(&both) { Handover::Drop } else { Handover::Done }, true)
    } else if deaf(source, observed) {
        (Handover::Trust, true)
    } else if issued {
        (Handover::Drop, false)
    } else {
        (Handover::Reissue, by_new.contains(&true))
    };
    Reached { step, begun, trusted, issued }
}

/// Of each certificate on the nodes, whether `authority`, PEM, has issued it.
fn issued_by(observed: &Observed, authority: &str) -> Vec<bool> {
    let Ok(authority) = Certificate::parse(authority) else { return vec![false] };
    let stored = observed.values().flat_map(|seen| &seen.fields).filter(|(id, _)| id.kind == "certificate");
    let parsed = stored.filter_map(|(_, fields)| Certificate::parse(&pem(fields, "certificate")?).ok());
    parsed.map(|leaf| leaf.is_issued_by(&authority)).collect()
}

/// A service that reads its authorities only with a new certificate has not got one since they changed.
fn deaf(source: &Source, observed: &Observed) -> bool {
    observed.iter().any(|(node, seen)| {
        certificates(source, node).filter(|certificate| certificate.renewed_with_authority).any(
            |certificate| {
                let fields = seen.fields.get(&Id::new("certificate", &certificate.path));
                fields.is_some_and(|fields| fields.get("authority").is_some_and(|said| said == "newer"))
            },
        )
    })
}

/// Every `ca.crt` of a node.
pub fn authority_paths(source: &Source, node: &NodeName) -> BTreeSet<String> {
    certificates(source, node).map(|certificate| authority_path(&certificate.path)).collect()
}

/// The certificates of a node's roles.
fn certificates<'a>(source: &'a Source, node: &NodeName) -> impl Iterator<Item = &'a role::Certificate> {
    let roles = source.cluster.nodes.get(node).map(|node| &node.roles);
    let manifests = source
        .library
        .roles
        .values()
        .filter(move |manifest| roles.is_some_and(|roles| roles.contains(&manifest.role)));
    manifests.flat_map(|manifest| &manifest.certificates)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use time::OffsetDateTime;

    use super::*;

    use crate::live::{Observation, fixture};
    use crate::pki::{Authority, LeafRequest, Trust, Usage};

    /// What a node may hold: the old authority or certificates, both, or the new ones.
    #[derive(Clone, Copy, PartialEq)]
    enum Has {
        Old,
        Both,
        New,
    }

    fn step(bundles: [Has; 3], leaves: [Has; 3]) -> (Handover, bool) {
        let source = fixture::source(fixture::THREE, Trust::settled("", "0"));
        let make = || Authority::create("test", OffsetDateTime::UNIX_EPOCH, 10, &mut rand::rng()).unwrap();
        let (old, new) = (make(), make());
        let (old_pem, new_pem) = (old.certificate_pem(), new.certificate_pem());
        let mut observed = Observed::new();
        for (number, (bundle_seen, leaf)) in bundles.into_iter().zip(leaves).enumerate() {
            let name = NodeName::from(format!("n{}", number + 1).as_str());
            let text = match bundle_seen {
                Has::Old => old_pem.to_owned(),
                Has::Both => bundle(old_pem, new_pem),
                Has::New => new_pem.to_owned(),
            };
            let request =
                LeafRequest { days: 9, ..LeafRequest::new("x", ["x".parse().unwrap()], [Usage::Server]) };
            let issuer = if leaf == Has::New { &new } else { &old };
            let pem =
                issuer.issue(&request, OffsetDateTime::UNIX_EPOCH, &mut rand::rng()).unwrap().certificate_pem;
            let mut fields = BTreeMap::new();
            for path in authority_paths(&source, &name) {
                let hash = sha256(text.as_bytes());
                fields.insert(Id::new("file", path), BTreeMap::from([("sha256".to_owned(), hash)]));
            }
            let leaf = BTreeMap::from([("certificate".to_owned(), pem.replace('\n', "|"))]);
            fields.insert(Id::new("certificate", "/etc/x"), leaf);
            let facts = fixture::facts(13);
            observed.insert(name, Observation { facts, fields });
        }
        let reached = reached(&source, &observed, old_pem, new_pem);
        (reached.step, reached.begun)
    }

    #[test]
    fn a_hand_over_goes_on_where_the_nodes_are() {
        use Has::{Both, New, Old};
        let old = [Old; 3];
        assert_eq!(step(old, old), (Handover::Trust, false));
        assert_eq!(step([Both, Old, Both], old), (Handover::Trust, true));
        assert_eq!(step([Both; 3], old), (Handover::Reissue, false));
        assert_eq!(step([Both; 3], [New, Old, Old]), (Handover::Reissue, true));
        assert_eq!(step([Both; 3], [New; 3]), (Handover::Drop, false));
        assert_eq!(step([Both, New, New], [New; 3]), (Handover::Drop, true));
        assert_eq!(step([New; 3], [New; 3]), (Handover::Done, true));
    }

    #[test]
    fn a_node_that_came_back_with_the_old_authority_is_brought_along_first() {
        use Has::{New, Old};
        assert_eq!(step([New, New, Old], [New, New, Old]).0, Handover::Trust);
    }
}
