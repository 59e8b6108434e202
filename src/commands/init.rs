//! `deploy init`: a first inventory, an identity and the secret store; only what is not there yet.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use serde_json::json;

use super::Global;
use super::project::STORE;
use super::written::unwritable;
use crate::role::Library;
use crate::secrets::{Identity, IdentityError, NewIdentity, Recipient, Seal, Secret, Store};
use crate::ui::{self, Hint};
use crate::{cli, inventory};

/// The identity that `init` makes, beside the inventory and never to be committed.
const IDENTITY: &str = "deploy.identity";
const INVENTORY: &str = "cluster.yaml";
/// The variable that seals and opens a store by a passphrase instead.
const PASSPHRASE: &str = "DEPLOY_PASSPHRASE";

pub fn run(global: &Global, args: &cli::Init) -> Result<ExitCode> {
    let mut said = Vec::new();
    let done = begin(global, args, &mut said);
    // What was written before an error is there.
    if global.json {
        let wrote: Vec<_> = said.iter().filter(|said| said.new).map(|said| &said.path).collect();
        ui::json(&json!({ "wrote": wrote }));
    } else {
        said.iter().map(|said| &said.text).for_each(|text| ui::data(&format!("{text}\n")));
    }
    done.map(|()| ExitCode::SUCCESS)
}

/// What is said of one file.
struct Said {
    path: PathBuf,
    /// It was not there before.
    new: bool,
    text: String,
}

/// A file that was written, and what to know of it.
fn wrote(path: &Path, what: &str) -> Said {
    Said { path: path.to_owned(), new: true, text: format!("wrote {}: {what}", path.display()) }
}

fn begin(global: &Global, args: &cli::Init, said: &mut Vec<Said>) -> Result<()> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).map_err(|error| {
        let hint = Hint("name a folder, or a path where one can be made".into());
        anyhow::Error::new(error).context(format!("cannot make {}", folder.display())).context(hint)
    })?;
    let file = folder.join(INVENTORY);
    if !file.exists() {
        let name = name(args)?;
        let text = include_str!("init.yaml").replace("CLUSTER", &name);
        inventory::parse("the new inventory", &text)?;
        write_new(&file, &text)?;
        said.push(wrote(&file, "put your machines into it"));
    }
    let roles = Library::with_folder(folder)?.known_roles();
    let loaded = inventory::load(&file, &roles)?;
    let store = folder.join(STORE);
    if store.exists() {
        let text = format!("{} is there already and stays as it is", store.display());
        said.push(Said { path: store, new: false, text });
        return Ok(());
    }
    let explicit = global.identity.as_deref();
    let seal = seal(explicit, folder, &loaded.inventory.trust.recipients, said)?;
    let names: Vec<String> = match &seal {
        Seal::Recipients(recipients) => recipients.iter().map(ToString::to_string).collect(),
        Seal::Passphrase(_) => vec!["whoever knows the passphrase".into()],
    };
    Store::create(&store, &loaded.inventory.name, seal)?.save()?;
    said.push(wrote(&store, &format!("safe to commit; these can open it: {}", names.join(", "))));
    ignored(folder, said)
}

/// Sees to it that version control leaves alone what must not be committed: the identity, and what a killed process may
/// leave of the store's lock.
fn ignored(folder: &Path, said: &mut Vec<Said>) -> Result<()> {
    let path = folder.join(".gitignore");
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    let missing: Vec<&str> = [IDENTITY, ".secrets.*"]
        .into_iter()
        .filter(|line| !present.lines().any(|known| known.trim() == *line))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let gap = if present.is_empty() || present.ends_with('\n') { "" } else { "\n" };
    let text = format!("{present}{gap}{}\n", missing.join("\n"));
    std::fs::write(&path, text).map_err(|error| unwritable("a file", &path, error))?;
    said.push(wrote(&path, "the identity is not to be committed"));
    Ok(())
}

/// By the passphrase of the environment where nobody is named, else to everyone who is.
fn seal(explicit: Option<&Path>, folder: &Path, named: &[String], said: &mut Vec<Said>) -> Result<Seal> {
    match std::env::var(PASSPHRASE) {
        Ok(passphrase) if named.is_empty() && !passphrase.trim().is_empty() => {
            Ok(Seal::Passphrase(Secret::new(passphrase.trim_end_matches(['\r', '\n']))))
        }
        _ => Ok(Seal::Recipients(recipients(explicit, folder, named, said)?)),
    }
}

/// Those that the inventory names, and the identity that this machine has; a new one where it has none.
fn recipients(
    explicit: Option<&Path>,
    folder: &Path,
    named: &[String],
    said: &mut Vec<Said>,
) -> Result<BTreeSet<Recipient>> {
    let mut recipients = BTreeSet::new();
    for text in named {
        recipients
            .insert(text.parse::<Recipient>().map_err(|error| anyhow!("trust.recipients: {text}: {error}"))?);
    }
    match Identity::find(explicit, folder, |name| std::env::var(name).ok()) {
        Ok(identity) => recipients.extend(identity.recipients()),
        Err(IdentityError::NotFound(_)) if recipients.is_empty() => {
            let identity = NewIdentity::generate();
            let path = folder.join(IDENTITY);
            identity.write(&path)?;
            said.push(wrote(&path, "it opens the store; keep a copy where you keep such things"));
            recipients.insert(identity.recipient().clone());
        }
        Err(IdentityError::NotFound(_)) => {}
        // What is there and cannot be read would open nothing later on.
        Err(error) => {
            let hint = Hint(error.hint().into());
            return Err(anyhow::Error::new(error).context(hint));
        }
    }
    if recipients.is_empty() {
        let hint = Hint("name an age public key in `trust.recipients`".into());
        return Err(
            anyhow!("the identity that was found has no public key to seal the store to").context(hint)
        );
    }
    Ok(recipients)
}

fn name(args: &cli::Init) -> Result<String> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let folder = std::path::absolute(&args.folder)?;
    let named = folder.file_name().and_then(|name| named_after(&name.to_string_lossy()));
    named.context("give the cluster a name with --name")
}

/// A name for a cluster in a folder of this name: what a name cannot hold becomes a dash.
fn named_after(folder: &str) -> Option<String> {
    let fits = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let name = folder.to_lowercase().replace(|character| !fits(character), "-");
    let name = name.trim_start_matches(|character: char| !character.is_ascii_lowercase());
    let name: String = name.chars().take(32).collect();
    Some(name.trim_end_matches('-').to_owned()).filter(|name| !name.is_empty())
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| unwritable("a new file", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_after_its_folder_as_far_as_a_name_can_be() {
        let named = |folder| named_after(folder).unwrap_or_default();
        assert_eq!(
            ["shop", "My Cluster", "prod.db", "2026_lab_"].map(named),
            ["shop", "my-cluster", "prod-db", "lab"]
        );
        assert_eq!([".", "42", "ü"].map(named), ["", "", ""]);
    }
}
