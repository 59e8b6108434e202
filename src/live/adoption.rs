//! What the nodes know of their cluster where the store does not: whom they trust, and whose data they hold. A store that
//! was lost, or that is older than the cluster's authority, is told by it.

use std::collections::{BTreeMap, BTreeSet};

use super::authorities::authority_paths;
use super::{Observation, Observed, etcd_id, member_id, text, token};
use crate::cluster::NodeName;
use crate::pki::Certificate;
use crate::render::Source;
use crate::resource::{Call, Id, sha256};

/// Kind of what [`authority_probes`] asks about.
const AUTHORITY: &str = "authority";

/// The nodes are this cluster's, and none of them trusts an authority of `known`, PEM each or two in one text.
pub fn strangers(source: &Source, observed: &Observed, known: &[String]) -> bool {
    let ours = token(source);
    let owned = |seen: &Observation| marks(seen).any(|mark| *mark == ours);
    let known: Vec<String> = known.iter().map(|text| sha256(text.as_bytes())).collect();
    let mut bundles = observed.iter().flat_map(|(node, seen)| {
        let paths = authority_paths(source, node);
        paths.into_iter().filter_map(|path| seen.fields.get(&Id::new("file", path))?.get("sha256"))
    });
    let mut any = false;
    let foreign = bundles.all(|hash| {
        any = true;
        !known.contains(hash)
    });
    any && foreign && observed.values().any(owned)
}

/// What to ask of a node beside its resources, to take over the authorities that it trusts.
pub fn authority_probes(source: &Source, node: &NodeName) -> Vec<(Id, Call)> {
    let paths = authority_paths(source, node).into_iter();
    paths.map(|path| (Id::new(AUTHORITY, &path), Call::new("file_fetch", [path]))).collect()
}

/// What the nodes know of a cluster whose store does not: the certificates that they trust, in one text without those of
/// `but`, and the mark of its data.
pub fn remembered(
    source: &Source,
    observed: &Observed,
    but: Option<&str>,
) -> Result<(String, Option<String>), String> {
    let texts: BTreeSet<String> = observed
        .values()
        .flat_map(|seen| seen.fields.iter().filter(|(id, _)| id.kind == AUTHORITY))
        .filter_map(|(_, fields)| text(fields, "content"))
        .collect();
    let but: Vec<Certificate> = but.and_then(|pem| Certificate::parse_all(pem).ok()).unwrap_or_default();
    let mut found = BTreeMap::new();
    for certificate in texts.iter().flat_map(|text| Certificate::parse_all(text).unwrap_or_default()) {
        if certificate.is_authority && !but.iter().any(|known| known.fingerprint == certificate.fingerprint) {
            found.insert(certificate.fingerprint.clone(), certificate.pem());
        }
    }
    let name = format!("{}-", source.cluster.name());
    let mut found_marks = BTreeSet::new();
    for owner in observed.values().flat_map(marks) {
        let mark =
            owner.strip_prefix(&name).ok_or_else(|| format!("there is data of another cluster, {owner}"))?;
        found_marks.insert(mark.to_owned());
    }
    if found_marks.len() > 1 {
        let all = found_marks.into_iter().collect::<Vec<_>>().join(", ");
        return Err(format!("the nodes hold data of several clusters of this name: {all}"));
    }
    // Byte for byte where all hold the same: what is there already is then not written again.
    let one = texts
        .iter()
        .next()
        .filter(|one| texts.len() == 1 && found.len() == 1 && one.matches("BEGIN").count() == 1);
    let certificates = one.cloned().unwrap_or_else(|| found.into_values().collect());
    Ok((certificates, found_marks.pop_first()))
}

/// The marks of the data on a node.
fn marks(seen: &Observation) -> impl Iterator<Item = &String> {
    [etcd_id(), member_id()].into_iter().filter_map(|id| seen.fields.get(&id)?.get("owner"))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use time::OffsetDateTime;

    use super::*;
    use crate::live::fixture;
    use crate::pki::{Authority, Trust, bundle};
    use crate::render::Facts;

    fn authority() -> String {
        let made = Authority::create("test", OffsetDateTime::UNIX_EPOCH, 10, &mut rand::rng()).unwrap();
        made.certificate_pem().to_owned()
    }

    fn source() -> Source {
        fixture::source(fixture::THREE, Trust::settled("", "0123456789ab"))
    }

    /// Every node trusts what the text of its place says, and holds data with this mark.
    fn observed(source: &Source, texts: [&str; 3], owner: &str) -> Observed {
        let mut observed = Observed::new();
        for (number, text) in texts.iter().enumerate() {
            let name = NodeName::from(format!("n{}", number + 1).as_str());
            let mut fields = BTreeMap::from([(etcd_id(), BTreeMap::from([("owner".into(), owner.into())]))]);
            for path in authority_paths(source, &name) {
                let hash = BTreeMap::from([("sha256".to_owned(), sha256(text.as_bytes()))]);
                fields.insert(Id::new("file", &path), hash);
                let content = BTreeMap::from([("content".to_owned(), STANDARD.encode(text))]);
                fields.insert(Id::new(AUTHORITY, path), content);
            }
            let facts = Facts {
                debian: 13,
                ram_mib: 4096,
                cores: 2,
                clock: 0,
                hostname: "x".into(),
                interfaces: Vec::new(),
            };
            observed.insert(name, Observation { facts, fields });
        }
        observed
    }

    #[test]
    fn an_old_store_is_told_by_nodes_that_trust_none_of_its_authorities() {
        let (source, [old, new]) = (source(), [authority(), authority()]);
        let ours = token(&source);
        let known = [old.clone()];
        assert!(!strangers(&source, &observed(&source, [&old, &old, &old], &ours), &known));
        assert!(strangers(&source, &observed(&source, [&new, &new, &new], &ours), &known));
        // One node that somebody changed by hand is drift, and machines without our data are nobody's yet.
        assert!(!strangers(&source, &observed(&source, [&new, &old, &old], &ours), &known));
        assert!(!strangers(&source, &observed(&source, [&new, &new, &new], "other-0"), &known));
    }

    #[test]
    fn a_new_store_takes_over_the_authority_and_the_mark_byte_for_byte() {
        let (source, old) = (source(), authority());
        let seen = observed(&source, [&old, &old, &old], "test-00ff");
        assert_eq!(remembered(&source, &seen, None), Ok((old, Some("00ff".into()))));
    }

    #[test]
    fn every_authority_that_any_node_trusts_is_taken_over_but_the_next() {
        let (source, [old, other, next]) = (source(), [authority(), authority(), authority()]);
        let both = bundle(&old, &next);
        let seen = observed(&source, [&both, &other, &next], "test-00ff");
        let (found, _) = remembered(&source, &seen, Some(&next)).unwrap();
        let prints = |pem: &str| -> BTreeSet<String> {
            Certificate::parse_all(pem).unwrap().into_iter().map(|one| one.fingerprint).collect()
        };
        assert_eq!(prints(&found), prints(&bundle(&old, &other)));
    }

    #[test]
    fn data_of_another_cluster_is_not_taken_over() {
        let (source, old) = (source(), authority());
        let seen = observed(&source, [&old, &old, &old], "shop-00ff");
        assert_eq!(
            remembered(&source, &seen, None),
            Err("there is data of another cluster, shop-00ff".into())
        );
    }
}
