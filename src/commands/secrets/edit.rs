//! `deploy secrets edit`: all secrets of the store in an editor. The decrypted text lies in memory only, and is gone with
//! this process, however it ends.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::super::Global;
use super::editor::Editor;
use super::{Opened, tell_changed};
use crate::cli::Target;
use crate::secrets::{MemoryFolder, MemoryFolderError, Secret, read_secrets, write_secrets};
use crate::ui::{self, Hint};

/// Exit code after an interrupt, as shells have it.
const INTERRUPTED: i32 = 130;

/// New values by name; none where the secret was removed.
type Changes = BTreeMap<String, Option<Secret>>;

pub async fn run(global: &Global, target: &Target) -> Result<()> {
    let mut opened = Opened::new(global, &target.inventory)?;
    opened.store.lock("deploy secrets edit")?;
    let env = |name: &str| std::env::var(name).ok();
    let editor = Editor::find(env)?;
    let mut folder = MemoryFolder::new(env).map_err(explain)?;
    let text = write_secrets(opened.store.secrets(), &heading(&opened));
    let file = folder.write("secrets.yaml", &text).context("cannot write the text to edit")?;
    let editing = ignore_interrupts_while_editing()?;
    let changes = loop {
        editing.store(true, Ordering::SeqCst);
        let ended = editor.edit(&file, &mut folder).await;
        editing.store(false, Ordering::SeqCst);
        ended?;
        let accepted = accept(&opened, &folder, &file);
        match accepted {
            Err(problem) if ui::interactive() => {
                ui::failed(&problem);
                if !ui::confirm("Open it again?") {
                    return Err(anyhow!("not saved; the store is as it was"));
                }
            }
            accepted => break accepted?,
        }
    };
    drop(folder);
    if changes.is_empty() {
        ui::talk("nothing was changed; the store is as it was");
    } else {
        let mut secrets = opened.store.secrets().clone();
        for (name, value) in &changes {
            match value {
                Some(value) => secrets.insert(name.clone(), value.clone()),
                None => secrets.remove(name),
            };
        }
        opened.store.replace_secrets(secrets);
        opened.store.save()?;
        tell_changed(&opened, &target.inventory, &changes);
    }
    if global.json {
        ui::json(&json!({ "changed": changes.keys().collect::<Vec<_>>() }));
    }
    Ok(())
}

/// What the text begins with.
fn heading(opened: &Opened) -> String {
    let mut text = format!(
        "The secrets of `{}`, decrypted. This text is in memory only: save it here, and nowhere else.\nSave and quit to \
         keep what you changed. A secret whose line is deleted is made anew by the next apply.\n",
        opened.files.cluster.name()
    );
    for (name, outside) in &opened.outside {
        let _ = writeln!(text, "{name} comes from {outside}.");
    }
    text
}

/// What was changed, if it can be kept.
fn accept(opened: &Opened, folder: &MemoryFolder, file: &Path) -> Result<Changes> {
    let text = folder.read(file).context("the edited text cannot be read; the store is as it was")?;
    let Some(after) = read_secrets(&text).context("the edited text is not a list of secrets")? else {
        // As with a commit message: whoever empties the text changes their mind.
        return Ok(Changes::new());
    };
    let before = opened.store.secrets();
    let mut changes: Changes =
        before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), None)).collect();
    for (name, value) in after {
        if before.get(&name) == Some(&value) {
            continue;
        }
        opened.require_known(&name)?;
        opened.require_stored(&name)?;
        opened.require_fitting(&name, &value)?;
        changes.insert(name, Some(value));
    }
    Ok(changes)
}

/// An interrupt from the keyboard is the editor's while it is open, and ends this process otherwise.
fn ignore_interrupts_while_editing() -> Result<Arc<AtomicBool>> {
    let editing = Arc::new(AtomicBool::new(false));
    let mut interrupts = signal(SignalKind::interrupt())?;
    let seen = Arc::clone(&editing);
    tokio::spawn(async move {
        while interrupts.recv().await.is_some() {
            if !seen.load(Ordering::SeqCst) {
                // What watches over the folder removes it.
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(editing)
}

fn explain(error: MemoryFolderError) -> anyhow::Error {
    let hint = match &error {
        MemoryFolderError::NoMemory => "change them one by one with `deploy secrets set`",
        MemoryFolderError::Make { .. } => "it must be writable and have room; or use `deploy secrets set`",
    };
    anyhow::Error::new(error).context(Hint(hint.into()))
}
