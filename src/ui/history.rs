//! The runs of a cluster as a table.

use super::table::{Cell, Tone, table};
use crate::journal::Run;

/// One line for each run.
pub fn runs(runs: &[Run]) -> String {
    if runs.is_empty() {
        return "no node remembers a run\n".into();
    }
    let rows: Vec<Vec<Cell>> = runs
        .iter()
        .map(|run| {
            let nodes: Vec<&str> = run.nodes.iter().map(String::as_str).collect();
            let what = run.back_to.as_ref().map(|to| format!("back to {to}"));
            let what =
                what.or_else(|| run.plan.as_ref().map(|plan| format!("plan {plan}"))).unwrap_or_default();
            let by = if run.from.is_empty() { run.by.clone() } else { format!("{} ({})", run.by, run.from) };
            let tone = if run.result == "done" { Tone::Good } else { Tone::Warn };
            vec![
                run.run.as_str().into(),
                by.into(),
                run.first.as_str().into(),
                run.last.as_str().into(),
                run.calls.to_string().into(),
                Cell(run.result.clone(), tone),
                what.into(),
                nodes.join(" ").into(),
            ]
        })
        .collect();
    table(&["RUN", "BY", "FIRST", "LAST", "CALLS", "RESULT", "WHAT", "NODES"], &rows)
}
