//! What most commands begin with: the inventory, its roles, its store, and the way to its nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::Global;
use super::beside::{missing_ssh, own_certificates};
use super::written::unwritable;
use crate::cluster::{Cluster, NodeName};
use crate::inventory::{self, Inventory, Loaded, Places, Problem, Problems};
use crate::journal::Wanted;
use crate::live::Observed;
use crate::live::{self, secret_names, secret_uses};
use crate::observe::{self, Answers, Hosts, Unanswered};
use crate::pki::{Authority, OwnCertificate, Trust};
use crate::plan::{self, Inputs, Made};
use crate::render::Source;
use crate::resource::{Call, Id};
use crate::role::Library;
use crate::secrets::{Form, Identity, IdentityError, Outside, OutsideError, Recipient, Secret, Store};
use crate::transport::{Fleet, Trace};
use crate::ui::{self, Hint};

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
    /// What the nodes said when they were last observed.
    pub observed: Observed,
    /// When they were asked.
    pub asked: Instant,
    /// Text of the inventory.
    pub text: Text,
    /// What was not in the store, and was made for this run.
    pub made: Made,
}

/// The text of an inventory, for problems that show only when the nodes are asked.
pub struct Text {
    name: String,
    /// The file of the inventory, whichever text is in its place.
    pub file: PathBuf,
    /// As it was read.
    pub source: String,
    places: Places,
}

impl Text {
    /// An error that shows every problem in its place, if there is one.
    fn refuse(&self, problems: Vec<Problem>) -> Result<()> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Problems::new(&self.name, &self.source, problems).into())
    }
}

/// The inventory and its roles, without secrets.
pub struct Files {
    /// The cluster.
    pub cluster: Cluster,
    /// Roles and templates.
    pub library: Library,
    /// The folder of the inventory.
    pub dir: PathBuf,
    /// Certificates of the user's own, by application.
    pub own_certificates: BTreeMap<String, OwnCertificate>,
    /// Text of the inventory.
    pub text: Text,
}

/// Reads the inventory and its roles.
pub fn files(path: &Path) -> Result<Files> {
    let library = Library::with_folder(&inventory::folder(path))?;
    fitted(inventory::load(path, &library.known_roles())?, library)
}

/// The same with what a run wanted in the place of the inventory at `path` and of the roles beside it. How nodes are reached, and
/// where secrets come from, stays as it is now: both may run commands here, and the text comes from a node.
pub fn files_of_run(path: &Path, run: &str, wanted: Wanted, now: &Inventory) -> Result<Files> {
    let library = Library::with(wanted.files)?;
    let name = format!("the inventory of the run {run}");
    let mut loaded = inventory::load_text(path, &name, wanted.inventory, &library.known_roles())?;
    loaded.inventory.ssh = now.ssh.clone();
    loaded.inventory.secrets.clear();
    let mut files = fitted(loaded, library)?;
    let needed = secret_names(&files.cluster, &files.library);
    let sources = now.secrets.iter().filter(|(name, _)| needed.contains(*name));
    files.cluster.inventory.secrets = sources.map(|(name, from)| (name.clone(), from.clone())).collect();
    Ok(files)
}

fn fitted(loaded: Loaded, library: Library) -> Result<Files> {
    let Loaded { inventory, dir, file, source, places } = loaded;
    let cluster = Cluster::new(inventory, &library);
    let library = cluster.fit(library).wanted_by(&cluster.inventory);
    plan::known_phases(&library)?;
    let names = secret_names(&cluster, &library);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut problems = inventory::check_secrets(&cluster.inventory, &places, &names);
    let (own_certificates, unfit) = own_certificates(&cluster.inventory, &dir);
    problems.extend(inventory::placed(&places, unfit));
    let text = Text { name: file.to_string_lossy().into_owned(), file, source, places };
    text.refuse(problems)?;
    Ok(Files { cluster, library, dir, own_certificates, text })
}

impl Files {
    /// The recipients that the inventory names.
    pub fn recipients(&self) -> BTreeSet<Recipient> {
        recipients(&self.cluster)
    }

    /// The way to the nodes, which takes the files of SSH that the inventory names.
    pub fn fleet(&self, trace: Option<Trace>) -> Result<Fleet> {
        let missing = missing_ssh(&self.cluster.inventory.ssh, &self.dir);
        self.text.refuse(inventory::placed(&self.text.places, missing))?;
        Fleet::new(&self.cluster, &self.dir, trace).context("cannot make a folder for SSH sockets in /tmp")
    }

    /// The secrets that do not come from the store.
    pub fn outside(&self) -> BTreeMap<String, Outside> {
        let sources = &self.cluster.inventory.secrets;
        sources.iter().filter_map(|(name, source)| Some((name.clone(), source.outside()?))).collect()
    }
}

fn recipients(cluster: &Cluster) -> BTreeSet<Recipient> {
    cluster.inventory.trust.recipients.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Opens the store beside the inventory by the identity at hand.
pub fn open_store(global: &Global, files: &Files) -> Result<(Store, Identity)> {
    let file = files.dir.join(STORE);
    if !file.exists() {
        let hint = format!(
            "`deploy init {}` makes an identity and the store beside the inventory",
            files.dir.display()
        );
        return Err(anyhow!("there is no secret store at {}", file.display()).context(Hint(hint)));
    }
    let known = files.recipients();
    let identity = Identity::find(global.identity.as_deref(), &files.dir, |name| std::env::var(name).ok())
        .map_err(|error| match error {
            IdentityError::NotFound(_) => match Store::sealed_to(&file) {
                Ok(sealed) => anyhow::Error::new(error).context(Hint(sealed.openers(&known))),
                Err(damage) => damage.into(),
            },
            error => error.into(),
        })?;
    let store = Store::open(&file, &identity, &known)?;
    store.require_cluster(files.cluster.name())?;
    Ok((store, identity))
}

/// Reads one secret from outside; a command runs in `dir`.
pub async fn fetch(name: &str, outside: &Outside, dir: &Path) -> Result<Secret> {
    outside.fetch(name, dir, |variable| std::env::var(variable).ok()).await.map_err(hinted)
}

/// Reads every secret from outside, all at once; an error names each that could not be read or used.
async fn fetch_all(files: &Files) -> Result<BTreeMap<String, Secret>> {
    let uses = secret_uses(&files.cluster, &files.library);
    let outside = files.outside();
    let fetched = outside.iter().map(async |(name, outside)| {
        let value = outside.fetch(name, &files.dir, |variable| std::env::var(variable).ok()).await?;
        let form = uses.get(name).map_or(Form::Text, |found| found.form);
        form.check(&value).map_err(|why| OutsideError::unfit(name, outside, why))?;
        Ok((name.clone(), value))
    });
    let (mut values, mut failed) = (BTreeMap::new(), Vec::new());
    for result in futures_util::future::join_all(fetched).await {
        match result {
            Ok((name, value)) => {
                values.insert(name, value);
            }
            Err(error) => failed.push(error),
        }
    }
    let all: Vec<String> = failed.iter().map(OutsideError::to_string).collect();
    match failed.into_iter().next() {
        None => Ok(values),
        Some(first) => Err(anyhow!(all.join("\n       ")).context(Hint(first.hint()))),
    }
}

/// What all nodes said; an error that names every node that said nothing.
pub fn everyone(answers: Answers) -> Result<Observed> {
    if answers.failures.is_empty() {
        return Ok(answers.observed);
    }
    let unanswered = Unanswered(answers.failures);
    let hint = Hint(unanswered.hint());
    Err(anyhow::Error::new(unanswered).context(hint))
}

fn hinted(error: OutsideError) -> anyhow::Error {
    let hint = Hint(error.hint());
    anyhow::Error::new(error).context(hint)
}

/// Whom to trust before anything is known of the nodes: whoever may have issued what is there.
pub fn resting(store: &Store) -> Result<Trust> {
    let ca = store.ca().context("the store has no certificate authority")?;
    let mark = store.mark().unwrap_or_default();
    Ok(match store.next_ca() {
        Some(next) => Trust::both(&ca.certificate, &next.certificate, &mark),
        None => Trust::settled(&ca.certificate, &mark),
    })
}

impl Project {
    /// Reads everything and completes the store in memory: what is missing is generated, and saved only by
    /// [`Project::save`]. Secrets from outside are read here, once for the whole run.
    pub async fn open(global: &Global, path: &Path) -> Result<Self> {
        Self::open_with(global, path, |_| {}).await
    }

    /// The same with a store that is changed first, in memory.
    pub async fn open_with(global: &Global, path: &Path, change: impl FnOnce(&mut Store)) -> Result<Self> {
        Self::of(global, files(path)?, change).await
    }

    /// The same for files that have been read.
    pub async fn of(global: &Global, files: Files, change: impl FnOnce(&mut Store)) -> Result<Self> {
        let trace = global
            .trace
            .as_deref()
            .map(|path| Trace::create(path).map_err(|error| unwritable("the trace", path, error)));
        let fleet = files.fleet(trace.transpose()?)?;
        let (mut store, _) = open_store(global, &files)?;
        change(&mut store);
        let mut secrets = global.outside.get_or_try_init(|| fetch_all(&files)).await?.clone();
        let Files { cluster, library, own_certificates, text, .. } = files;
        let mut made = Made::default();
        let mut rng = rand::rng();
        if store.ca().is_none() {
            let authority = Authority::create(
                cluster.name(),
                time::OffsetDateTime::now_utc(),
                Authority::DEFAULT_YEARS,
                &mut rng,
            )?;
            let material = authority.to_material();
            made.authority = Some((material.certificate.clone(), material.key.expose().to_owned()));
            store.set_ca(material);
        }
        for name in secret_names(&cluster, &library) {
            secrets.entry(name).or_insert_with_key(|name| {
                let (secret, new) = store.ensure(name, &mut rng);
                if new {
                    made.secrets.insert(name.clone(), secret.expose().to_owned());
                }
                secret
            });
        }
        let trust = resting(&store)?;
        let mut source = Source::new(cluster, library, secrets, trust)?;
        source.own_certificates = own_certificates;
        let source = Arc::new(source);
        Ok(Self { source, store, fleet, observed: Observed::new(), asked: Instant::now(), text, made })
    }

    /// Gives a secret of the store a new value, in memory, for whatever is planned from now on.
    pub fn renew(&mut self, name: &str) -> Result<()> {
        let value = self.store.renew(name, &mut rand::rng());
        self.source_mut()?.set_secret(name, value)?;
        Ok(())
    }

    /// What the inventory says that does not fit the nodes, with its place.
    pub fn fits(&self, observed: &Observed) -> Result<()> {
        self.text.refuse(live::misfits(&self.source, &self.text.places, observed))
    }

    /// Writes the store, if anything was generated.
    pub fn save(&mut self) -> Result<()> {
        if self.store.save().context("cannot save the secret store; nothing was changed on any node")? {
            let store = self.store.path().display();
            ui::talk(&format!("{store} has changed: keep it where the inventory is kept"));
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

    /// What is wanted, as digests.
    pub fn inputs(&self) -> Inputs {
        Inputs::of(&self.source, &self.text.source)
    }

    /// What all nodes say; an error that names every node that says nothing.
    pub async fn observe(&mut self) -> Result<Observed> {
        self.observe_also(&[]).await
    }

    /// The same with more questions to each node.
    pub async fn observe_also(&mut self, more: &[(Id, Call)]) -> Result<Observed> {
        self.asked = Instant::now();
        let hosts = self.hosts();
        let asked = observe::observe_also(&self.source, &hosts, |_| more.to_vec());
        let answers = ui::waiting(&hosts, asked).await?;
        self.observed.clone_from(&answers.observed);
        everyone(answers)
    }

    /// What the nodes of a role say, of which at least one must answer. Those that do not, and all other nodes, are left
    /// alone from then on.
    pub async fn observe_reachable(&mut self, role: &str) -> Result<Answers> {
        let source = Arc::clone(&self.source);
        let runs = |node: &NodeName| source.cluster.nodes.get(node).is_some_and(|it| it.roles.contains(role));
        self.fleet.keep(runs);
        self.observe_answering().await
    }

    /// What those nodes say that answer, of which there must be one. The others are left alone from then on.
    pub async fn observe_answering(&mut self) -> Result<Answers> {
        self.asked = Instant::now();
        let hosts = self.hosts();
        let answers = ui::waiting(&hosts, observe::observe(&self.source, &hosts)).await?;
        if answers.observed.is_empty() {
            everyone(answers)?;
            return Ok(Answers::default());
        }
        self.fleet.keep(|node| answers.observed.contains_key(node));
        self.observed.clone_from(&answers.observed);
        Ok(answers)
    }

    /// Remote executions so far, by node.
    pub fn executions(&self) -> BTreeMap<NodeName, usize> {
        self.fleet.executions()
    }
}
