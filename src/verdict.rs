//! What a check found: nothing of how it was made.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cluster::NodeName;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not apply here.
    Skip,
    /// It does not hold, and nothing breaks by that.
    Warn,
    /// It did not hold in time.
    Fail,
}

/// What a check found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Verdict {
    /// `role/name`.
    pub name: String,
    /// What holds when it passes.
    pub title: String,
    /// The node that it ran on.
    pub node: NodeName,
    /// How it came out.
    pub outcome: Outcome,
    /// Why, in the check's own words.
    pub reason: String,
}

impl Verdict {
    /// Whether it did not hold in time.
    pub fn fails(&self) -> bool {
        self.outcome == Outcome::Fail
    }
}

/// What `verify --json` and `check --json` print.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verdicts<'a> {
    /// By node and name.
    pub checks: &'a [Verdict],
}
