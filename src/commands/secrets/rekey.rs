//! `deploy secrets rekey`: seals the store to the recipients of the inventory.

use anyhow::{Result, anyhow};
use serde_json::json;

use super::super::Global;
use super::Opened;
use crate::cli::Target;
use crate::secrets::{Identity, Seal};
use crate::ui::{self, Hint};

pub fn run(global: &Global, target: &Target) -> Result<()> {
    let mut opened = Opened::new(global, &target.inventory)?;
    let wanted = opened.files.recipients();
    if wanted.is_empty() {
        let own: Vec<String> = opened.identity.recipients().iter().map(ToString::to_string).collect();
        let example = if own.is_empty() { "age1…".into() } else { own.join(", ") };
        let hint = Hint(format!("name them, as in `trust: {{ recipients: [{example}] }}`"));
        return Err(anyhow!("the inventory names no recipients to seal the store to").context(hint));
    }
    let before = opened.store.seal().recipients();
    let identity = after(global, &opened);
    let written = opened
        .store
        .rekey(Seal::Recipients(wanted.clone()), identity.as_ref().unwrap_or(&opened.identity))?;
    if global.json {
        ui::json(
            &json!({ "changed": written, "recipients": wanted.iter().map(ToString::to_string).collect::<Vec<_>>() }),
        );
    }
    if !written {
        ui::talk("the store is sealed to exactly these recipients already; nothing was written");
        return Ok(());
    }
    for recipient in &wanted {
        let new = if before.contains(recipient) { "" } else { "  new" };
        ui::talk(&format!("{recipient}  can open it{new}"));
    }
    for recipient in before.difference(&wanted) {
        ui::talk(&format!("{recipient}  can no longer open it"));
    }
    if before.difference(&wanted).next().is_some() {
        ui::talk(
            "whoever was taken out can still open what version control remembers: give the secrets new values",
        );
    }
    Ok(())
}

/// What must open the store afterwards, where that is not what opened it: a passphrase cannot, a key beside it may.
fn after(global: &Global, opened: &Opened) -> Option<Identity> {
    if !opened.identity.recipients().is_empty() {
        return None;
    }
    let env = |name: &str| std::env::var(name).ok().filter(|_| name != "DEPLOY_PASSPHRASE");
    Identity::find(global.identity.as_deref(), &opened.files.dir, env).ok()
}
