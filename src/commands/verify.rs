//! `deploy verify`: every check of the cluster, now.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use console::style;

use super::Global;
use super::project::{Project, everyone};
use crate::cli::Target;
use crate::exit::Exit;
use crate::observe::{self, Hosts};
use crate::render::Source;
use crate::verdict::{Outcome, Verdict, Verdicts};
use crate::{live, plan, ui, verify};

/// Seconds that a check has to hold while a node does not answer.
const PATIENCE: u32 = 10;

pub async fn run(global: &Global, target: &Target) -> Result<ExitCode> {
    let project = Project::open(global, &target.inventory).await?;
    let hosts = project.hosts();
    let verdicts = ui::waiting(&hosts, all(&project.source, &hosts)).await?;
    if global.json {
        ui::json(&Verdicts { checks: &verdicts });
    } else {
        ui::report(&text(&verdicts, true));
    }
    let failed = verdicts.iter().any(Verdict::fails);
    Ok(if failed { Exit::Unverified.into() } else { ExitCode::SUCCESS })
}

/// Runs every check on every node that answers; one that does not is a failed check of its own.
async fn all(source: &Source, hosts: &Hosts) -> Result<Vec<Verdict>> {
    let answers = observe::observe_only(hosts, &[]).await?;
    if answers.observed.is_empty() {
        everyone(answers)?;
        return Ok(Vec::new());
    }
    let mut checks = plan::checks(source, &live::facts(&answers.observed))?;
    if !answers.failures.is_empty() {
        // What does not hold without a machine will not hold for being waited for.
        for check in &mut checks {
            check.within = check.within.min(PATIENCE);
        }
    }
    let mut verdicts = verify::everything(source, hosts, &checks).await?;
    let silent = |verdict: &&mut Verdict| answers.failures.contains_key(&verdict.node);
    verdicts.iter_mut().filter(silent).for_each(unproven);
    verdicts.extend(answers.failures.into_iter().map(|(node, error)| Verdict {
        name: "node/reachable".into(),
        title: "the node answers".into(),
        node,
        outcome: Outcome::Fail,
        reason: error.to_string(),
    }));
    Ok(verdicts)
}

/// No port of a machine that is down answers, which proves nothing of its packet filter.
fn unproven(verdict: &mut Verdict) {
    if verdict.outcome == Outcome::Pass {
        verdict.outcome = Outcome::Skip;
        verdict.reason = "the node does not answer".into();
    }
}

/// The verdicts as text: those that failed or warn, all of them when asked, and how many of each.
pub fn text(verdicts: &[Verdict], every: bool) -> String {
    let mut text = String::new();
    let told = |verdict: &&Verdict| every || matches!(verdict.outcome, Outcome::Fail | Outcome::Warn);
    for verdict in verdicts.iter().filter(told) {
        let word = match verdict.outcome {
            Outcome::Pass => style("pass").green(),
            Outcome::Skip => style("skip").dim(),
            Outcome::Warn => style("warn").yellow(),
            Outcome::Fail => style("FAIL").red().bold(),
        };
        let _ = write!(text, "{word}  {:<10} {:<28} {}", verdict.node, verdict.name, verdict.title);
        if verdict.outcome != Outcome::Pass && !verdict.reason.is_empty() {
            let _ = write!(text, ": {}", verdict.reason);
        }
        text.push('\n');
    }
    let count = |outcome| verdicts.iter().filter(|verdict| verdict.outcome == outcome).count();
    let (passed, failed) = (count(Outcome::Pass), count(Outcome::Fail));
    let (warned, skipped) = (count(Outcome::Warn), count(Outcome::Skip));
    let _ = writeln!(text, "{passed} checks passed, {failed} failed, {warned} warned, {skipped} skipped");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_on_a_node_that_does_not_answer() {
        let after = |outcome| {
            let mut verdict = Verdict {
                name: "firewall/exposure".into(),
                title: "only the intended ports answer this machine".into(),
                node: "n1".into(),
                outcome,
                reason: "as found".into(),
            };
            unproven(&mut verdict);
            (verdict.outcome, verdict.reason)
        };
        assert_eq!(after(Outcome::Pass), (Outcome::Skip, "the node does not answer".into()));
        assert_eq!(after(Outcome::Fail), (Outcome::Fail, "as found".into()));
    }
}
