//! A plan that `plan --out` saved, on its way into `apply`.

use std::path::Path;

use anyhow::Result;

use super::Global;
use super::project::{self, Project};
use crate::exit::{Ended, Exit};
use crate::journal::{self, Carried};
use crate::plan::{Plan, SAVED_FORMAT, Saved, Stale};
use crate::secrets::{CaMaterial, SealedTextError, Secret, Store, read_sealed};
use crate::ui::Hint;

/// Reads the plan in `file`, and the cluster of `inventory` with what the plan was the first to need.
pub async fn open(global: &Global, inventory: &Path, file: &Path) -> Result<(Saved, Project)> {
    let files = project::files(inventory)?;
    let (_, identity) = project::open_store(global, &files)?;
    let text = read_sealed(file, &identity).map_err(|error| match error {
        SealedTextError::Closed { .. } => {
            let hint = "give the identity of one of those it was sealed to: who could open the secrets when it was saved";
            anyhow::Error::new(error).context(Hint(hint.into()))
        }
        error => refused(error, inventory, file),
    })?;
    let no_plan = |what: &str, error| {
        let what = format!("{} opens, but it is no {what} plan", file.display());
        refused(anyhow::Error::new(error).context(what), inventory, file)
    };
    let version: Version = serde_json::from_str(&text).map_err(|error| no_plan("saved", error))?;
    if version.format != SAVED_FORMAT {
        let what = format!("{} was saved by another version of deploy", file.display());
        return Err(refused(Ended::new(Exit::Stale, what), inventory, file));
    }
    let saved: Saved = serde_json::from_str(&text).map_err(|error| no_plan("whole", error))?;
    if saved.cluster != files.cluster.name() {
        let what = format!("{} is a plan for the cluster `{}`", file.display(), saved.cluster);
        return Err(refused(Ended::new(Exit::Stale, what), inventory, file));
    }
    let project = Project::open_with(global, inventory, |store| give_back(&saved, store)).await?;
    Ok((saved, project))
}

#[derive(serde::Deserialize)]
struct Version {
    format: u32,
}

/// Puts into the store what was made for the plan, where the store has got nothing else since.
fn give_back(saved: &Saved, store: &mut Store) {
    if let (None, Some((certificate, key))) = (store.ca(), &saved.made.authority) {
        store.set_ca(CaMaterial { certificate: certificate.clone(), key: Secret::new(key.as_str()) });
    }
    for (name, value) in &saved.made.secrets {
        if store.secret(name).is_none() {
            store.set(name, Secret::new(value.as_str()));
        }
    }
}

/// The plan for what is wanted and what the nodes say now, which must be the saved one.
pub async fn plan(saved: &Saved, project: &mut Project, inventory: &Path, file: &Path) -> Result<Plan> {
    let (mut plan, observed) = super::plan::observed(project, &[journal::asks_for_plan(&saved.id)]).await?;
    let stale = |stale: Stale| refused(stale, inventory, file);
    saved.require_inputs(&project.inputs()).map_err(stale)?;
    saved.selection.narrow(&mut plan, &project.source.cluster)?;
    let carried = journal::carried(&observed);
    // Asked for once more, a plan that was carried out has nothing to do: or else something has moved since.
    if carried == Carried::Done && plan.is_empty() {
        return Ok(plan);
    }
    saved.require_nodes(&plan, &observed, carried == Carried::Begun).map_err(stale)?;
    Ok(plan)
}

fn refused(error: impl Into<anyhow::Error>, inventory: &Path, file: &Path) -> anyhow::Error {
    let (inventory, file) = (inventory.display(), file.display());
    let hint = format!("look at a new plan: `deploy plan {inventory} --out {file}`");
    error.into().context(Hint(hint))
}
