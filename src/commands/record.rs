//! The record that a run leaves on this machine. What cannot be written is said, and stops nothing.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Error;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::project;
use super::who::{revision, who};
use crate::apply::{Event, Stopped};
use crate::exit::Exit;
use crate::journal::Record;
use crate::ui::{self, Hint};

/// Where the records of all clusters are: `$XDG_STATE_HOME/deploy`, by default `~/.local/state/deploy`.
pub fn state() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    Some(state?.join("deploy"))
}

/// Begins the record of a run; none where it cannot be kept.
pub fn begin(cluster: &str, run: &str, about: &str, plan: Option<&Value>) -> Option<Record> {
    let record = Record::of(&state()?, cluster, run);
    written(record.begin(about, plan, OffsetDateTime::now_utc())).then_some(record)
}

/// Keeps events in the record of their run, and passes them on to whoever draws them.
pub async fn keep(
    record: Option<Record>,
    mut events: UnboundedReceiver<Event>,
    drawn: UnboundedSender<Event>,
) {
    while let Some(event) = events.recv().await {
        if let Some(record) = &record {
            // Its beginning and its end say so where nothing can be written.
            let _ = record.event(&event, OffsetDateTime::now_utc());
        }
        // A run goes on when nobody looks.
        let _ = drawn.send(event);
    }
}

/// Writes down how a run has ended.
pub fn end(record: &Record, outcome: Result<Exit, &Error>) {
    let (word, exit, error) = match outcome {
        Ok(exit) => (exit.word(), exit, None),
        // The same word as in the nodes' journals.
        Err(error) => {
            let exit = Exit::of(error);
            let word = error.downcast_ref::<Stopped>().map_or(exit.word(), Exit::word_of_run);
            (word, exit, Some(what(error)))
        }
    };
    written(record.end(word, exit.code(), error.as_deref(), OffsetDateTime::now_utc()));
}

/// Leaves a record of a run of `inventory` that ended before its plan was carried out: nothing was to be done, or it was
/// refused.
pub async fn end_early(inventory: &Path, run: &str, refused: Option<&Error>) {
    let (Some(state), Ok(files)) = (state(), project::files(inventory)) else { return };
    let cluster = files.cluster.name();
    if Record::of(&state, cluster, run).has_begun() {
        return;
    }
    let mut about = format!("by={}\nversion={}", who(), env!("CARGO_PKG_VERSION"));
    if let Some(revision) = revision(&files.text.file).await {
        about = format!("{about}\nrevision={revision}");
    }
    let Some(record) = begin(cluster, run, &about, None) else { return };
    match refused {
        Some(error) => end(&record, Err(error)),
        None => {
            written(record.end("nothing to do", Exit::Done.code(), None, OffsetDateTime::now_utc()));
        }
    }
}

/// The error without its hint.
fn what(error: &Error) -> String {
    let hint = usize::from(error.is::<Hint>() && error.chain().count() > 1);
    error.chain().nth(hint).map(ToString::to_string).unwrap_or_default()
}

fn written(outcome: io::Result<()>) -> bool {
    if let Err(error) = &outcome {
        let folder = state().unwrap_or_default();
        ui::talk(&format!("warning: the record of this run in {} cannot be kept: {error}", folder.display()));
    }
    outcome.is_ok()
}
