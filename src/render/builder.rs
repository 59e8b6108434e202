//! The resources of one node, built from the manifests of its roles.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::context::Facts;
use super::engine::{RenderError, Renderer};
use super::rules::{Edge, edges};
use super::{Source, applications};
use crate::cluster::{Node, NodeName, bracketed};
use crate::inventory::model::Scalar;
use crate::pki::{self, LeafRequest, San};
use crate::resource::{
    Certificate, Directory, File, Leftovers, Live, Order, Packages, Resource, Retired, SYSCTL_FILE, Sysctl,
    Unit,
};
use crate::role::{Layout, Manifest, ServedPort, Stage, Takes};

/// The first port that the kernel gives to outgoing connections, where a role widens what it has for them.
const LOCAL_PORTS: u16 = 10_240;

/// The resources of one node.
pub struct Builder<'a> {
    source: &'a Source,
    name: &'a NodeName,
    node: &'a Node,
    renderer: Option<Renderer<'a>>,
    debian: Option<u8>,
}

impl<'a> Builder<'a> {
    /// Of the node of that name; without facts, what is to be asked of it.
    pub fn new(source: &'a Source, name: &'a NodeName, node: &'a Node, facts: Option<&Facts>) -> Self {
        let renderer = facts.map(|facts| Renderer::new(source, name, node, facts));
        Self { source, name, node, renderer, debian: facts.map(|facts| facts.debian) }
    }

    /// Whether something for one release is wanted here; before the release is known, everything is.
    fn wanted(&self, debian: Option<u8>) -> bool {
        debian.is_none() || self.debian.is_none() || debian == self.debian
    }

    fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.source.library.roles.values().filter(|manifest| self.node.roles.contains(&manifest.role))
    }

    pub fn packages(&self) -> Vec<Box<dyn Resource>> {
        let mut names = BTreeSet::new();
        let mut hold = BTreeSet::new();
        for manifest in self.manifests() {
            let packages = manifest.packages.iter().filter(|package| self.wanted(package.debian));
            names.extend(packages.map(|package| package.name.clone()));
            hold.extend(manifest.units.iter().map(|unit| unit.name.clone()));
        }
        // `deploy-firewall` and the like are units of ours, not of a package.
        hold.retain(|unit| !unit.starts_with("deploy-"));
        vec![Box::new(Packages { names: names.into_iter().collect(), hold: hold.into_iter().collect() })]
    }

    pub fn role(&self, manifest: &Manifest) -> Result<Vec<Box<dyn Resource>>, RenderError> {
        let mut all: Vec<Box<dyn Resource>> = Vec::new();
        for directory in &manifest.directories {
            all.push(Box::new(Directory {
                path: directory.path.clone(),
                owner: format!("{}:{}", directory.owner, directory.group),
                mode: directory.mode.clone(),
                overrides_package: directory.overrides_package,
                order: Order::Stage,
            }));
        }
        for certificate in &manifest.certificates {
            all.push(Box::new(self.authority_file(certificate)));
            all.push(Box::new(self.certificate(manifest, certificate)?));
        }
        let in_phase = |file: &&crate::role::File| file.stage == Stage::Role && self.wanted(file.debian);
        for file in manifest.files.iter().filter(in_phase) {
            all.push(Box::new(self.file(manifest, file)?));
        }
        let mut more = Vec::new();
        if manifest.role == "haproxy" {
            let own = applications::own_certificates(&self.source.own_certificates);
            more.extend(own.iter().map(|file| file.path.clone()));
            all.extend(own.into_iter().map(|file| Box::new(file) as Box<dyn Resource>));
            all.push(Box::new(Leftovers {
                folder: applications::FOLDER,
                ending: "pem",
                wanted: more.clone(),
            }));
        }
        // Two certificates in one folder share their authority file.
        let mut seen = BTreeSet::new();
        all.retain(|resource| seen.insert(resource.id()));
        for unit in &manifest.units {
            all.push(Box::new(unit_of(manifest, unit, self.node.address, &more)));
        }
        Ok(all)
    }

    /// The units of roles that the node does not have, by the phase in which they go. A role that nobody has any more is
    /// switched off, and what it keeps is left as it is; but one that a part of the inventory places goes with that part.
    pub fn retired(&self) -> Vec<(String, Retired)> {
        let cluster = &self.source.cluster;
        let own: BTreeSet<&str> =
            self.manifests().flat_map(|manifest| &manifest.units).map(|unit| unit.name.as_str()).collect();
        let lost = self.source.library.roles.values().filter(|manifest| {
            let elsewhere = || cluster.with_role(&manifest.role).next().is_some();
            !self.node.roles.contains(&manifest.role) && (manifest.placed_by.is_some() || elsewhere())
        });
        let retired = lost.flat_map(|manifest| {
            let units = manifest.units.iter().filter(|unit| !own.contains(unit.name.as_str()));
            units.filter_map(|unit| {
                let seeds = manifest.files.iter().filter(|file| file.seed);
                let kept = seeds.map(|file| file.path.clone()).collect();
                Some((unit.retired_in.clone()?, Retired { name: unit.name.clone(), kept }))
            })
        });
        retired.collect()
    }

    pub fn file(&self, manifest: &Manifest, file: &crate::role::File) -> Result<File, RenderError> {
        let (content, masked) = match &self.renderer {
            Some(renderer) => renderer.template(manifest, &file.template)?,
            None => (String::new(), String::new()),
        };
        Ok(File {
            path: file.path.clone(),
            owner: format!("{}:{}", file.owner, file.group),
            mode: file.mode.clone(),
            content,
            masked,
            validate: file.validate.clone(),
            seed: file.seed,
            live: if file.stage == Stage::BeforePackages { Live::BeforePackages } else { Live::Validated },
        })
    }

    fn authority_file(&self, certificate: &crate::role::Certificate) -> File {
        File {
            path: authority_path(&certificate.path),
            owner: format!("{}:{}", certificate.owner, certificate.group),
            mode: "0644".into(),
            content: self.source.trust.bundle.clone(),
            masked: self.source.trust.bundle.clone(),
            validate: None,
            seed: false,
            live: Live::AtOnce,
        }
    }

    fn certificate(
        &self,
        manifest: &Manifest,
        certificate: &crate::role::Certificate,
    ) -> Result<Certificate, RenderError> {
        let expand = |text: &str| match &self.renderer {
            Some(renderer) => renderer.text(manifest, text),
            None => Ok(String::new()),
        };
        let mut names = BTreeSet::new();
        for name in &certificate.names {
            for word in expand(name)?.split_whitespace() {
                let bad = |error: pki::PkiError| RenderError::Name {
                    role: manifest.role.clone(),
                    certificate: certificate.name.clone(),
                    source: error,
                };
                names.insert(word.parse::<San>().map_err(bad)?);
            }
        }
        let days = self.source.cluster.inventory.trust.certificate_days;
        let renewal = self.source.renewal.as_ref();
        Ok(Certificate {
            path: certificate.path.clone(),
            one_file: certificate.layout == Layout::Pem,
            owner: format!("{}:{}", certificate.owner, certificate.group),
            mode: certificate.mode.clone(),
            request: LeafRequest {
                common_name: expand(&certificate.common_name)?,
                names,
                usages: certificate.usages.iter().copied().collect(),
                days,
            },
            issuers: self.source.trust.issuers.clone(),
            window_days: days / 3,
            follows: (certificate.renewed_with_authority && self.source.trust.refreshes)
                .then(|| authority_path(&certificate.path)),
            asked_for: renewal
                .is_some_and(|renewal| renewal.forced && renewal.covers(self.name, &manifest.role)),
        })
    }

    /// The kernel parameters of the node's roles and of the inventory: the file for the next boot, and the live ones.
    /// The ports of this node that lie among those which the kernel gives to outgoing connections: a service that starts anew
    /// would find its own taken.
    fn reserved_ports(&self) -> String {
        let edges = edges(&self.source.cluster, &self.source.library, self.name);
        let ports: BTreeSet<u16> = edges.iter().filter_map(Edge::port).collect();
        ranges(ports.into_iter().filter(|port| *port >= LOCAL_PORTS))
    }

    pub fn sysctl(&self) -> (File, Sysctl) {
        let mut values = BTreeMap::new();
        for manifest in self.manifests() {
            if let Some(wanted) = manifest.settings.get("sysctl").and_then(serde_json::Value::as_object) {
                for (key, value) in wanted {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    values.insert(key.clone(), text);
                }
            }
        }
        // PostgreSQL alone is better off without promises of memory; Redis forks to save, which takes one of as much as
        // it has. Beside each other the kernel's own judgement stays.
        let runs = |role: &str| self.node.roles.contains(role);
        let only_database =
            self.node.roles.iter().all(|role| ["base", "firewall", "patroni"].contains(&role.as_str()));
        if runs("patroni") && only_database {
            values.insert("vm.overcommit_memory".into(), "2".into());
            // The kernel's own half of the RAM is less than what `sizing.rs` lets PostgreSQL have.
            values.insert("vm.overcommit_ratio".into(), "80".into());
        } else if runs("redis") && !runs("patroni") {
            values.insert("vm.overcommit_memory".into(), "1".into());
        }
        let reserved = self.reserved_ports();
        if !reserved.is_empty() {
            values.insert("net.ipv4.ip_local_reserved_ports".into(), reserved);
        }
        for (key, value) in &self.source.cluster.inventory.kernel.sysctl {
            let text = match value {
                Scalar::Bool(on) => u8::from(*on).to_string(),
                other => other.to_string(),
            };
            values.insert(key.clone(), text);
        }
        let mut content = "# managed by deploy (role base); changes made here are overwritten\n".to_owned();
        for (key, value) in &values {
            content.push_str(key);
            content.push_str(" = ");
            content.push_str(value);
            content.push('\n');
        }
        let file = File {
            path: SYSCTL_FILE.into(),
            owner: "root:root".into(),
            mode: "0644".into(),
            masked: content.clone(),
            content,
            validate: None,
            seed: false,
            live: Live::Validated,
        };
        (file, Sysctl { values })
    }
}

/// Where the authority of a certificate's peers lies: `ca.crt` beside it.
pub fn authority_path(certificate: &str) -> String {
    certificate.rsplit_once('/').map_or_else(|| "ca.crt".into(), |(folder, _)| format!("{folder}/ca.crt"))
}

/// A unit with the files that it takes by restart and by reload; `more` of the latter.
fn unit_of(manifest: &Manifest, unit: &crate::role::Unit, address: IpAddr, more: &[String]) -> Unit {
    let first = manifest.units.first().map(|unit| unit.name.as_str());
    let reads = |named: &Option<String>| named.as_deref().or(first) == Some(unit.name.as_str());
    let mut files: BTreeMap<&str, Takes> = BTreeMap::new();
    let mut paths = Vec::new();
    for file in manifest.files.iter().filter(|file| reads(&file.unit)) {
        paths.push((file.path.clone(), file.takes));
    }
    for certificate in manifest.certificates.iter().filter(|certificate| reads(&certificate.unit)) {
        let endings: &[&str] = if certificate.layout == Layout::Pem { &["pem"] } else { &["crt", "key"] };
        paths.extend(
            endings.iter().map(|ending| (format!("{}.{ending}", certificate.path), certificate.takes)),
        );
        paths.push((authority_path(&certificate.path), certificate.authority.unwrap_or(certificate.takes)));
    }
    for (path, takes) in &paths {
        let known = files.entry(path).or_default();
        if *takes == Takes::Restart || *known == Takes::Nothing {
            *known = *takes;
        }
    }
    let with = |wanted: Takes| {
        let paths = files.iter().filter(|(_, takes)| **takes == wanted);
        paths.map(|(path, _)| (*path).to_owned()).collect::<Vec<_>>()
    };
    let shown = unit.reload_until_served.and_then(|port| {
        let mut all = manifest.certificates.iter();
        let certificate =
            all.find(|one| one.served.iter().any(|served| served.port == ServedPort::One(port)))?;
        Some([format!("{}:{port}", bracketed(address)), format!("{}.crt", certificate.path)])
    });
    Unit {
        name: unit.name.clone(),
        no_block: unit.no_block,
        stays: unit.running,
        clients: unit.clients,
        restart_on: with(Takes::Restart),
        reload_on: with(Takes::Reload).into_iter().chain(more.iter().cloned()).collect(),
        shown,
    }
}

/// Ports in ascending order, as the kernel writes them: neighbours as one range.
fn ranges(ports: impl Iterator<Item = u16>) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == port => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    let word =
        |(first, last): (u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.into_iter().map(word).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_are_written_as_the_kernel_writes_them() {
        assert_eq!(ranges([16379, 18080, 18081, 26379].into_iter()), "16379,18080-18081,26379");
        assert_eq!(ranges(std::iter::empty()), "");
    }
}
