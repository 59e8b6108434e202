//! `deploy redis`: moves its primary, for work on the machine under it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::json;

use super::Global;
use super::apply::{lock, not_confirmed};
use super::project::Project;
use super::record;
use super::who::run_id;
use super::who::who;
use crate::apply::{self, HandOverError};
use crate::cli::{Failover, Redis};
use crate::cluster::NodeName;
use crate::exit::Exit;
use crate::live;
use crate::ui::{self, Hint};
use crate::verdict::Verdict;
use crate::{observe, plan, verify};

pub async fn run(global: &Global, command: &Redis) -> Result<ExitCode> {
    match command {
        Redis::Failover(args) => failover(global, args).await,
    }
}

async fn failover(global: &Global, args: &Failover) -> Result<ExitCode> {
    let begun = Instant::now();
    let project = Project::open(global, &args.target.inventory).await?;
    let (source, hosts) = (&project.source, project.hosts());
    if source.cluster.with_role("redis").next().is_none() {
        let hint = Hint("`redis.enabled: true` and nodes of kind `app` give it one".into());
        return Err(anyhow!("this cluster has no Redis").context(hint));
    }
    let to = args.to.as_deref().map(NodeName::from);
    let wanted = {
        let answers = ui::waiting(&hosts, observe::observe(source, &hosts)).await?;
        live::redis_hand_over(source, &answers.observed, to.as_ref())
            .map_err(|refusal| super::plan::explain(refusal.into()))?
    };
    let (from, to) = (&wanted.from, &wanted.to);
    if !args.yes {
        if !ui::interactive() {
            let hint = Hint(format!("it would go from {from} to {to}; run it with --yes"));
            return Err(anyhow!("nobody is here to confirm the move; nothing was changed").context(hint));
        }
        if !ui::confirm(&format!(
            "Move the primary of Redis from {from} to {to}? Writes wait for up to three seconds."
        )) {
            return Err(not_confirmed());
        }
    }
    let run = run_id()?;
    let about =
        format!("by={}\nversion={}\nwhat=redis from {from} to {to}", who(), env!("CARGO_PKG_VERSION"));
    let record = record::begin(source.cluster.name(), &run, &about, None);
    let moved = moved(&project, &run, &wanted).await;
    if let Some(record) = &record {
        record::end(record, moved.as_ref().map(|_| Exit::Done));
    }
    let paused = moved?;
    let answers = observe::observe(source, &hosts).await?;
    let checks = plan::checks(source, &live::facts(&answers.observed))?;
    let own = |phase: &str| ["redis", "sentinel"].contains(&phase);
    let checks: Vec<_> =
        checks.into_iter().filter(|check| own(&check.phase) || check.name == "haproxy/redis").collect();
    let verdicts = ui::waiting(&hosts, verify::run(&hosts, &checks)).await;
    let failed = verdicts.iter().any(Verdict::fails);
    if global.json {
        ui::json(&json!({
            "from": from, "to": to, "paused_ms": u64::try_from(paused.as_millis()).unwrap_or(u64::MAX), "checks": verdicts,
        }));
    } else {
        ui::report(&super::verify::text(&verdicts, false));
        ui::report(&format!(
            "the primary of Redis moved from {from} to {to} in {:.1} s; writes waited for {:.2} s\n",
            begun.elapsed().as_secs_f64(),
            paused.as_secs_f64()
        ));
    }
    Ok(if failed { Exit::Unverified.into() } else { ExitCode::SUCCESS })
}

/// Moves the primary under the cluster's lock; how long writes have waited.
async fn moved(project: &Project, run: &str, wanted: &live::HandOver) -> Result<Duration> {
    let lock = lock(project, run).await?;
    let moved = apply::hand_over(&project.source, &project.hosts(), wanted).await;
    lock.let_go().await;
    moved.map_err(explain)
}

fn explain(error: HandOverError) -> anyhow::Error {
    let hint = match &error {
        HandOverError::Failure(failure) => failure.hint(),
        HandOverError::Stopped { .. } => {
            "writes go on, in 15 seconds at the latest; `deploy status` shows who is the primary".into()
        }
    };
    anyhow::Error::new(error).context(Hint(hint))
}
