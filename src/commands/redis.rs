//! `deploy redis`: moves its primary, for work on the machine under it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::json;

use super::apply::{lock, not_confirmed};
use super::plan::blame;
use super::project::Project;
use super::record;
use super::who::{run_id, who};
use super::{Global, nothing};
use crate::apply::{self, HandOverError};
use crate::cli::{Move, Redis};
use crate::exit::Exit;
use crate::live;
use crate::observe::Answers;
use crate::ui::{self, Hint};
use crate::verdict::Verdict;
use crate::{plan, verify};

/// Who has a say in who is the primary.
const ROLES: [&str; 2] = ["redis", "sentinel"];

pub async fn run(global: &Global, command: &Redis) -> Result<ExitCode> {
    match command {
        Redis::Failover(args) => failover(global, args).await,
    }
}

async fn failover(global: &Global, args: &Move) -> Result<ExitCode> {
    let begun = Instant::now();
    let mut project = Project::open(global, &args.target.inventory).await?;
    let source = Arc::clone(&project.source);
    if source.cluster.with_role("redis").next().is_none() {
        let hint = Hint("`redis.enabled: true` and nodes of kind `app` give it one".into());
        return Err(anyhow!("this cluster has no Redis").context(hint));
    }
    let to =
        args.to.as_deref().map(|name| plan::node_with_role(&source.cluster, "redis", name)).transpose()?;
    let Answers { observed, failures } = project.observe_answering().await?;
    let wanted = match live::redis_hand_over(&source, &observed, to.as_ref()) {
        Ok(wanted) => wanted,
        Err(refusal) => return Err(blame(&source.cluster, &ROLES, refusal, failures)),
    };
    for error in failures.values() {
        ui::talk(&format!("left out: {error}"));
    }
    let (from, to) = (&wanted.from, &wanted.to);
    if from == to {
        nothing(global, &format!("{to} is the primary already"));
        return Ok(ExitCode::SUCCESS);
    }
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
    let hosts = project.hosts();
    let mut checks = plan::checks(&source, &live::facts(&observed))?;
    let own = |phase: &str| ROLES.contains(&phase);
    checks.retain(|check| own(&check.phase) || check.name == "haproxy/redis");
    checks.retain(|check| hosts.contains_key(&check.node));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::fixture::{MIXED, source};
    use crate::observe::ObserveError;
    use crate::pki::Trust;
    use crate::resource::Refusal;
    use crate::transport::Failure;

    fn exit(silent: &str) -> (Exit, String) {
        let source = source(MIXED, Trust::settled("ca", "0"));
        let refusal = Refusal { what: "Redis has no primary that answers".into(), hint: "look".into() };
        let lost = ObserveError::from(Failure::Timeout { node: silent.into(), seconds: 1 });
        let error = blame(&source.cluster, &ROLES, refusal, [(silent.into(), lost)].into());
        (Exit::of(&error), ui::words(&error).0)
    }

    #[test]
    fn a_silent_node_is_the_cause_of_a_refusal_where_redis_or_its_sentinels_run_on_it() {
        let said = "Redis has no primary that answers: a1: no answer within 1 s";
        assert_eq!(exit("a1"), (Exit::Unreachable, said.into()));
        assert_eq!(exit("w1"), (Exit::Unfit, "Redis has no primary that answers".into()));
    }
}
