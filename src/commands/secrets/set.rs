//! `deploy secrets set`: gives one secret a value, from standard input or asked for twice; never an argument.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use zeroize::Zeroizing;

use super::super::Global;
use super::{Opened, tell_changed};
use crate::cli::Target;
use crate::secrets::{Secret, without_line_ending};
use crate::ui::{self, Hint};

/// The most that a secret may be, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

pub fn run(global: &Global, target: &Target, name: &str) -> Result<()> {
    let mut opened = Opened::new(global, &target.inventory)?;
    // Before anybody types it.
    opened.require_known(name)?;
    opened.require_stored(name)?;
    let value = if std::io::stdin().is_terminal() { asked(name)? } else { piped()? };
    opened.require_fitting(name, &value)?;
    let changed = opened.store.secret(name) != Some(&value);
    if changed {
        opened.store.set(name, value.clone());
        opened.store.save()?;
        tell_changed(&opened, &target.inventory, &BTreeMap::from([(name.to_owned(), Some(value))]));
    } else {
        ui::talk(&format!("{name}: it has that value already; nothing was written"));
    }
    if global.json {
        ui::json(&json!({ "name": name, "changed": changed }));
    }
    Ok(())
}

fn asked(name: &str) -> Result<Secret> {
    if !ui::interactive() {
        let hint = Hint("pipe the value in, or leave standard error on the terminal".into());
        return Err(
            anyhow!("the terminal cannot be asked for the value: standard error is elsewhere").context(hint)
        );
    }
    let ask = |question: &str| ui::secret(question).context("cannot read from the terminal");
    let value = ask(&format!("Value of {name}: "))?;
    if value.is_empty() {
        return Err(anyhow!("nothing was typed; the store is as it was"));
    }
    if ask("Once more: ")? != value {
        return Err(anyhow!("the two differ; the store is as it was").context(Hint("run it again".into())));
    }
    Ok(value)
}

fn piped() -> Result<Secret> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * 64 * 1024));
    std::io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes).context("cannot read standard input")?;
    if bytes.len() as u64 > MAX_BYTES {
        let hint = Hint("a secret is one line of text".into());
        return Err(anyhow!("the value on standard input is larger than 64 KiB").context(hint));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        let hint = Hint("a secret is one line of text".into());
        anyhow!("the value on standard input is not text").context(hint)
    })?;
    match without_line_ending(text) {
        "" => Err(anyhow!("nothing came on standard input; the store is as it was")
            .context(Hint("pipe the value in, or run it on a terminal to be asked".into()))),
        value => Ok(Secret::new(value)),
    }
}
