//! `deploy postgresql`: moves its leadership, for work on the machine under it.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::apply::{How, carry_out_so, confirm};
use super::plan::{blame, explain};
use super::project::Project;
use super::{Global, nothing};
use crate::cli::{Move, Postgresql};
use crate::cluster::NodeName;
use crate::exit::{Ended, Exit};
use crate::live::{self, ClusterView};
use crate::observe::{self, Answers};
use crate::plan;
use crate::ui::{self, Hint};
use crate::verify;

/// The phases whose checks tell whether clients reach the new leader.
const PROVEN_BY: [&str; 3] = ["patroni", "haproxy", "pgbouncer"];

pub async fn run(global: &Global, command: &Postgresql) -> Result<ExitCode> {
    match command {
        Postgresql::Switchover(args) => switchover(global, args).await,
    }
}

/// By a plan of nothing else, on the nodes that answer: a machine that is lost may be the very reason for it.
async fn switchover(global: &Global, args: &Move) -> Result<ExitCode> {
    let begun = Instant::now();
    let mut project = Project::open(global, &args.target.inventory).await?;
    let to = args
        .to
        .as_deref()
        .map(|name| plan::node_with_role(&project.source.cluster, "patroni", name))
        .transpose()?;
    let Answers { observed, failures } = project.observe_answering().await?;
    let (from, to) = match live::switchover(&project.source, &observed, to.as_ref()) {
        Ok(wanted) => wanted,
        Err(refusal) => return Err(blame(&project.source.cluster, &["patroni"], refusal, failures)),
    };
    for error in failures.values() {
        ui::talk(&format!("left out: {error}"));
    }
    if from == to {
        nothing(global, &format!("{to} leads already"));
        return Ok(ExitCode::SUCCESS);
    }
    project.source_mut()?.leader = Some(to.clone());
    let now = time::OffsetDateTime::now_utc();
    let mut plan = plan::build_only("patroni", &project.source, &observed, now).map_err(explain)?;
    plan.keep(|_, change| change.id == live::leadership());
    confirm(global, args.yes, &plan)?;
    let mut done = carry_out_so(&mut project, plan, How::proven()).await?;
    let hosts = project.hosts();
    leads(&project, &to).await?;
    let mut checks = plan::checks(&project.source, &live::facts(&observed))?;
    checks.retain(|check| PROVEN_BY.contains(&check.phase.as_str()) && hosts.contains_key(&check.node));
    done.verdicts = ui::waiting(&hosts, verify::run(&hosts, &checks)).await;
    done.tell(global, begun, json!({ "from": from, "to": to }));
    if !global.json {
        ui::report(&format!("{to} leads PostgreSQL in the place of {from}\n"));
    }
    Ok(done.exit_code())
}

/// An error where it does not lead now.
async fn leads(project: &Project, to: &NodeName) -> Result<()> {
    let hosts = project.hosts();
    let answers = observe::observe_phase(&project.source, &hosts, "patroni").await?;
    let view = ClusterView::read(&project.source, &answers.observed).unwrap_or_default();
    match view.leader() {
        Some(leader) if leader.name == to.as_str() => Ok(()),
        leader => {
            let now = leader.map_or("nobody", |leader| &leader.name);
            let ended = Ended::new(Exit::Unverified, format!("{now} leads PostgreSQL, not {to}"));
            let hint = Hint("`deploy status` shows who leads and what is wrong".into());
            Err(anyhow::Error::new(ended).context(hint))
        }
    }
}
