//! One run as `history show` has it: its heading, its plan, how long its phases took, and its journal. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use time::PrimitiveDateTime;
use time::macros::format_description;

use super::{Run, entry, runs};
use crate::cluster::NodeName;

/// One run with all that is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Shown {
    /// Its heading.
    #[serde(flatten)]
    pub heading: Run,
    /// Its phases in the order of their beginning, and how long each worked on nodes.
    pub phases: Vec<PhaseTime>,
    /// Its plan: `PHASE SIGN RESOURCE [EFFECT] REASON`.
    pub changes: Vec<Line>,
    /// The journals of all nodes by time; of a run that changed nothing, what happened, as its record here has it.
    pub journal: Vec<Line>,
}

/// A line, and the node that it is about or from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Line {
    /// The node; `here` for what only the record on this machine says.
    pub node: String,
    /// The line.
    pub line: String,
}

/// A phase of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PhaseTime {
    /// Its name.
    pub phase: String,
    /// From its first step to the end of its last one, over all nodes.
    pub seconds: u64,
}

impl Shown {
    /// The run that the nodes and its record `here` tell of; `None` where nobody knows it.
    pub fn of(said: &BTreeMap<NodeName, String>, here: &str) -> Option<Self> {
        let heading = runs(said, here).into_iter().next()?;
        let of_nodes = |key| {
            let lines = said.iter().flat_map(move |(node, text)| lines(node.as_str(), text, key));
            lines.collect::<Vec<Line>>()
        };
        let mut journal = of_nodes("line");
        // Only by time: what a node says within a second stays in its order.
        journal.sort_by_cached_key(|line| words(&line.line).0.to_owned());
        if journal.is_empty() {
            journal.extend(lines("here", here, "line"));
        }
        // The plan here is the whole one; a node has those of its steps that it began.
        let own: Vec<Line> = lines("here", here, "change").filter_map(|line| placed(&line.line)).collect();
        let changes = if own.is_empty() { of_nodes("change") } else { own };
        Some(Self { phases: phases(&journal), heading, changes, journal })
    }
}

fn lines<'a>(node: &'a str, text: &'a str, wanted: &'a str) -> impl Iterator<Item = Line> + 'a {
    let found = text.lines().filter_map(entry).filter(move |(_, key, _)| *key == wanted);
    found.map(|(_, _, line)| Line { node: node.to_owned(), line: line.to_owned() })
}

/// A change of the record here, which begins with its node.
fn placed(line: &str) -> Option<Line> {
    let (node, line) = line.split_once(' ')?;
    Some(Line { node: node.to_owned(), line: line.to_owned() })
}

/// The first two words of a line of a journal: its time and its phase.
fn words(line: &str) -> (&str, &str) {
    let mut words = line.split(' ');
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

fn phases(journal: &[Line]) -> Vec<PhaseTime> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let mut spans: Vec<(&str, PrimitiveDateTime, PrimitiveDateTime)> = Vec::new();
    for line in journal {
        let (at, phase) = words(&line.line);
        let Ok(at) = PrimitiveDateTime::parse(at, format) else { continue };
        match spans.iter_mut().find(|(known, ..)| *known == phase) {
            Some((_, _, last)) => *last = at,
            None => spans.push((phase, at, at)),
        }
    }
    let seconds =
        |first: PrimitiveDateTime, last: PrimitiveDateTime| (last - first).whole_seconds().unsigned_abs();
    let times = spans
        .into_iter()
        .map(|(phase, first, last)| PhaseTime { phase: phase.to_owned(), seconds: seconds(first, last) });
    times.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "r1 by anna@laptop
r1 change base ~ file /etc/hosts content differs
r1 line 2026-01-01T00:00:01Z base begins
r1 line 2026-01-01T00:00:03Z base 1.20 s file_commit /etc/hosts: 0
";
    const TWO: &str = "r1 by anna@laptop
r1 line 2026-01-01T00:00:02Z base begins
r1 line 2026-01-01T00:00:09Z etcd begins
r1 line 2026-01-01T00:00:09Z etcd done
";

    fn said(texts: &[(&str, &str)]) -> BTreeMap<NodeName, String> {
        texts.iter().map(|(node, text)| (NodeName::from(*node), (*text).to_owned())).collect()
    }

    #[test]
    fn journals_are_merged_by_time_under_their_heading() {
        let shown = Shown::of(&said(&[("n1", ONE), ("n2", TWO)]), "").unwrap();
        assert_eq!(shown.heading.by, "anna@laptop");
        let nodes: Vec<&str> = shown.journal.iter().map(|line| line.node.as_str()).collect();
        assert_eq!(nodes, ["n1", "n2", "n1", "n2", "n2"]);
        let change = Line { node: "n1".into(), line: "base ~ file /etc/hosts content differs".into() };
        assert_eq!(shown.changes, [change]);
        let times: Vec<(&str, u64)> =
            shown.phases.iter().map(|time| (time.phase.as_str(), time.seconds)).collect();
        assert_eq!(times, [("base", 2), ("etcd", 0)]);
    }

    #[test]
    fn a_run_that_reached_no_node_is_shown_from_its_record() {
        let here = "r1 by anna@laptop\nr1 exit 6\nr1 change n2 base + file /x missing\n";
        let shown = Shown::of(&said(&[("n1", "")]), here).unwrap();
        assert_eq!(shown.heading.exit, Some(6));
        assert_eq!(shown.changes, [Line { node: "n2".into(), line: "base + file /x missing".into() }]);
        assert_eq!(Shown::of(&said(&[("n1", "")]), ""), None, "nobody knows it");
    }
}
