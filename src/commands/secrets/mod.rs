//! `deploy secrets`: looks at the secrets of a cluster and changes them, and decides who can open the store.

mod edit;
mod editor;
mod list;
mod recipients;
mod rekey;
mod rotate;
mod set;
mod show;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};

use super::Global;
use super::project::{self, Files};
use crate::cli::Secrets;
use crate::inventory::{closest, quoted};
use crate::live::{SecretUse, on_change, secret_uses};
use crate::secrets::{Form, Identity, Outside, Secret, Store, is_short};
use crate::ui::{self, Hint};

pub async fn run(global: &Global, command: Secrets) -> Result<ExitCode> {
    match command {
        Secrets::List { target } => list::run(global, &target)?,
        Secrets::Show { target, name } => show::run(global, &target, &name).await?,
        Secrets::Set { target, name } => set::run(global, &target, &name)?,
        Secrets::Rotate(args) => return rotate::run(global, &args).await,
        Secrets::Edit { target } => edit::run(global, &target).await?,
        Secrets::Rekey { target } => rekey::run(global, &target)?,
        Secrets::Recipients { target } => recipients::run(global, &target)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What the verbs work on.
struct Opened {
    files: Files,
    store: Store,
    identity: Identity,
    uses: BTreeMap<String, SecretUse>,
    outside: BTreeMap<String, Outside>,
}

impl Opened {
    fn new(global: &Global, inventory: &Path) -> Result<Self> {
        let files = project::files(inventory)?;
        let (store, identity) = project::open_store(global, &files)?;
        let uses = secret_uses(&files.cluster, &files.library);
        let outside = files.outside();
        Ok(Self { files, store, identity, uses, outside })
    }

    /// Whether something needs a secret of this name, or the store holds one.
    fn knows(&self, name: &str) -> bool {
        self.uses.contains_key(name) || self.store.secret(name).is_some()
    }

    /// Refuses a name that is nobody's, with those that may have been meant.
    fn require_known(&self, name: &str) -> Result<()> {
        if self.knows(name) {
            return Ok(());
        }
        let known = || self.uses.keys().map(String::as_str).chain(self.store.names());
        let ending = known().find(|known| known.rsplit('/').next() == Some(name));
        let hint = match closest(name, known()).or(ending) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`deploy secrets list` names all that there are".into(),
        };
        Err(anyhow!("there is no secret {}", quoted(name)).context(Hint(hint)))
    }

    /// Refuses to keep a secret here that comes from elsewhere.
    fn require_stored(&self, name: &str) -> Result<()> {
        let Some(outside) = self.outside.get(name) else { return Ok(()) };
        let hint = format!(
            "change it there; or take `{name}` out of `secrets` in the inventory to keep it in the store"
        );
        Err(anyhow!("the secret `{name}` comes from {outside}, and is not kept in the store")
            .context(Hint(hint)))
    }

    /// Refuses a value that cannot go where the secret is used.
    fn require_fitting(&self, name: &str, value: &Secret) -> Result<()> {
        let form = self.uses.get(name).map_or(Form::Text, |found| found.form);
        form.check(value).map_err(|why| {
            let places: Vec<&str> =
                self.uses.get(name).iter().flat_map(|found| &found.places).map(String::as_str).collect();
            let hint = match places.as_slice() {
                [] => "give it another value".into(),
                places => format!("give it another value; it is used by {}", places.join(", ")),
            };
            anyhow!("the value of `{name}` cannot be used: {why}").context(Hint(hint))
        })
    }
}

/// What follows from changed secrets, on standard error.
fn tell_changed(opened: &Opened, inventory: &Path, changed: &BTreeMap<String, Option<Secret>>) {
    for (name, value) in changed {
        match value {
            None if opened.uses.contains_key(name) => {
                ui::talk(&format!("{name}: removed; the next apply makes a new one"));
            }
            None => ui::talk(&format!("{name}: removed")),
            Some(_) if !opened.uses.contains_key(name) => {
                ui::talk(&format!("{name}: changed; nothing of this inventory uses it"));
            }
            Some(value) => {
                let short = if is_short(value) { " (short: it could be guessed)" } else { "" };
                ui::talk(&format!("{name}: changed{short}; {}", on_change(name)));
            }
        }
    }
    if changed.keys().any(|name| opened.uses.contains_key(name)) {
        ui::talk(&format!(
            "the nodes do not know it yet: `deploy apply {}` brings it to them",
            inventory.display()
        ));
    }
}
