//! The checks of a cluster, each as a script with its variables: from the manifests, and one handshake for every
//! certificate that is served.

use std::collections::BTreeMap;

use crate::cluster::NodeName;
use crate::render::{Facts, RenderError, Renderer, Source};
use crate::resource::Id;
use crate::role::CheckOn;

/// One check on one node.
#[derive(Clone)]
pub struct CheckRun {
    /// Phase that it belongs to.
    pub phase: String,
    /// `role/name`.
    pub name: String,
    /// What holds when it passes.
    pub title: String,
    /// The node that it runs on.
    pub node: NodeName,
    /// It must hold after each wave of a rolling change.
    pub gate: bool,
    /// The certificate that it proves to be served.
    pub proves: Option<Id>,
    /// The units of its role, without `.service`: whose journal tells why it does not hold.
    pub units: Vec<String>,
    /// The script.
    pub script: String,
    /// Its variables. They may hold secrets.
    pub vars: BTreeMap<String, String>,
    /// Seconds until it must hold.
    pub within: u32,
}

impl CheckRun {
    /// The same, as it is run between two waves: its script is told so, because what is planned may not be there yet.
    #[must_use]
    pub fn as_gate(&self) -> Self {
        let mut gate = self.clone();
        gate.vars.insert("GATE".to_owned(), "yes".to_owned());
        gate
    }

    /// The same where only a part of the cluster is as it is to be: it is not held to what is left out.
    #[must_use]
    pub fn as_part(&self) -> Self {
        let mut part = self.as_gate();
        part.vars.insert("PART".to_owned(), "yes".to_owned());
        part
    }
}

impl std::fmt::Debug for CheckRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.name, self.node)
    }
}

/// Every check of the nodes that are known.
pub fn checks(source: &Source, known: &BTreeMap<NodeName, Facts>) -> Result<Vec<CheckRun>, RenderError> {
    let mut all = Vec::new();
    for (name, facts) in known {
        let Some(node) = source.cluster.nodes.get(name) else { continue };
        let renderer = Renderer::new(source, name, node, facts);
        for manifest in source.library.roles.values().filter(|manifest| node.roles.contains(&manifest.role)) {
            let units: Vec<String> = manifest.units.iter().map(|unit| unit.name.clone()).collect();
            let first = source
                .cluster
                .with_role(&manifest.role)
                .map(|(node, _)| node)
                .find(|node| known.contains_key(*node));
            for check in &manifest.checks {
                if check.on == CheckOn::One && first != Some(name) {
                    continue;
                }
                let mut vars = BTreeMap::new();
                for (key, text) in &check.vars {
                    vars.insert(key.clone(), renderer.text(manifest, text)?);
                }
                all.push(CheckRun {
                    phase: manifest.phase.clone(),
                    name: format!("{}/{}", manifest.role, check.name),
                    title: check.title.clone(),
                    node: name.clone(),
                    gate: check.gate,
                    proves: None,
                    units: units.clone(),
                    script: source.library.scripts.get(&check.script).cloned().unwrap_or_default(),
                    vars,
                    within: check.within,
                });
            }
            let served = manifest.certificates.iter().flat_map(|one| {
                let ports = crate::render::served_ports(&source.cluster, name, one);
                ports.into_iter().map(move |(port, starttls)| (one, port, starttls))
            });
            for (certificate, port, starttls) in served {
                let ending = if certificate.layout == crate::role::Layout::Pem { "pem" } else { "crt" };
                let vars = BTreeMap::from([
                    ("ADDRESS".to_owned(), crate::cluster::bracketed(node.address)),
                    ("PORT".to_owned(), port.to_string()),
                    ("STARTTLS".to_owned(), starttls.unwrap_or_default()),
                    ("CERTIFICATE".to_owned(), format!("{}.{ending}", certificate.path)),
                    ("AUTHORITY".to_owned(), crate::render::authority_path(&certificate.path)),
                ]);
                all.push(CheckRun {
                    phase: manifest.phase.clone(),
                    name: format!("{}/certificate-{port}", manifest.role),
                    title: format!("port {port} serves the certificate that was issued for it"),
                    node: name.clone(),
                    gate: false,
                    proves: Some(Id::new("certificate", &certificate.path)),
                    units: units.clone(),
                    script: include_str!("served.sh").to_owned(),
                    vars,
                    within: 30,
                });
            }
        }
    }
    Ok(all)
}
