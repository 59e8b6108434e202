//! What most commands begin with: the inventory, its roles, its store, and the way to its nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};

use super::Global;
use crate::cluster::{Cluster, NodeName};
use crate::inventory;
use crate::live::Observed;
use crate::live::{self, Reached, secret_names};
use crate::observe::{self, Hosts};
use crate::pki::{Authority, Handover, Trust};
use crate::render::Source;
use crate::role::Library;
use crate::secrets::{CaMaterial, Identity, Recipient, Secret, Store};
use crate::transport::{Fleet, Trace};
use crate::ui::Hint;

/// File of the store, beside the inventory.
pub const STORE: &str = "secrets.age";

/// A cluster as the controller knows it.
pub struct Project {
    /// What renderings need.
    pub source: Arc<Source>,
    /// Everything secret; not saved yet where it has been completed.
    pub store: Store,
    /// The nodes.
    pub fleet: Fleet,
}

/// The inventory and its roles, without secrets.
pub fn cluster(path: &Path) -> Result<(Cluster, Library, PathBuf)> {
    let loaded = inventory::load(path)?;
    let library = Library::with_folder(&loaded.dir)?;
    Ok((Cluster::new(loaded.inventory, &library), library, loaded.dir))
}

/// Whom to trust before anything is known of the nodes: whoever may have issued what is there.
fn resting(store: &Store) -> Result<Trust> {
    let ca = store.ca().context("the store has no certificate authority")?;
    let mark = store.mark().unwrap_or_default();
    Ok(match store.next_ca() {
        Some(next) => Trust::both(&ca.certificate, &next.certificate, &mark),
        None => Trust::settled(&ca.certificate, &mark),
    })
}

impl Project {
    /// Reads everything and completes the store in memory: what is missing is generated, and saved only by
    /// [`Project::save`].
    pub fn open(global: &Global, path: &Path) -> Result<Self> {
        let (cluster, library, dir) = cluster(path)?;
        let file = dir.join(STORE);
        if !file.exists() {
            let hint = format!(
                "`deploy init {}` makes an identity and the store beside the inventory",
                dir.display()
            );
            return Err(anyhow!("there is no secret store at {}", file.display()).context(Hint(hint)));
        }
        let identity = Identity::find(global.identity.as_deref(), &dir, |name| std::env::var(name).ok())?;
        let known: BTreeSet<Recipient> =
            cluster.inventory.trust.recipients.iter().filter_map(|text| text.parse().ok()).collect();
        let mut store = Store::open(&file, &identity, &known)?;
        store.require_cluster(cluster.name())?;
        let mut rng = rand::rng();
        if store.ca().is_none() {
            let authority = Authority::create(cluster.name(), time::OffsetDateTime::now_utc(), 10, &mut rng)?;
            store.set_ca(authority.to_material());
        }
        let names = secret_names(&cluster, &library);
        let secrets: BTreeMap<String, Secret> =
            names.into_iter().map(|name| (name.clone(), store.ensure(&name, &mut rng).0)).collect();
        let trust = resting(&store)?;
        let trace = global.trace.as_deref().map(|path| {
            Trace::create(path).with_context(|| format!("cannot write the trace {}", path.display()))
        });
        let fleet = Fleet::new(&cluster, &dir, trace.transpose()?)
            .context("cannot make a folder for SSH sockets in /tmp")?;
        let source = Arc::new(Source::new(cluster, library, secrets, trust)?);
        Ok(Self { source, store, fleet })
    }

    /// Writes the store, if anything was generated.
    pub fn save(&mut self) -> Result<()> {
        self.store.save().context("cannot save the secret store; nothing was changed on any node")?;
        Ok(())
    }

    /// Issues certificates: the next authority where every node that will see one of its certificates trusts it.
    pub fn authority(&self) -> Result<Authority> {
        let issues = |ca: &&CaMaterial| self.source.trust.issuers == [ca.certificate.clone()];
        let next = self.store.next_ca().filter(issues);
        let material = next.or(self.store.ca()).context("the store has no certificate authority")?;
        Ok(Authority::from_material(material)?)
    }

    /// Where the nodes are on the way to the next authority, if there is one.
    pub fn handover(&self, observed: &Observed) -> Option<Reached> {
        let (old, new) = (self.store.ca()?, self.store.next_ca()?);
        Some(live::reached(&self.source, observed, &old.certificate, &new.certificate))
    }

    /// From now on, plans want what this step of a hand-over wants.
    pub fn take_step(&mut self, step: Handover) -> Result<()> {
        if let (Some(old), Some(new)) = (self.store.ca(), self.store.next_ca()) {
            let mark = self.source.trust.mark.clone();
            let trust = Trust::of(step, &old.certificate, &new.certificate, &mark);
            self.source_mut()?.trust = trust;
        }
        Ok(())
    }

    /// What is wanted, to be changed before anything is planned.
    pub fn source_mut(&mut self) -> Result<&mut Source> {
        Arc::get_mut(&mut self.source).context("a run is under way")
    }

    /// All hosts.
    pub fn hosts(&self) -> Hosts {
        self.fleet.hosts()
    }

    /// What all nodes say; an error that names every node that says nothing.
    pub async fn observe(&self) -> Result<Observed> {
        let answers = observe::observe(&self.source, &self.hosts()).await?;
        let Some((_, first)) = answers.failures.first_key_value() else { return Ok(answers.observed) };
        let hint = match first {
            observe::ObserveError::Failure(failure) => failure.hint(),
            _ => "every node of the inventory must answer before anything is changed".into(),
        };
        let all: Vec<String> = answers.failures.values().map(ToString::to_string).collect();
        Err(anyhow!(all.join("\n       ")).context(Hint(hint)))
    }

    /// Remote executions so far, by node.
    pub fn executions(&self) -> BTreeMap<NodeName, usize> {
        self.fleet.executions()
    }
}
