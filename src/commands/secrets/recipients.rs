//! `deploy secrets recipients`: who can open the store, and who should by the inventory. Opens nothing where the store
//! tells it in the clear.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::json;

use super::super::Global;
use super::super::project::{self, STORE};
use crate::cli::Target;
use crate::secrets::{Identity, SealedTo, Store};
use crate::ui::{self, RecipientRow};

pub fn run(global: &Global, target: &Target) -> Result<()> {
    let files = project::files(&target.inventory)?;
    let wanted = files.recipients();
    let (sealed, passphrase) = match Store::sealed_to(&files.dir.join(STORE))? {
        SealedTo::Recipients(recipients) => (recipients, false),
        SealedTo::Passphrase => (BTreeSet::new(), true),
        SealedTo::Unnamed => (project::open_store(global, &files)?.0.seal().recipients(), false),
    };
    let own = Identity::find(global.identity.as_deref(), &files.dir, |name| std::env::var(name).ok())
        .map(|identity| identity.recipients())
        .unwrap_or_default();
    let rows: Vec<RecipientRow> = sealed
        .union(&wanted)
        .map(|recipient| RecipientRow {
            recipient: recipient.to_string(),
            store: sealed.contains(recipient),
            inventory: wanted.contains(recipient),
            yours: own.contains(recipient),
        })
        .collect();
    if global.json {
        ui::json(&json!({ "passphrase": passphrase, "recipients": rows }));
        return Ok(());
    }
    if passphrase {
        ui::data("the store opens by its passphrase\n");
    }
    if !rows.is_empty() {
        ui::data(&ui::recipients(&rows));
    }
    if wanted.is_empty() {
        ui::talk("the inventory names nobody in `trust.recipients`: the store stays sealed as it is");
    } else if wanted != sealed {
        ui::talk(&format!(
            "they differ: `deploy secrets rekey {}` seals the store to those of the inventory",
            target.inventory.display()
        ));
    }
    Ok(())
}
