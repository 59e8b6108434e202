//! `deploy verify`: every check of the cluster, now.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use console::style;

use super::Global;
use super::project::Project;
use crate::cli::Target;
use crate::exit::Exit;
use crate::observe::{self, Hosts};
use crate::plan::CheckRun;
use crate::render::Source;
use crate::verdict::{Outcome, Verdict, Verdicts};
use crate::{live, plan, ui, verify};

pub async fn run(global: &Global, target: &Target) -> Result<ExitCode> {
    let project = Project::open(global, &target.inventory).await?;
    let hosts = project.hosts();
    let verdicts = ui::waiting(&hosts, all(&project.source, &hosts)).await?;
    if global.json {
        ui::json(&Verdicts { checks: &verdicts });
    } else {
        ui::report(&text(&verdicts, true));
    }
    let failed = verdicts.iter().any(|verdict| verdict.outcome == Outcome::Fail);
    Ok(if failed { Exit::Unverified.into() } else { ExitCode::SUCCESS })
}

/// Runs every check on every node that answers; one that does not is a failed check of its own.
async fn all(source: &Source, hosts: &Hosts) -> Result<Vec<Verdict>> {
    let answers = observe::observe_only(hosts, &[]).await?;
    let checks = plan::checks(source, &live::facts(&answers.observed))?;
    let mut verdicts = these(source, hosts, &checks, true).await?;
    verdicts.extend(answers.failures.into_iter().map(|(node, error)| Verdict {
        name: "node/reachable".into(),
        title: "the node answers".into(),
        node,
        outcome: Outcome::Fail,
        reason: error.to_string(),
    }));
    Ok(verdicts)
}

/// How long a virtual address may take to find its holder.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(15);

/// The hosts of the nodes that run a role.
fn of_role(source: &Source, hosts: &Hosts, role: &str) -> Hosts {
    let own = source.cluster.with_role(role).filter_map(|(node, _)| hosts.get_key_value(node));
    own.map(|(node, host)| (node.clone(), Arc::clone(host))).collect()
}

/// Whether each application has a server where its requests go. Applications are made by others: it warns at most.
pub async fn applications(source: &Source, hosts: &Hosts) -> Result<Vec<Verdict>> {
    if source.cluster.inventory.applications.is_empty() {
        return Ok(Vec::new());
    }
    let answers =
        observe::observe_only(&of_role(source, hosts, "haproxy"), &live::application_probes()).await?;
    Ok(live::served_applications(source, &answers.observed))
}

/// Whether each virtual address has one holder, which only all nodes together can tell: one that has lost the role may
/// have kept it.
async fn held_once(source: &Source, hosts: &Hosts) -> Result<Vec<Verdict>> {
    if source.cluster.inventory.virtual_ip.is_none() {
        return Ok(Vec::new());
    }
    let asked = [live::holder_probe(source)];
    let end = Instant::now() + ADDRESSES_WITHIN;
    loop {
        let answers = observe::observe_only(hosts, &asked).await?;
        let verdicts = live::held_once(source, &answers.observed);
        if Instant::now() >= end || verdicts.iter().all(|verdict| verdict.outcome != Outcome::Fail) {
            return Ok(verdicts);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Runs `checks`; where `everything` is wanted, it also tries the ports from here, and looks for the virtual addresses and
/// the servers of applications.
pub async fn these(
    source: &Source,
    hosts: &Hosts,
    checks: &[CheckRun],
    everything: bool,
) -> Result<Vec<Verdict>> {
    if !everything {
        return Ok(verify::run(hosts, checks).await);
    }
    let exposure = verify::exposure(&source.cluster, &source.library);
    let (mut verdicts, exposed, holders, served) = tokio::join!(
        verify::run(hosts, checks),
        exposure,
        held_once(source, hosts),
        applications(source, hosts)
    );
    if source.cluster.inventory.firewall.enabled {
        verdicts.extend(exposed);
    }
    verdicts.extend(holders?);
    verdicts.extend(served?);
    Ok(verdicts)
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
