//! The record of a run on the machine that it was started from: about it, its plan, what happened, how it ended.
//!
//! A folder for each run, `CLUSTER/RUN` below a folder of the user's. It is written, and read by `history` alone: nothing
//! is ever planned from it.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::is_name;
use crate::resource::{Effect, Verb};

/// How many runs of a cluster are kept.
const KEPT: usize = 100;

/// The record of one run.
#[derive(Debug, Clone)]
pub struct Record {
    folder: PathBuf,
}

impl Record {
    /// The record of `run` below `state`; nothing is made yet.
    pub fn of(state: &Path, cluster: &str, run: &str) -> Self {
        Self { folder: state.join(cluster).join(run) }
    }

    /// Whether its end is written down.
    pub fn has_ended(&self) -> bool {
        self.folder.join("result").exists()
    }

    /// Whether its beginning is written down.
    pub fn has_begun(&self) -> bool {
        self.folder.join("about").exists()
    }

    /// Writes down who began it and, as JSON, its plan, which must hold no secret. The oldest runs go.
    pub fn begin(&self, about: &str, plan: Option<&Value>, at: OffsetDateTime) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.append("about", &format!("begun={}\n{about}\n", seconds(at)))?;
        if let Some(plan) = plan {
            self.append("plan", &format!("{plan:#}\n"))?;
        }
        let all = self.folder.parent().map(names).transpose()?.unwrap_or_default();
        for old in all.iter().rev().skip(KEPT) {
            fs::remove_dir_all(self.folder.with_file_name(old))?;
        }
        Ok(())
    }

    /// Writes down one thing that happened, as a line of JSON with its time.
    pub fn event(&self, event: &impl Serialize, at: OffsetDateTime) -> io::Result<()> {
        let mut line = json!({ "time": millis(at) });
        if let (Value::Object(line), Ok(Value::Object(event))) = (&mut line, serde_json::to_value(event)) {
            line.extend(event);
        }
        self.append("events", &format!("{line}\n"))
    }

    /// Writes down how it ended: the result in a word, the exit code, and why in a line where it did not come to its end.
    pub fn end(&self, result: &str, exit: u8, error: Option<&str>, at: OffsetDateTime) -> io::Result<()> {
        let mut text = format!("ended={}\nresult={result}\nexit={exit}\n", seconds(at));
        if let Some(line) = error.and_then(|error| error.lines().next()) {
            let _ = writeln!(text, "error={line}");
        }
        self.append("result", &text)
    }

    /// What `history` lists of all runs of a cluster: a line for each thing that is known of one, `RUN KEY VALUE`.
    pub fn listing(state: &Path, cluster: &str) -> String {
        let runs = names(&state.join(cluster)).unwrap_or_default();
        runs.iter().map(|run| Self::of(state, cluster, run).heading(run)).collect()
    }

    /// The same of `run`, with its plan and what happened.
    pub fn showing(state: &Path, cluster: &str, run: &str) -> String {
        let record = Self::of(state, cluster, run);
        let mut text = record.heading(run);
        let plan: Value = serde_json::from_str(&record.read("plan")).unwrap_or_default();
        for change in plan["changes"].as_array().into_iter().flatten() {
            let _ = writeln!(text, "{run} change {}", line(change));
        }
        for event in record.read("events").lines() {
            let _ = writeln!(text, "{run} line {event}");
        }
        text
    }

    fn heading(&self, run: &str) -> String {
        let text = self.read("about") + &self.read("result");
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.fold(String::new(), |mut text, (key, value)| {
            let _ = writeln!(text, "{run} {key} {value}");
            text
        })
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    fn append(&self, name: &str, text: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).mode(0o600).open(self.folder.join(name))?;
        file.write_all(text.as_bytes())
    }
}

/// The runs in a folder, the oldest first: names begin with a time.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| is_name(name)));
    }
    names.sort();
    Ok(names)
}

/// A change of a plan's JSON, as the journals of nodes have it, its node in front.
fn line(change: &Value) -> String {
    let word = |key: &str| change[key].as_str().unwrap_or_default().replace('\n', " ");
    let verb: Option<Verb> = serde_json::from_value(change["action"].clone()).ok();
    let effect: Effect = serde_json::from_value(change["effect"].clone()).unwrap_or_default();
    let effect = if effect == Effect::None { String::new() } else { format!(" [{}]", effect.as_str()) };
    let [node, phase, kind, name, reason] = ["node", "phase", "kind", "name", "reason"].map(word);
    format!("{node} {phase} {} {kind} {name}{effect} {reason}", verb.map_or(' ', Verb::sign))
}

fn seconds(at: OffsetDateTime) -> String {
    at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z")).unwrap_or_default()
}

fn millis(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    at.format(format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::journal::{Shown, runs};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn a_record_tells_who_what_and_how_it_ended() {
        let state = tempfile::tempdir().unwrap();
        let record = Record::of(state.path(), "shop", "r1");
        assert!(!record.has_begun());
        let plan = json!({ "changes": [{ "node": "n1", "phase": "base", "kind": "file", "name": "/etc/hosts",
            "action": "update", "reason": "content differs", "effect": "reload" }] });
        record.begin("by=anna@laptop\nversion=0.1.0", Some(&plan), NOW).unwrap();
        record.event(&json!({ "event": "phase_started", "title": "Base" }), NOW).unwrap();
        assert!(record.has_begun() && !record.has_ended());
        record
            .end("partly applied", 7, Some("n1: file /etc/hosts failed (status 1)\nwhat it said"), NOW)
            .unwrap();
        assert!(record.has_ended());

        let shown = Shown::of(&BTreeMap::new(), &Record::showing(state.path(), "shop", "r1")).unwrap();
        let heading = &shown.heading;
        assert_eq!((heading.by.as_str(), heading.exit), ("anna@laptop", Some(7)));
        assert_eq!(heading.error.as_deref(), Some("n1: file /etc/hosts failed (status 1)"));
        assert_eq!(shown.changes[0].node, "n1");
        assert_eq!(shown.changes[0].line, "base ~ file /etc/hosts [reload] content differs");
        let event = r#"{"event":"phase_started","time":"1970-01-01T00:00:00.000Z","title":"Base"}"#;
        assert_eq!(shown.journal[0].line, event);
    }

    #[test]
    fn a_record_is_for_its_owner_alone() {
        let state = tempfile::tempdir().unwrap();
        let record = Record::of(state.path(), "shop", "r1");
        record.begin("by=me", None, NOW).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&record.folder), 0o700);
        assert_eq!(mode(&record.folder.join("about")), 0o600);
    }

    #[test]
    fn the_last_hundred_runs_are_kept() {
        let state = tempfile::tempdir().unwrap();
        for number in 0..=KEPT {
            Record::of(state.path(), "shop", &format!("r{number:03}")).begin("by=me", None, NOW).unwrap();
        }
        let runs = runs(&BTreeMap::new(), &Record::listing(state.path(), "shop"));
        assert_eq!((runs.len(), runs.last().unwrap().run.as_str()), (KEPT, "r001"));
        assert!(runs.iter().all(|run| run.result == "under way, or cut off"));
    }
}
