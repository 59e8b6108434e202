//! From roles and nodes to the resources that each node must have. Pure.
//!
//! One builder serves both ends of a run: without facts it yields what to ask of a node ([`Resource::probe`] needs
//! paths and names only), with facts the resources with their contents. So what is asked and what is wanted cannot
//! disagree, and a node is observed in one round trip.

mod applications;
mod builder;
mod context;
mod engine;
mod graph;
mod rules;
mod virtual_ips;

pub use applications::{
    AppPool, AppServer, Application, Choice, Chosen, applications, backend, certificate_path, served_ports,
};
use builder::Builder;
pub use builder::authority_path;
pub use context::{
    CHECK_DATABASE, CHECK_ROLE, Facts, PG_HBA, Pool, data_directories, data_directory, pg_hba, pools,
};
use engine::Templates;
pub use engine::{RenderError, Renderer};
pub use graph::{Graph, Placed};
pub use rules::{APPLICATION, Edge, SSH, Through, edges};
pub use virtual_ips::{addresses as virtual_ips, device};

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{Cluster, NodeName};
use crate::pki::{OwnCertificate, Trust};
use crate::resource::{Firewall, Resource};
use crate::role::{Library, Stage};
use crate::secrets::Secret;

/// What every rendering needs beside the node.
pub struct Source {
    /// The cluster.
    pub cluster: Cluster,
    /// Roles and templates.
    pub library: Library,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Secret>,
    /// The cluster's authorities.
    pub trust: Trust,
    /// Certificates that are made anew though nothing is wrong with them.
    pub renewal: Option<Renewal>,
    /// The member of PostgreSQL that somebody wants to lead now.
    pub leader: Option<NodeName>,
    /// What somebody chooses for an application now.
    pub choice: Option<Choice>,
    /// Certificates of the users' own, by application.
    pub own_certificates: BTreeMap<String, OwnCertificate>,
    templates: Templates,
}

impl Source {
    /// Compiles the templates once for all nodes and phases.
    pub fn new(
        cluster: Cluster,
        library: Library,
        secrets: BTreeMap<String, Secret>,
        trust: Trust,
    ) -> Result<Self, RenderError> {
        let library = cluster.fit(library).wanted_by(&cluster.inventory);
        let templates = Templates::new(&library, &secrets)?;
        Ok(Self {
            cluster,
            library,
            secrets,
            trust,
            renewal: None,
            leader: None,
            choice: None,
            own_certificates: BTreeMap::new(),
            templates,
        })
    }

    /// Gives a secret another value, for the templates too.
    pub fn set_secret(&mut self, name: &str, value: Secret) -> Result<(), RenderError> {
        self.secrets.insert(name.into(), value);
        self.templates = Templates::new(&self.library, &self.secrets)?;
        Ok(())
    }

    /// A text from a node with every secret masked that is one now.
    pub fn masked(&self, text: &str) -> String {
        self.templates.masked(text)
    }
}

/// The certificates that a plan is about, and nothing else. Nothing named is everything.
#[derive(Debug, Clone, Default)]
pub struct Renewal {
    /// They are made anew even where they are not due.
    pub forced: bool,
    /// Nodes.
    pub nodes: BTreeSet<NodeName>,
    /// Roles.
    pub roles: BTreeSet<String>,
}

impl Renewal {
    /// Whether the certificates of `role` on `node` are meant.
    pub fn covers(&self, node: &NodeName, role: &str) -> bool {
        (self.nodes.is_empty() || self.nodes.contains(node))
            && (self.roles.is_empty() || self.roles.contains(role))
    }
}

/// The resources of one node, by phase, in the order in which a step takes them.
pub type Resources = BTreeMap<String, Vec<Box<dyn Resource>>>;

/// Phase of packages and of what must be there before them.
pub const PACKAGES: &str = "packages";

/// Everything that `node` must have. Without facts the contents are empty: enough to ask, not to compare.
pub fn resources(source: &Source, name: &NodeName, facts: Option<&Facts>) -> Result<Resources, RenderError> {
    resources_of(source, name, facts, None)
}

/// The same of one phase alone, where one is named.
pub fn resources_of(
    source: &Source,
    name: &NodeName,
    facts: Option<&Facts>,
    phase: Option<&str>,
) -> Result<Resources, RenderError> {
    let wanted = |of: &str| phase.is_none_or(|phase| phase == of);
    let Some(node) = source.cluster.nodes.get(name) else { return Ok(Resources::new()) };
    let builder = Builder::new(source, name, node, facts);
    let mut all = Resources::new();
    if wanted(PACKAGES) {
        all.insert(PACKAGES.into(), builder.packages());
    }
    let roles = source.library.roles.values().filter(|manifest| node.roles.contains(&manifest.role));
    for manifest in roles {
        let before = manifest.files.iter().filter(|file| file.stage == Stage::BeforePackages);
        for file in before.filter(|_| wanted(PACKAGES)) {
            all.entry(PACKAGES.into()).or_default().insert(0, Box::new(builder.file(manifest, file)?));
        }
        if wanted(&manifest.phase) {
            all.entry(manifest.phase.clone()).or_default().extend(builder.role(manifest)?);
        }
    }
    if node.roles.contains("base") && wanted("base") {
        let base = all.entry("base".into()).or_default();
        let (file, live) = builder.sysctl();
        base.insert(0, Box::new(file));
        base.insert(1, Box::new(live));
    }
    if node.roles.contains("firewall") && wanted("base") {
        let (v4, v6) = match facts {
            Some(_) => rules::render(&source.cluster, &source.library, name),
            None => Default::default(),
        };
        let confirm_within = source.cluster.inventory.firewall.confirm_within;
        // In front of the units, so that the one that loads the rules at boot finds them.
        all.entry("base".into()).or_default().insert(0, Box::new(Firewall { v4, v6, confirm_within }));
    }
    for (phase, unit) in builder.retired() {
        all.entry(phase).or_default().insert(0, Box::new(unit));
    }
    Ok(all)
}
