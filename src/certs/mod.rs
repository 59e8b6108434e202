//! Every certificate of a cluster, as it lies on its node and as its port serves it, and whom the nodes trust. Pure.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;

use crate::cluster::{Node, NodeName, bracketed};
use crate::live::{self, Observation, Observed};
use crate::pki::{Certificate, Flaw, bundle};
use crate::render::{self, RenderError, Source, served_ports};
use crate::resource::{Call, Context, Fields, Id, pem, sha256};
use crate::role::Manifest;
use crate::secrets::CaMaterial;

mod own;
#[cfg(test)]
mod tests;

pub use own::WINDOW_DAYS as OWN_WINDOW_DAYS;

/// The shell functions that look at ports.
pub const SHELL: &str = include_str!("served.sh");

/// What is to be done about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing.
    Ok,
    /// It could not be looked at.
    Unknown,
    /// It ends within the days that were asked about, or is to be renewed by now.
    Due,
    /// It has to be made anew, or taken by its service.
    Wrong,
}

/// One certificate of one node.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Entry {
    /// The node.
    pub node: NodeName,
    /// The role that it belongs to.
    pub service: String,
    /// Its name within the role.
    pub name: String,
    /// Its path without ending.
    pub path: String,
    /// Serial number in hexadecimal, of the file.
    pub serial: Option<String>,
    /// The ports that serve it, each with the serial number of the certificate that a handshake showed there.
    pub served: BTreeMap<u16, Option<String>>,
    /// Common name of the issuer.
    pub issuer: Option<String>,
    /// Names and addresses that it vouches for.
    pub names: Vec<String>,
    /// Whole days until it ends; negative once it has.
    pub days_left: Option<i64>,
    /// The day of its end, as `YYYY-MM-DD` in UTC.
    pub expires: Option<String>,
    /// What is to be done.
    pub state: State,
    /// Why, where something is.
    pub problem: Option<String>,
    /// The command that mends it, where one does; none while an authority has expired, which comes first.
    pub remedy: Option<String>,
    /// The user's own file that it comes from; `deploy` cannot renew such a one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<String>,
    /// What is stored is as it is to be, and a port serves another one.
    #[serde(skip)]
    pub untaken: bool,
}

/// One authority.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AuthorityEntry {
    /// Its common name.
    pub subject: String,
    /// SHA-256 of the certificate.
    pub fingerprint: String,
    /// `current` or `next`.
    pub role: &'static str,
    /// Whole days until it ends.
    pub days_left: i64,
    /// The day of its end, as `YYYY-MM-DD` in UTC.
    pub expires: String,
    /// Nodes that trust it with every service.
    pub trusted_by: Vec<NodeName>,
    /// What is to be done.
    pub state: State,
    /// Why, where something is.
    pub problem: Option<String>,
    /// The command that mends it.
    pub remedy: Option<String>,
}

/// All of them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// By node, service and name.
    pub certificates: Vec<Entry>,
    /// The current one first.
    pub authorities: Vec<AuthorityEntry>,
}

/// What to ask of a node beside its resources: a handshake for each port that serves a certificate.
pub fn probes(source: &Source, name: &NodeName) -> Vec<(Id, Call)> {
    let Some(node) = source.cluster.nodes.get(name) else { return Vec::new() };
    let certificates = manifests(source, node).flat_map(|manifest| &manifest.certificates);
    let served = certificates.flat_map(|certificate| served_ports(&source.cluster, name, certificate));
    let served = served.map(|(port, starttls)| {
        let words = [bracketed(node.address), port.to_string(), starttls.unwrap_or_default()];
        (id(port), Call::new("served_probe", words))
    });
    served.chain(own::probes(source, node)).collect()
}

fn id(port: u16) -> Id {
    Id::new("served", port.to_string())
}

fn manifests<'a>(source: &'a Source, node: &'a Node) -> impl Iterator<Item = &'a Manifest> {
    source.library.roles.values().filter(|manifest| node.roles.contains(&manifest.role))
}

impl Report {
    /// From what the nodes said. `inventory`: how the user names it. `within`: days before its end at which a certificate counts as due, where that is more
    /// than its own renewal window.
    pub fn read(
        source: &Source,
        observed: &Observed,
        authorities: &[(&'static str, &CaMaterial)],
        inventory: &str,
        within: Option<i64>,
        now: OffsetDateTime,
    ) -> Result<Self, RenderError> {
        let mut certificates = Vec::new();
        for (name, node) in &source.cluster.nodes {
            let seen = observed.get(name);
            let flaws = match seen {
                Some(seen) => flaws(source, name, seen, now)?,
                None => BTreeMap::new(),
            };
            for manifest in manifests(source, node) {
                for certificate in &manifest.certificates {
                    let mut entry = Entry {
                        node: name.clone(),
                        service: manifest.role.clone(),
                        name: certificate.name.clone(),
                        path: certificate.path.clone(),
                        serial: None,
                        served: served_ports(&source.cluster, name, certificate)
                            .into_iter()
                            .map(|(port, _)| (port, None))
                            .collect(),
                        issuer: None,
                        names: Vec::new(),
                        days_left: None,
                        expires: None,
                        state: State::Unknown,
                        problem: Some("the node does not answer".into()),
                        remedy: None,
                        own: None,
                        untaken: false,
                    };
                    if let Some(seen) = seen {
                        entry.look(seen, flaws.get(&certificate.path), within, now);
                    }
                    certificates.push(entry);
                }
            }
        }
        certificates.extend(own::entries(source, observed, within, now));
        // What is issued later than this ends before its time.
        let window =
            i64::from(source.cluster.inventory.trust.certificate_days / 3).max(within.unwrap_or_default());
        let pems: Vec<&str> = authorities.iter().map(|(_, ca)| ca.certificate.as_str()).collect();
        let authorities = authorities.iter().filter_map(|(role, ca)| {
            let certificate = Certificate::parse(&ca.certificate).ok()?;
            let (days_left, expires) = (certificate.days_left(now), certificate.not_after.date().to_string());
            let (state, problem) = if certificate.not_after <= now {
                (State::Wrong, Some(format!("expired on {expires}: nothing that it issued verifies")))
            } else if ca.key.is_empty() {
                (State::Wrong, Some("nobody has its key".to_owned()))
            } else if days_left <= window {
                (State::Due, Some(format!("ends in {days_left} days, and all that it issues with it")))
            } else {
                (State::Ok, None)
            };
            let lost = if ca.key.is_empty() { " --lost-key" } else { "" };
            Some(AuthorityEntry {
                remedy: (state != State::Ok).then(|| format!("deploy certs rotate-ca {inventory}{lost}")),
                days_left,
                expires,
                trusted_by: trusting(source, observed, &ca.certificate, &pems),
                subject: certificate.subject,
                fingerprint: certificate.fingerprint,
                role,
                state,
                problem,
            })
        });
        let mut report = Self { certificates, authorities: authorities.collect() };
        if !report.expired() {
            for entry in &mut report.certificates {
                entry.remedy = entry.mended_by(inventory);
            }
        }
        Ok(report)
    }

    /// The most that is to be done about any certificate or authority.
    pub fn worst(&self) -> State {
        let all = self.certificates.iter().map(|entry| entry.state);
        all.chain(self.authorities.iter().map(|authority| authority.state)).max().unwrap_or(State::Ok)
    }

    /// An authority has ended: only another one mends what it issued.
    pub fn expired(&self) -> bool {
        self.authorities.iter().any(|authority| authority.days_left < 0)
    }
}

impl Entry {
    fn look(&mut self, seen: &Observation, flaw: Option<&String>, within: Option<i64>, now: OffsetDateTime) {
        let read = |id: &Id, key: &str| {
            seen.fields
                .get(id)
                .and_then(|fields| pem(fields, key))
                .and_then(|pem| Certificate::parse(&pem).ok())
        };
        let stored = read(&Id::new("certificate", &self.path), "certificate");
        if let Some(stored) = &stored {
            self.serial = Some(stored.serial.clone());
            self.issuer = Some(stored.issuer.clone());
            self.names = stored.names.iter().map(ToString::to_string).collect();
            self.days_left = Some(stored.days_left(now));
            self.expires = Some(stored.not_after.date().to_string());
        }
        let mut problems: Vec<String> = flaw.cloned().into_iter().collect();
        for (port, serial) in &mut self.served {
            let served = read(&id(*port), "served");
            *serial = served.as_ref().map(|served| served.serial.clone());
            match (&stored, served) {
                (Some(_), None) => problems.push(format!("port {port} serves none")),
                (Some(stored), Some(served)) if served.fingerprint != stored.fingerprint => {
                    self.untaken = flaw.is_none();
                    problems.push(format!("port {port} serves another one, {}", short(&served.serial)));
                }
                _ => {}
            }
        }
        let due = self.days_left.zip(within).filter(|(left, within)| left <= within);
        let ends = self.days_left.map(|days_left| Flaw::RenewalDue { days_left }.to_string());
        (self.state, self.problem) = if problems.len() == 1 && problems.first() == ends.as_ref() {
            (State::Due, ends)
        } else if !problems.is_empty() {
            (State::Wrong, Some(problems.join("; ")))
        } else if let Some((left, _)) = due {
            (State::Due, Some(format!("ends in {left} days")))
        } else {
            (State::Ok, None)
        };
    }

    /// The command that mends it.
    fn mended_by(&self, inventory: &str) -> Option<String> {
        let Self { node, service, .. } = self;
        let ending = self.days_left.is_some_and(|left| left <= OWN_WINDOW_DAYS);
        if let Some(path) = self.own.as_ref().filter(|_| ending && self.state != State::Ok) {
            return Some(format!("put a new certificate into {path}, then: deploy apply {inventory}"));
        }
        match self.state {
            State::Ok | State::Unknown => None,
            // A plan looks at what is stored: a service that has not taken it is made to take a newer one.
            State::Wrong if !self.untaken => Some(format!("deploy apply {inventory}")),
            State::Due | State::Wrong => {
                Some(format!("deploy certs renew {inventory} --on {node} --service {service} --force"))
            }
        }
    }
}

/// The first digits of a serial number or fingerprint: enough to tell two apart.
pub fn short(digits: &str) -> String {
    digits.chars().take(16).collect()
}

/// What is wrong with the certificates of a node, by path: the same comparison as in a plan.
fn flaws(
    source: &Source,
    node: &NodeName,
    seen: &Observation,
    now: OffsetDateTime,
) -> Result<BTreeMap<String, String>, RenderError> {
    let (changing, none) = (BTreeSet::new(), Fields::new());
    let context = Context { changing: &changing, now, only_certificates: true };
    let all = render::resources(source, node, Some(&seen.facts))?.into_values().flatten();
    let certificates = all.filter(|resource| resource.id().kind == "certificate");
    let found = certificates.filter_map(|resource| {
        let id = resource.id();
        let change = resource.compare(seen.fields.get(&id).unwrap_or(&none), &context).ok()??;
        Some((id.name, change.reason))
    });
    Ok(found.collect())
}

/// The nodes whose every trust bundle holds `pem`.
fn trusting(source: &Source, observed: &Observed, pem: &str, authorities: &[&str]) -> Vec<NodeName> {
    let mut holding: BTreeSet<String> = [sha256(pem.as_bytes())].into();
    if let [old, new] = authorities {
        holding.insert(sha256(bundle(old, new).as_bytes()));
    }
    let trusts = |node: &NodeName, seen: &Observation| {
        let paths = live::authority_paths(source, node);
        paths.iter().all(|path| {
            let hash = seen.fields.get(&Id::new("file", path)).and_then(|fields| fields.get("sha256"));
            hash.is_some_and(|hash| holding.contains(hash))
        })
    };
    observed.iter().filter(|(node, seen)| trusts(node, seen)).map(|(node, _)| node.clone()).collect()
}
