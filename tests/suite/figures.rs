//! The table of figures that the suite ends with.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::writer::Outcome;

struct Row {
    what: String,
    outcome: Outcome,
    promise: Duration,
    healthy: Duration,
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Whether acknowledged writes may be gone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Losses {
    /// None may.
    Forbidden,
    /// They are counted.
    Counted,
}

/// Keeps what a writer saw of a failure, and holds it against the promise; no acknowledged write may be gone.
pub fn record(
    what: &str,
    outcome: Outcome,
    promise: Duration,
    slack: Duration,
    healthy: Duration,
) -> Result<String> {
    record_with(what, outcome, promise, slack, healthy, Losses::Forbidden)
}

/// `slack` is for the machine that plays all of the cluster at once; `healthy` is how long after the end of the failure
/// everything was well again.
pub fn record_with(
    what: &str,
    outcome: Outcome,
    promise: Duration,
    slack: Duration,
    healthy: Duration,
    losses: Losses,
) -> Result<String> {
    let (gap, lost, acknowledged) = (outcome.gap, outcome.lost, outcome.acknowledged);
    let errors = outcome.errors.len();
    let final_error = outcome.errors.last().cloned().unwrap_or_default();
    if let Ok(mut rows) = ROWS.lock() {
        rows.push(Row { what: what.to_owned(), outcome, promise, healthy });
    }
    ensure!(lost == 0 || losses == Losses::Counted, "{lost} of {acknowledged} acknowledged writes are gone");
    let limit = promise + slack;
    ensure!(
        gap <= limit,
        "no writes for {:.2} s; {:.2} s are promised, {:.2} s allowed here ({errors} errors, the last: {final_error})",
        gap.as_secs_f64(),
        promise.as_secs_f64(),
        limit.as_secs_f64()
    );
    Ok(format!(
        "longest gap {:.2} s, {lost} of {acknowledged} writes lost, {errors} errors",
        gap.as_secs_f64()
    ))
}

/// Prints the table, where there is one.
pub fn print() {
    let Ok(rows) = ROWS.lock() else { return };
    if rows.is_empty() {
        return;
    }
    println!(
        "\n{:<56} {:>9} {:>9} {:>7} {:>5} {:>7} {:>9}",
        "failure, under a client that writes", "gap", "promise", "acked", "lost", "errors", "healthy"
    );
    for Row { what, outcome, promise, healthy } in rows.iter() {
        println!(
            "{what:<56} {:>7.2} s {:>7.2} s {:>7} {:>5} {:>7} {:>7.1} s",
            outcome.gap.as_secs_f64(),
            promise.as_secs_f64(),
            outcome.acknowledged,
            outcome.lost,
            outcome.errors.len(),
            healthy.as_secs_f64()
        );
    }
    println!();
}
