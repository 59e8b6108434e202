//! The journals that runs leave on the nodes they change: what is asked of them, and what they say. Pure, but for the
//! records that runs leave on the machine they were started from ([`Record`]).

mod record;
mod shown;

pub use record::Record;
pub use shown::{Line, PhaseTime, Shown};

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::NodeName;
use crate::live::Observed;
use crate::resource::{Call, Id};
use crate::transport::quote;

/// What a run leaves on each node that it changes, in front of its journal.
#[derive(Debug, Clone, Default)]
pub struct Heading {
    /// Name of the run.
    pub run: String,
    /// Lines about it: who, by which version, from which inputs.
    pub about: String,
    /// What it wanted, as [`Wanted`] writes it.
    pub wanted: String,
}

/// What a run wanted: enough to want it again. Secrets are not part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wanted {
    /// Text of the inventory.
    pub inventory: String,
    /// Roles and templates beside it, by path.
    pub files: BTreeMap<String, String>,
    /// Version of the program, whose own roles and templates count beside these; empty where it was not kept.
    #[serde(default)]
    pub version: String,
}

impl Wanted {
    /// As text, for a [`Heading`].
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From what the nodes have kept of one run; `None` where none of them has it whole.
    pub fn of(said: &BTreeMap<NodeName, String>) -> Option<Self> {
        said.values().find_map(|text| serde_json::from_str(text).ok())
    }
}

/// Whether this can be the name of a run: it goes into paths, here and on the nodes.
pub fn is_name(run: &str) -> bool {
    !run.is_empty() && run.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '-')
}

/// The shell functions that read journals.
pub const SHELL: &str = include_str!("journal.sh");

fn plan_id() -> Id {
    Id::new("journal", "plan")
}

/// What has become of a saved plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// No run of it has begun, or others have changed the nodes since.
    Not,
    /// A run of it has begun and is not done.
    Begun,
    /// It was carried out, and nothing else since.
    Done,
}

/// Asks what has become of a saved plan.
pub fn asks_for_plan(plan: &str) -> (Id, Call) {
    (plan_id(), Call::new("journal_plan", [plan]))
}

/// What all nodes say that has become of the plan.
pub fn carried(observed: &Observed) -> Carried {
    let states = || observed.values().filter_map(|seen| seen.fields.get(&plan_id())?.get("state"));
    let any = |state: &str| states().any(|known| known == state);
    if any("overtaken") {
        Carried::Not
    } else if any("begun") {
        Carried::Begun
    } else if any("done") {
        Carried::Done
    } else {
        Carried::Not
    }
}

/// A script that lists the runs of a node.
pub fn listing() -> String {
    format!("{SHELL}journal_runs </dev/null\n")
}

/// A script that prints what is known of one run, with its plan and its journal.
pub fn showing(run: &str) -> String {
    format!("{SHELL}journal_show {} </dev/null\n", quote(run))
}

/// A script that prints what one run wanted.
pub fn wanting(run: &str) -> String {
    format!("{SHELL}journal_wanted {} </dev/null\n", quote(run))
}

/// A script that writes down how a run has ended.
pub fn ending(run: &str, result: &str) -> String {
    format!("{SHELL}journal_end {} {} </dev/null\n", quote(run), quote(result))
}

/// Behind [`SHELL`]: every check holds, whatever has become of the last run there.
pub const PROVEN: &str = "journal_proven </dev/null\n";

/// What `history --json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Runs<'a> {
    /// The latest first.
    pub runs: &'a [Run],
}

/// One run, from the journals of all nodes that it has changed and from its record here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Run {
    /// Its name, which begins with its time.
    pub run: String,
    /// Who ran it: user and host.
    pub by: String,
    /// The address that its connections came from.
    pub from: String,
    /// Version of the program.
    pub version: String,
    /// Digest of everything that was wanted: inventory, roles, secrets, authorities.
    pub inputs: String,
    /// The commit that the inventory was at, `dirty` behind it where files had changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The saved plan that it carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The run that it went back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_to: Option<String>,
    /// What it did, where that follows from no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// When its first work on a node began, UTC.
    pub first: String,
    /// When its last call on a node ended, UTC.
    pub last: String,
    /// The nodes that it has changed.
    pub nodes: BTreeSet<String>,
    /// Calls made.
    pub calls: u64,
    /// How it ended.
    pub result: String,
    /// The code that its command ended with, where its record is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// Why it did not come to its end, in a line, where its record is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// There is a record of it on this machine.
    pub here: bool,
}

/// The runs of a cluster, the latest first, from what each node lists and what the records `here` say.
pub fn runs(said: &BTreeMap<NodeName, String>, here: &str) -> Vec<Run> {
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    let mut failed: BTreeSet<String> = BTreeSet::new();
    let nodes = said.iter().map(|(node, text)| (Some(node), text.as_str()));
    for (node, text) in nodes.chain([(None, here)]) {
        for (name, key, value) in text.lines().filter_map(entry) {
            let run = runs.entry(name.to_owned()).or_default();
            match node {
                Some(node) => _ = run.nodes.insert(node.to_string()),
                None => run.here = true,
            }
            match key {
                "by" => value.clone_into(&mut run.by),
                "from" => value.clone_into(&mut run.from),
                "version" => value.clone_into(&mut run.version),
                "inputs" => value.clone_into(&mut run.inputs),
                "revision" => run.revision = Some(value.to_owned()),
                "plan" => run.plan = Some(value.to_owned()),
                "what" => run.what = Some(value.to_owned()),
                "back_to" => run.back_to = Some(value.to_owned()),
                "result" => value.clone_into(&mut run.result),
                "first" if run.first.is_empty() || value < run.first.as_str() => {
                    value.clone_into(&mut run.first);
                }
                "last" if value > run.last.as_str() => value.clone_into(&mut run.last),
                // Of a run that has changed nothing.
                "begun" if run.first.is_empty() => value.clone_into(&mut run.first),
                "ended" if run.last.is_empty() => value.clone_into(&mut run.last),
                "exit" => run.exit = value.parse().ok(),
                "error" => run.error = Some(value.to_owned()),
                "calls" => run.calls += value.parse::<u64>().unwrap_or_default(),
                "failed" if value != "0" => {
                    failed.insert(name.to_owned());
                }
                _ => {}
            }
        }
    }
    let mut all: Vec<Run> = runs.into_iter().map(|(name, run)| Run { run: name, ..run }).collect();
    for run in all.iter_mut().filter(|run| run.result.is_empty()) {
        let word = if failed.contains(&run.run) { "failed" } else { "under way, or cut off" };
        word.clone_into(&mut run.result);
    }
    all.reverse();
    all
}

/// What a line says of a run: its name, a key, the value.
fn entry(line: &str) -> Option<(&str, &str, &str)> {
    let mut words = line.splitn(3, ' ');
    Some((words.next()?, words.next()?, words.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(texts: &[(&str, &str)]) -> BTreeMap<NodeName, String> {
        texts.iter().map(|(node, text)| (NodeName::from(*node), (*text).to_owned())).collect()
    }

    #[test]
    fn a_saved_plan_is_begun_done_or_overtaken() {
        let root = tempfile::tempdir().unwrap();
        let folder = |run: &str| root.path().join(run);
        let about = |run: &str, text: &str| {
            std::fs::create_dir_all(folder(run)).unwrap();
            std::fs::write(folder(run).join("about"), format!("by=me\n{text}\n")).unwrap();
        };
        let ended =
            |run: &str, word: &str| std::fs::write(folder(run).join("result"), format!("{word}\n")).unwrap();
        let state = || {
            let shell = SHELL.replace("/var/lib/deploy/runs", &root.path().to_string_lossy());
            let script = format!("set -e\n{shell}\njournal_plan one\n");
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        about("r1", "plan=other");
        assert_eq!(state(), "");
        about("r2", "plan=one");
        assert_eq!(state(), "state=begun\n");
        ended("r2", "partly applied");
        assert_eq!(state(), "state=begun\n");
        about("r3", "plan=one");
        ended("r3", "done");
        assert_eq!(state(), "state=done\n");
        about("r4", "inputs=x");
        assert_eq!(state(), "state=overtaken\n");
    }

    #[test]
    fn what_the_last_run_left_is_unproven_until_it_ends_well_or_every_check_holds() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path().to_string_lossy().into_owned();
        let said = |script: &str| {
            let probe = include_str!("../observe.sh");
            let facts = &probe[probe.find("observe_facts()").unwrap()..];
            let facts = &facts[..facts.find("\n}\n").unwrap() + 3];
            let script = format!("{SHELL}{script}\n{facts}observe_facts");
            let script = script.replace("/var/lib/deploy/runs", &runs);
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().find_map(|line| line.strip_prefix("unproven=")).map(str::to_owned)
        };
        let begun = |run: &str| std::fs::create_dir_all(root.path().join(run)).unwrap();
        assert_eq!(said(":"), None, "nothing ever ran");
        begun("r1");
        assert_eq!(said(":").as_deref(), Some("r1"), "it was killed");
        assert_eq!(said("journal_end r1 'not verified'").as_deref(), Some("r1"));
        assert_eq!(said(PROVEN), None);
        assert_eq!(said("journal_end r1 failed").as_deref(), Some("r1"), "it was under way");
        assert_eq!(said(PROVEN), None);
        begun("r2");
        begun("r3");
        assert_eq!(said("journal_end r3 done").as_deref(), Some("r2"), "r3 did not ask for everything");
        assert_eq!(said("journal_end r4 done").as_deref(), Some("r2"), "r4 was at work elsewhere");
        assert_eq!(said(PROVEN), None);
    }

    #[test]
    fn one_node_that_was_changed_since_is_enough_for_a_plan_to_be_overtaken() {
        let nodes = |states: &[&str]| {
            let facts = crate::live::fixture::facts(13);
            let seen = states.iter().map(|state| {
                let fields = [("state".to_owned(), (*state).to_owned())].into();
                crate::live::Observation { facts: facts.clone(), fields: [(plan_id(), fields)].into() }
            });
            let names = ["n1", "n2", "n3"].map(NodeName::from).into_iter();
            carried(&names.zip(seen).collect())
        };
        assert_eq!(nodes(&[]), Carried::Not);
        assert_eq!(nodes(&["done", "begun"]), Carried::Begun);
        assert_eq!(nodes(&["done", "done"]), Carried::Done);
        assert_eq!(nodes(&["done", "begun", "overtaken"]), Carried::Not);
    }

    #[test]
    fn the_journals_of_all_nodes_are_one_run() {
        let one = "r1 by anna@laptop\nr1 from 10.0.0.1\nr1 first 2026-01-01T00:00:02Z\nr1 last 2026-01-01T00:00:05Z\nr1 calls 3\nr1 failed 0\nr1 result done\n";
        let two = "r1 by anna@laptop\nr1 first 2026-01-01T00:00:01Z\nr1 last 2026-01-01T00:00:09Z\nr1 calls 4\nr1 failed 0\nr2 by ben@ci\nr2 first 2026-01-02T00:00:01Z\nr2 last 2026-01-02T00:00:01Z\nr2 calls 1\nr2 failed 1\n";
        let runs = runs(&said(&[("n1", one), ("n2", two)]), "");
        let names: Vec<&str> = runs.iter().map(|run| run.run.as_str()).collect();
        assert_eq!(names, ["r2", "r1"], "the latest comes first");
        assert_eq!(runs[0].result, "failed");
        let first = &runs[1];
        assert_eq!((first.by.as_str(), first.from.as_str()), ("anna@laptop", "10.0.0.1"));
        assert_eq!(
            (first.first.as_str(), first.last.as_str()),
            ("2026-01-01T00:00:01Z", "2026-01-01T00:00:09Z")
        );
        assert_eq!((first.calls, first.nodes.len(), first.result.as_str()), (7, 2, "done"));
    }

    #[test]
    fn a_run_without_an_end_is_not_called_done() {
        let runs = runs(&said(&[("n1", "r1 first 2026-01-01T00:00:02Z\nr1 failed 0\n")]), "");
        assert_eq!(runs[0].result, "under way, or cut off");
    }

    #[test]
    fn a_run_is_the_same_here_and_on_the_nodes() {
        let node = "r1 by anna@laptop\nr1 first 2026-01-01T00:00:02Z\nr1 last 2026-01-01T00:00:05Z\n";
        let here = "r1 begun 2026-01-01T00:00:01Z\nr1 result failed\nr1 exit 7\nr2 begun 2026-01-02T00:00:00Z\nr2 result refused\nr2 exit 10\n";
        let runs = runs(&said(&[("n1", node)]), here);
        let [refused, partial] = &runs[..] else { panic!("{runs:?}") };
        assert_eq!((partial.exit, partial.here, partial.nodes.len()), (Some(7), true, 1));
        assert_eq!(partial.first, "2026-01-01T00:00:02Z", "its first work on a node");
        assert_eq!((refused.exit, refused.here, refused.nodes.len()), (Some(10), true, 0));
        assert_eq!(refused.first, "2026-01-02T00:00:00Z");
    }

    #[test]
    fn a_name_is_no_path() {
        assert!(is_name("20260101T000000Z-00ff"));
        assert!(!is_name("") && !is_name("../x") && !is_name("a/b") && !is_name("a b"));
    }

    #[test]
    fn what_a_run_wanted_is_taken_from_a_node_that_has_it_whole() {
        let wanted = Wanted {
            inventory: "name: 'shop' # $(x)\n".into(),
            files: BTreeMap::from([("roles/mail.yaml".to_owned(), "role: mail\n".to_owned())]),
            version: "0.1.0".into(),
        };
        let text = wanted.text();
        let half = text.get(..text.len() / 2).unwrap_or_default();
        assert_eq!(Wanted::of(&said(&[("n1", ""), ("n2", half)])), None, "a torn record is none");
        assert_eq!(Wanted::of(&said(&[("n1", half), ("n2", &text)])), Some(wanted));
    }
}
