//! A plan as text and as JSON: by phase, the same change on several nodes once, what clients will notice last.

use std::collections::BTreeMap;
use std::fmt::Write;

use console::style;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use crate::plan::Plan;
use crate::resource::{Change, Diff, Effect, Verb};

/// The plan for people.
pub fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    for phase in &plan.phases {
        let _ = writeln!(text, "{}", style(format!("{}: {}", phase.phase.name, phase.phase.title)).bold());
        let mut groups: Vec<(&Change, Option<String>, Vec<String>)> = Vec::new();
        for (node, change) in phase.changes() {
            // A new file is its own description; what changes in an old one has to be seen.
            let updates = change.diff.as_ref().filter(|_| change.verb == Verb::Update);
            let diff = updates.and_then(unified);
            let same = groups.iter_mut().find(|(known, known_diff, _)| {
                let known = (&known.id, known.verb, &known.reason, known.effect, &known_diff.as_ref());
                known == (&change.id, change.verb, &change.reason, change.effect, &diff.as_ref())
            });
            match same {
                Some((_, _, nodes)) => nodes.push(node.to_string()),
                None => groups.push((change, diff, vec![node.to_string()])),
            }
        }
        for (change, diff, nodes) in groups {
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
            if let Some(diff) = diff {
                for line in diff.lines() {
                    let _ = writeln!(text, "      {line}");
                }
            }
        }
        text.push('\n');
    }
    for note in &plan.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text.push_str(&summary(plan));
    text
}

/// The last lines: how much changes, and what clients will notice.
fn summary(plan: &Plan) -> String {
    if plan.is_empty() {
        return "nothing to change\n".into();
    }
    let nodes: std::collections::BTreeSet<_> = plan.changes().map(|(_, node, _)| node).collect();
    let effects = plan.effects();
    let count = |effect| effects.get(&effect).copied().unwrap_or(0);
    let notice = match (count(Effect::Switchover), count(Effect::Restart)) {
        _ if count(Effect::Downtime) > 0 => {
            "clients will notice that the leader restarts: writes stop until it is back, some seconds"
                .to_owned()
        }
        (0, 0) => "clients will notice nothing".to_owned(),
        (0, restarts) => format!(
            "clients will notice {restarts} restarts, one node at a time: connections through it are cut once"
        ),
        (_, restarts) => {
            format!(
                "clients will notice one switchover (writes pause for about two seconds) and {restarts} restarts of single nodes"
            )
        }
    };
    format!("{} changes on {} nodes; {notice}\n", plan.changes().count(), nodes.len())
}

/// The plan for programs: `format` is the version of this shape.
pub fn plan_json(plan: &Plan) -> Value {
    let changes = plan.changes().map(|(phase, node, change)| {
        json!({
            "phase": phase.name,
            "node": node,
            "kind": change.id.kind,
            "name": change.id.name,
            "action": change.verb,
            "reason": change.reason,
            "effect": change.effect,
            "diff": change.diff.as_ref().and_then(unified),
        })
    });
    let effects: BTreeMap<&str, usize> = plan
        .effects()
        .into_iter()
        .filter(|(effect, _)| *effect != Effect::None)
        .map(|(e, n)| (e.as_str(), n))
        .collect();
    json!({ "format": 1, "changes": changes.collect::<Vec<_>>(), "effects": effects, "notes": plan.notes })
}

/// A unified diff with three lines of context; `None` where the old text is not known or nothing differs.
fn unified(diff: &Diff) -> Option<String> {
    let old = diff.old.as_ref()?;
    let mut text = String::new();
    // How the lines with secrets begin.
    let heads: Vec<&str> =
        diff.new.lines().filter_map(|line| line.split_once('‹')).map(|(head, _)| head).collect();
    let compared = TextDiff::from_lines(old.as_str(), diff.new.as_str());
    for group in compared.grouped_ops(3) {
        if !text.is_empty() {
            text.push_str("…\n");
        }
        for op in group {
            for change in compared.iter_changes(&op) {
                let (sign, line) = match change.tag() {
                    ChangeTag::Delete if diff.secret => ('-', masked(change.value(), &heads)),
                    ChangeTag::Delete => ('-', change.value().to_owned()),
                    ChangeTag::Insert => ('+', change.value().to_owned()),
                    ChangeTag::Equal => (' ', change.value().to_owned()),
                };
                let _ = writeln!(text, "{sign}{}", line.trim_end_matches('\n'));
            }
        }
    }
    (!text.is_empty()).then_some(text)
}

/// A removed line of a file with secrets: anything that could be an old one is masked, and what stands where a new one is.
fn masked(line: &str, heads: &[&str]) -> String {
    if let Some(head) = heads.iter().find(|head| !head.trim().is_empty() && line.starts_with(**head)) {
        return format!("{head}‹secret›");
    }
    let word = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let mut text = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(word) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !word(c)).unwrap_or(from.len());
        text.push_str(before);
        text.push_str(if end >= 20 { "‹secret›" } else { &from[..end] });
        rest = &from[end..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_secret_is_masked_and_ordinary_words_are_not() {
        assert_eq!(
            masked("\"pgbouncer\" \"0123456789abcdef0123456789abcdef\"\n", &[]),
            "\"pgbouncer\" \"‹secret›\"\n"
        );
        assert_eq!(masked("  auth_pass \"12345678\"\n", &["  auth_pass \""]), "  auth_pass \"‹secret›");
        assert_eq!(masked("  priority 100\n", &["  auth_pass \"", ""]), "  priority 100\n");
    }

    #[test]
    fn equal_texts_have_no_diff() {
        let diff =
            |old: &str, new: &str| unified(&Diff { old: Some(old.into()), new: new.into(), secret: false });
        assert_eq!(diff("a\n", "a\n"), None);
        assert_eq!(diff("a\nb\n", "a\nc\n").unwrap(), " a\n-b\n+c\n");
    }
}
