//! Runs checks on the nodes: one execution for each node, its checks side by side, each repeated until it holds or its
//! time is up.

mod exposure;
mod whole;

pub use whole::{applications, everything};

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::cluster::NodeName;
use crate::observe::Hosts;
use crate::plan::CheckRun;
use crate::tasks::outcome;
use crate::transport::{Exec, quote};
use crate::verdict::{Outcome, Verdict};

/// Runs all `checks` and returns their verdicts by node and name.
pub async fn run(hosts: &Hosts, checks: &[CheckRun]) -> Vec<Verdict> {
    let mut by_node: BTreeMap<&NodeName, Vec<CheckRun>> = BTreeMap::new();
    for check in checks {
        by_node.entry(&check.node).or_default().push(check.clone());
    }
    let mut tasks = JoinSet::new();
    for (node, checks) in by_node {
        let Some(host) = hosts.get(node).map(Arc::clone) else { continue };
        tasks.spawn(async move {
            let longest = checks.iter().map(|check| check.within).max().unwrap_or(30);
            let patience = Duration::from_secs(u64::from(longest) + 30);
            match host.run(Exec::script(script(&checks), patience)).await {
                Ok(reply) => {
                    let said = reply.stderr.trim();
                    let cut_off = format!("it did not end within {} s {said}", patience.as_secs());
                    verdicts(&checks, &reply.stdout, cut_off.trim_end())
                }
                Err(failure) => verdicts(&checks, "", &format!("no answer from the node: {failure}")),
            }
        });
    }
    let mut all = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        all.extend(outcome(joined));
    }
    in_order(all)
}

/// By name and node.
pub fn in_order(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    verdicts.sort_by(|a, b| (&a.name, &a.node).cmp(&(&b.name, &b.node)));
    verdicts
}

/// Each check is a function in a subshell with its own variables; they run side by side.
fn script(checks: &[CheckRun]) -> String {
    let mut text = String::from(include_str!("verify.sh"));
    for (number, check) in checks.iter().enumerate() {
        let _ = writeln!(text, "check_{number}() (");
        for (key, value) in &check.vars {
            let _ = writeln!(text, "{key}={}", quote(value));
        }
        let _ = writeln!(text, "{}\n)", check.script);
    }
    text.push_str("main() {\n");
    for (number, check) in checks.iter().enumerate() {
        let _ = writeln!(text, "repeat {number} {} &", check.within);
    }
    text.push_str("wait\n}\nmain </dev/null\n");
    text
}

fn verdicts(checks: &[CheckRun], stdout: &str, otherwise: &str) -> Vec<Verdict> {
    let mut found: BTreeMap<usize, (Outcome, String)> = BTreeMap::new();
    for line in stdout.lines() {
        let mut words = line.strip_prefix('#').unwrap_or_default().splitn(3, ' ');
        let number = words.next().and_then(|word| word.parse().ok());
        let status = words.next().and_then(|word| word.parse::<i32>().ok());
        if let (Some(number), Some(status)) = (number, status) {
            let outcome = match status {
                0 => Outcome::Pass,
                77 => Outcome::Skip,
                _ => Outcome::Fail,
            };
            found.insert(number, (outcome, words.next().unwrap_or_default().to_owned()));
        }
    }
    let lost = || (Outcome::Fail, otherwise.to_owned());
    let each = checks.iter().enumerate().map(|(number, check)| {
        let (outcome, reason) = found.remove(&number).unwrap_or_else(lost);
        Verdict {
            name: check.name.clone(),
            title: check.title.clone(),
            node: check.node.clone(),
            outcome,
            reason,
        }
    });
    each.collect()
}
