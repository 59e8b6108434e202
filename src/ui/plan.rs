//! A plan as text: by phase, the same change on several nodes once, what clients will notice last.

use std::fmt::Write;

use console::style;
use serde_json::Value;

use crate::cluster::NodeName;
use crate::inventory::counted;
use crate::plan::{PhasePlan, Plan, Report, Summary, unified};
use crate::resource::{Change, Effect, Verb};

/// The plan for people.
pub fn plan(plan: &Plan) -> String {
    let mut text = changes(plan);
    for note in &plan.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text.push_str(&left_out(plan));
    text.push_str(&summary(plan));
    text
}

/// Its changes alone, by phase.
pub fn changes(plan: &Plan) -> String {
    let mut text = String::new();
    for phase in &plan.phases {
        let _ = writeln!(text, "{}", style(format!("{}: {}", phase.phase.name, phase.phase.title)).bold());
        for Group { change, diff, nodes, .. } in groups(phase) {
            let effect = match change.effect {
                Effect::None => String::new(),
                effect => format!(" [{}]", effect.as_str()),
            };
            let sign = change.verb.sign();
            let line = format!("{sign} {}{effect}", change.id);
            let line = match change.verb {
                Verb::Create => style(line).green(),
                Verb::Update => style(line).yellow(),
                Verb::Delete => style(line).red(),
                Verb::Run => style(line).cyan(),
            };
            let _ = writeln!(text, "  {line}  {}  {}", nodes.join(" "), style(&change.reason).dim());
            if let Some(drift) = &change.drift {
                let _ = writeln!(text, "      {}", style(format!("drift: {drift}")).magenta());
            }
            if let Some(adopt) = &change.adopt {
                let _ = writeln!(text, "      adopt: the inventory keeps what is there by: {adopt}");
            }
            if let Some(diff) = diff {
                for line in diff.lines() {
                    let _ = writeln!(text, "      {line}");
                }
            }
        }
        text.push('\n');
    }
    text
}

/// The same change on several nodes.
pub(super) struct Group<'a> {
    pub change: &'a Change,
    /// As it is on the first of the nodes.
    pub diff: Option<String>,
    pub nodes: Vec<String>,
    /// The lines that change: those around them may differ from node to node.
    changed: Vec<String>,
}

/// The changes of a phase, the same ones together.
pub(super) fn groups(phase: &PhasePlan) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (node, change) in phase.changes() {
        // A new file is its own description; what changes in an old one has to be seen.
        let updates = change.diff.as_ref().filter(|_| change.verb == Verb::Update);
        let diff = updates.and_then(unified);
        let lines = diff.iter().flat_map(|diff| diff.lines());
        let changed: Vec<String> = lines.filter(|line| !line.starts_with(' ')).map(str::to_owned).collect();
        let same = groups.iter_mut().find(|group| {
            let known = group.change;
            let words = |change: &Change| (change.reason.clone(), change.drift.clone(), change.adopt.clone());
            let same = (&known.id, known.verb, known.effect) == (&change.id, change.verb, change.effect);
            same && words(known) == words(change) && group.changed == changed
        });
        match same {
            Some(group) => group.nodes.push(node.to_string()),
            None => groups.push(Group { change, diff, nodes: vec![node.to_string()], changed }),
        }
    }
    groups
}

/// What a narrower selection has left out.
pub(super) fn left_out(plan: &Plan) -> String {
    let mut text = String::new();
    for hidden in &plan.hidden {
        let nodes: Vec<&str> = hidden.nodes.iter().map(NodeName::as_str).collect();
        let changes = counted(hidden.changes, "change");
        let _ = writeln!(text, "left out: {changes} of {} on {}", hidden.phase, nodes.join(" "));
    }
    text
}

/// The last lines: how much changes, and what clients will notice.
fn summary(plan: &Plan) -> String {
    if plan.is_empty() {
        let part = if plan.hidden.is_empty() { "" } else { " in this part" };
        return format!("nothing to change{part}\n");
    }
    let Summary { changes, nodes, clients, drift, .. } = Summary::of(plan);
    let drift =
        if drift == 0 { String::new() } else { format!(" ({drift} put back what was changed there)") };
    let (changes, nodes) = (counted(changes, "change"), counted(nodes, "node"));
    format!("{changes} on {nodes}{drift}; {clients}\n")
}

/// The plan for programs, as [`Report`] describes it.
pub fn plan_json(plan: &Plan) -> Value {
    serde_json::to_value(Report::of(plan)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PHASES, Step, Wave};
    use crate::resource::{Call, Diff, Id, Order};

    #[test]
    fn the_same_lines_changed_on_several_nodes_are_shown_once_whatever_stands_around_them() {
        let step = |node: &str, to: &str| {
            let call = Call::new("file_commit", Vec::<String>::new());
            let id = Id::new("file", "/etc/x");
            let mut change = Change::new(id, Verb::Update, "content differs", Order::Commit, call);
            let text = |value: &str| format!("node: {node}\nvalue: {value}\n");
            change.diff = Some(Diff { old: Some(text("1")), new: text(to), secret: false });
            Step { node: node.into(), changes: vec![change] }
        };
        let waves =
            vec![Wave { steps: vec![step("a", "2"), step("b", "2"), step("c", "3")], ..Wave::default() }];
        let phase = PhasePlan { phase: &PHASES[0], waves, partial: false };
        let shown: Vec<_> =
            groups(&phase).into_iter().map(|group| (group.nodes, group.diff.unwrap())).collect();
        assert_eq!(shown[0], (vec!["a".into(), "b".into()], " node: a\n-value: 1\n+value: 2\n".into()));
        assert_eq!(shown[1].0, ["c"]);
    }
}
