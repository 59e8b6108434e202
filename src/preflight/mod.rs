//! The preflight: whether the machines are fit for what the inventory wants, before anything changes.
//!
//! Every node is asked twice at most, all at once: the probe of [`crate::observe`], which says whose data is there, and
//! one script of its own (`preflight.sh`). Both only look. What they say is judged by pure functions, a check for each
//! thing that has stopped a deployment before.

mod judge;
mod question;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;

use crate::cluster::NodeName;
use crate::live::Observation;
use crate::observe::{self, Answers, Hosts, ObserveError};
use crate::render::{RenderError, Source};
use crate::resource::Id;
use crate::tasks::outcome;
use crate::transport::{Exec, Failure, Host};
use crate::verdict::{Outcome, Verdict};
use judge::{CHECKS, Others, judge, verdict};
use question::{Answer, script};

const DEADLINE: Duration = Duration::from_secs(60);

/// Where the checks of this machine belong in a list of nodes.
const HERE: &str = "controller";

/// The verdict on the secret store: `error` is why it does not open.
pub fn identity(error: Option<String>) -> Verdict {
    let outcome = if error.is_some() { Outcome::Fail } else { Outcome::Pass };
    verdict("identity", &NodeName::from(HERE), (outcome, error.unwrap_or_default()))
}

/// Runs every check on every node, in the order of [`CHECKS`] and the nodes' names.
pub async fn run(source: &Source, hosts: &Hosts) -> Result<Vec<Verdict>, RenderError> {
    let answers = observe::observe(source, hosts).await?;
    Ok(of(source, hosts, &answers, |_| true).await)
}

/// The same for those nodes that are `meant`, when all have been observed already.
pub async fn of(
    source: &Source,
    hosts: &Hosts,
    answers: &Answers,
    meant: impl Fn(&NodeName) -> bool,
) -> Vec<Verdict> {
    let observed = || answers.observed.iter().filter(|(node, _)| meant(node));
    let mut tasks = JoinSet::new();
    for (node, _) in observed() {
        let Some(host) = hosts.get(node).map(Arc::clone) else { continue };
        let (node, script) = (node.clone(), script(source, node));
        tasks.spawn(async move {
            let answer = ask(host.as_ref(), script).await;
            (node, answer)
        });
    }
    let mut said: BTreeMap<NodeName, Result<Answer, String>> = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        said.extend([outcome(joined)]);
    }
    // Who did not answer is told of already.
    let nodes = source.cluster.nodes.keys();
    let others = Others {
        silent: nodes.filter(|node| !answers.observed.contains_key(*node)).cloned().collect(),
        filtering: answers
            .observed
            .iter()
            .filter(|(_, seen)| filters(seen))
            .map(|(node, _)| node.clone())
            .collect(),
    };
    let mut verdicts = Vec::new();
    for (node, seen) in observed() {
        for name in ["reachable", "root"] {
            verdicts.push(verdict(name, node, (Outcome::Pass, String::new())));
        }
        match said.get(node) {
            Some(Ok(answer)) => verdicts.extend(judge(source, node, seen, answer, &others)),
            Some(Err(reason)) => verdicts.extend(lost(node, reason)),
            None => verdicts.extend(lost(node, "it was not asked")),
        }
    }
    for (node, error) in &answers.failures {
        verdicts.extend(failed(node, error));
    }
    let access = judge::access(&source.cluster.inventory);
    verdicts.push(verdict("access", &NodeName::from(HERE), access));
    verdicts.extend(judge::virtual_ip(source, &answers.observed));
    let rank = |verdict: &Verdict| CHECKS.iter().position(|(name, _)| *name == verdict.name);
    verdicts.sort_by_cached_key(|verdict| (rank(verdict), verdict.node.clone()));
    verdicts
}

/// Whether our packet filter is loaded on a node.
fn filters(seen: &Observation) -> bool {
    let rules = Id::new("firewall", "rules");
    seen.fields.get(&rules).is_some_and(|fields| fields.contains_key("live"))
}

/// A node that answered the probe and not the script.
fn lost(node: &NodeName, reason: &str) -> Vec<Verdict> {
    let checks =
        CHECKS.iter().filter(|(name, _)| !["reachable", "root", "identity", "access"].contains(name));
    let skipped =
        checks.map(|(name, _)| verdict(name, node, (Outcome::Fail, format!("no answer: {reason}"))));
    skipped.collect()
}

/// A node that could not be observed: one check fails, those before it hold, and nothing is known of the others.
fn failed(node: &NodeName, error: &ObserveError) -> Vec<Verdict> {
    let culprit = match error {
        ObserveError::Failure(Failure::Sudo { .. }) => "root",
        ObserveError::Failure(_) | ObserveError::Probe { .. } => "reachable",
        ObserveError::Unsupported { what, .. } if what.contains("root") => "root",
        ObserveError::Unsupported { .. } => "os",
    };
    let reason = match error {
        ObserveError::Failure(failure) => format!("{failure}; {}", failure.hint()),
        other => other.to_string(),
    };
    let reason = reason.strip_prefix(&format!("{node}: ")).unwrap_or(&reason).to_owned();
    let before = ["reachable", "root"].into_iter().take_while(|name| *name != culprit);
    let mut verdicts: Vec<Verdict> =
        before.map(|name| verdict(name, node, (Outcome::Pass, String::new()))).collect();
    verdicts.push(verdict(culprit, node, (Outcome::Fail, reason)));
    verdicts
}

/// Asks one node. Its clock is to show a moment between our question and its first line: how far it is from that. A question may
/// have had to wait for others.
async fn ask(host: &dyn Host, script: String) -> Result<Answer, String> {
    let (lines, mut received) = tokio::sync::mpsc::unbounded_channel();
    let asked = now();
    let first = async move {
        let line: String = received.recv().await?;
        let heard = now();
        let clock: f64 = line.strip_prefix("clock=")?.parse().ok()?;
        Some(clock - clock.clamp(asked, heard.max(asked)))
    };
    let exec = Exec { lines: Some(lines), ..Exec::script(script, DEADLINE) };
    let (reply, skew) = tokio::join!(host.run(exec), first);
    let reply = reply.map_err(|failure| failure.to_string())?;
    let mut answer = Answer::parse(&reply.stdout).ok_or_else(|| match reply.stderr.trim() {
        "" => format!("the script ended with {:?}", reply.status),
        words => words.to_owned(),
    })?;
    answer.skew = skew;
    Ok(answer)
}

/// Seconds since 1970 by this machine's clock.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
