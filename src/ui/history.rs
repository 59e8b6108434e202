//! The runs of a cluster as a table, and one of them as text.

use std::fmt::Write;

use super::table::{Cell, Tone, table};
use crate::journal::{Run, Shown};

/// One line for each run.
pub fn runs(runs: &[Run]) -> String {
    if runs.is_empty() {
        return "no node remembers a run\n".into();
    }
    let rows: Vec<Vec<Cell>> = runs
        .iter()
        .map(|run| {
            let tone = if run.result == "done" { Tone::Good } else { Tone::Warn };
            vec![
                run.run.as_str().into(),
                by(run).into(),
                run.first.as_str().into(),
                run.last.as_str().into(),
                run.calls.to_string().into(),
                Cell(run.result.clone(), tone),
                what(run).into(),
                places(run).into(),
                run.error.as_ref().and_then(|error| error.lines().next()).unwrap_or_default().into(),
            ]
        })
        .collect();
    table(&["RUN", "BY", "FIRST", "LAST", "CALLS", "RESULT", "WHAT", "NODES", "ERROR"], &rows)
}

fn by(run: &Run) -> String {
    if run.from.is_empty() { run.by.clone() } else { format!("{} ({})", run.by, run.from) }
}

/// What it was for, where that is not the inventory alone.
fn what(run: &Run) -> String {
    let back = run.back_to.as_ref().map(|to| format!("back to {to}"));
    let plan = run.plan.as_ref().map(|plan| format!("plan {plan}"));
    back.or(plan).or_else(|| run.what.clone()).unwrap_or_default()
}

/// The nodes that it has changed; `here` where only this machine knows it.
fn places(run: &Run) -> String {
    let nodes: Vec<&str> = run.nodes.iter().map(String::as_str).collect();
    if nodes.is_empty() && run.here { "here".into() } else { nodes.join(" ") }
}

/// One run: its heading, its plan, its phases, its journal.
pub fn run(shown: &Shown) -> String {
    let mut text = String::new();
    let run = &shown.heading;
    let result = match run.exit {
        Some(code) => format!("{} (exit code {code})", run.result),
        None => run.result.clone(),
    };
    let phases: Vec<String> =
        shown.phases.iter().map(|time| format!("{} {} s", time.phase, time.seconds)).collect();
    let heading = [
        ("run", run.run.clone()),
        ("by", by(run)),
        ("version", run.version.clone()),
        ("revision", run.revision.clone().unwrap_or_default()),
        ("what", what(run)),
        ("first", run.first.clone()),
        ("last", run.last.clone()),
        ("nodes", places(run)),
        ("result", result),
        ("error", run.error.clone().unwrap_or_default()),
        ("phases", phases.join(", ")),
    ];
    for (key, value) in heading.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{key:<12} {value}");
    }
    for (title, lines) in [("plan", &shown.changes), ("journal", &shown.journal)] {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}");
        }
        for line in lines {
            let _ = writeln!(text, "{:<12} {}", line.node, line.line);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Line;

    #[test]
    fn a_run_that_failed_says_why_at_the_end_of_its_line() {
        let failed = Run {
            run: "r1".into(),
            result: "failed".into(),
            error: Some("n1: file /etc/hosts failed (status 1)\nmore".into()),
            ..Run::default()
        };
        let text = runs(&[failed, Run { run: "r2".into(), result: "done".into(), ..Run::default() }]);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert!(lines[0].ends_with(" ERROR") && lines[2].ends_with(" done"), "{text}");
        assert!(lines[1].ends_with(" n1: file /etc/hosts failed (status 1)"), "{text}");
    }

    #[test]
    fn a_run_is_shown_under_its_heading_and_what_is_not_known_is_left_out() {
        let heading = Run {
            run: "r1".into(),
            by: "anna@laptop".into(),
            from: "10.0.0.9".into(),
            revision: Some("abc dirty".into()),
            result: "refused".into(),
            exit: Some(10),
            here: true,
            ..Run::default()
        };
        let changes = vec![Line { node: "n1".into(), line: "base ~ file /etc/hosts content differs".into() }];
        let text = run(&Shown { heading, changes, ..Shown::default() });
        assert_eq!(
            text,
            "run          r1\nby           anna@laptop (10.0.0.9)\nrevision     abc dirty\nnodes        here\n\
             result       refused (exit code 10)\n\nplan\nn1           base ~ file /etc/hosts content differs\n"
        );
    }
}
