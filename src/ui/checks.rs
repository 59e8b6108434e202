//! The verdicts of checks over many nodes: the same verdict once, with the nodes that it holds for.

use std::fmt::Write;

use super::table::{Tone, toned};
use crate::verdict::{Outcome, Verdict};

/// The verdicts as text, those of one check together in the order in which they come, and how many of each at the end.
pub fn checks(verdicts: &[Verdict]) -> String {
    let mut groups: Vec<(&Verdict, Vec<&str>)> = Vec::new();
    for verdict in verdicts {
        let told = |reason: &Verdict| {
            if reason.outcome == Outcome::Pass { String::new() } else { reason.reason.clone() }
        };
        let same = groups.iter_mut().find(|(known, _)| {
            (&known.name, known.outcome, told(known)) == (&verdict.name, verdict.outcome, told(verdict))
        });
        match same {
            Some((_, nodes)) => nodes.push(verdict.node.as_str()),
            None => groups.push((verdict, vec![verdict.node.as_str()])),
        }
    }
    let name_width = groups.iter().map(|(verdict, _)| verdict.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (verdict, nodes) in &groups {
        let (word, tone) = match verdict.outcome {
            Outcome::Pass => ("pass", Tone::Good),
            Outcome::Skip => ("skip", Tone::Plain),
            Outcome::Warn => ("warn", Tone::Warn),
            Outcome::Fail => ("FAIL", Tone::Bad),
        };
        let (name, title, nodes) = (&verdict.name, &verdict.title, nodes.join(" "));
        let _ = writeln!(text, "{}  {name:<name_width$}  {title}  ({nodes})", toned(word, tone));
        if verdict.outcome != Outcome::Pass && !verdict.reason.is_empty() {
            for line in verdict.reason.lines() {
                let _ = writeln!(text, "      {:name_width$}  {line}", "");
            }
        }
    }
    let count = |outcome| verdicts.iter().filter(|verdict| verdict.outcome == outcome).count();
    let (passed, failed) = (count(Outcome::Pass), count(Outcome::Fail));
    let (warned, skipped) = (count(Outcome::Warn), count(Outcome::Skip));
    let _ = writeln!(text, "{passed} checks passed, {failed} failed, {warned} warned, {skipped} skipped");
    text
}
