//! `deploy apply`: makes the plan, shows it, asks, and carries it out.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use time::macros::format_description;
use tokio::sync::Semaphore;

use super::Global;
use super::connections::connections;
use super::project::Project;
use super::who::who;
use crate::apply::{Apply, ApplyError, Lock, LockError, Owner, Stopped};
use crate::cluster::NodeName;
use crate::exit::{Ended, Exit};
use crate::journal::{Heading, Wanted};
use crate::observe::Answers;
use crate::plan::Plan;
use crate::ui::{Hint, Progress};
use crate::verify::{Outcome, Verdict};
use crate::{cli, journal, live, observe, plan, preflight, ui};

pub async fn run(global: &Global, args: &cli::Apply) -> Result<ExitCode> {
    let begun = Instant::now();
    let inventory = &args.target.inventory;
    let mut how =
        How { parallel: args.parallel.map_or(Semaphore::MAX_PERMITS, usize::from), ..How::default() };
    let (mut project, plan) = if let Some(file) = &args.plan {
        let (saved, mut project) = super::saved::open(global, inventory, file).await?;
        let plan = super::saved::plan(&saved, &mut project, inventory, file).await?;
        how.plan = Some(saved.id);
        (project, plan)
    } else {
        let mut project = Project::open(global, inventory).await?;
        let selection = super::plan::selection(&args.narrow);
        selection.check(&project.source.cluster)?;
        let mut plan = super::plan::make(&mut project).await?;
        selection.narrow(&mut plan, &project.source.cluster)?;
        (project, plan)
    };
    if plan.is_empty() {
        return nothing(global, &mut project, &plan);
    }
    if !args.skip_preflight {
        fit(&project, &plan, inventory).await?;
    }
    // A saved plan has been looked at already.
    confirm(global, args.yes || args.plan.is_some(), &plan)?;
    let whole = plan.hidden.is_empty();
    let done = carry_out_so(&mut project, plan, how).await?;
    let connections = connections(&project.source.cluster);
    done.tell(global, begun, json!({ "connections": connections, "executions": project.executions() }));
    if whole && !global.json {
        for (name, url) in connections {
            ui::data(&format!("  {name:<14} {url}\n"));
        }
    }
    Ok(done.exit_code())
}

/// A plan that has nothing to do.
pub fn nothing(global: &Global, project: &mut Project, plan: &Plan) -> Result<ExitCode> {
    project.save()?;
    if global.json {
        ui::json(&json!({ "changed": 0, "executions": project.executions() }));
    } else {
        ui::report(&ui::plan(plan));
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses machines that are new to the cluster, where packages are missing, and that are not fit for it.
async fn fit(project: &Project, plan: &Plan, inventory: &Path) -> Result<()> {
    let news: BTreeSet<&NodeName> = plan
        .changes()
        .filter(|(_, _, change)| change.id.kind == "packages")
        .map(|(_, node, _)| node)
        .collect();
    let observed = project.observed.iter().filter(|(node, _)| news.contains(node));
    let answers = Answers {
        observed: observed.map(|(node, seen)| (node.clone(), seen.clone())).collect(),
        ..Answers::default()
    };
    let verdicts = preflight::of(&project.source, &project.hosts(), &answers).await;
    let unfit: Vec<String> = verdicts
        .iter()
        .filter(|verdict| verdict.outcome == Outcome::Fail)
        .map(|verdict| format!("{}: {}: {}", verdict.node, verdict.name, verdict.reason))
        .collect();
    if unfit.is_empty() {
        return Ok(());
    }
    let hint = format!(
        "nothing was changed; `deploy check {}` shows every check, and `--skip-preflight` goes on in spite of them",
        inventory.display()
    );
    Err(anyhow::Error::new(Ended::new(Exit::Unfit, unfit.join("\n       "))).context(Hint(hint)))
}

/// How a plan is carried out.
pub struct How {
    /// How many nodes may be changed at a time.
    parallel: usize,
    /// The saved plan that it is.
    plan: Option<String>,
    /// The run that it goes back to.
    back_to: Option<String>,
}

impl Default for How {
    fn default() -> Self {
        Self { parallel: Semaphore::MAX_PERMITS, plan: None, back_to: None }
    }
}

impl How {
    /// The way back to a run.
    pub fn back_to(run: &str) -> Self {
        Self { back_to: Some(run.to_owned()), ..Self::default() }
    }
}

/// Shows the plan, and asks unless the answer is given.
pub fn confirm(global: &Global, yes: bool, plan: &Plan) -> Result<()> {
    if !global.json {
        ui::report(&ui::plan(plan));
    }
    if !yes {
        if !ui::interactive() {
            let hint = Hint("look at the plan above, then run it with --yes".into());
            return Err(anyhow!("nobody is here to confirm the plan; nothing was changed").context(hint));
        }
        if !ui::confirm("Apply these changes?") {
            return Err(anyhow!("not confirmed; nothing was changed"));
        }
    }
    Ok(())
}

/// A run that came to its end.
pub struct Done {
    /// Its name.
    pub run: String,
    /// How many changes it made.
    pub changes: usize,
    /// Every check, after it.
    pub verdicts: Vec<Verdict>,
}

impl Done {
    /// Whether every check holds.
    pub fn verified(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.outcome != Outcome::Fail)
    }

    /// How it ended.
    fn exit(&self) -> Exit {
        if self.verified() { Exit::Done } else { Exit::Unverified }
    }

    /// How its command ends.
    pub fn exit_code(&self) -> ExitCode {
        self.exit().into()
    }

    /// Its summary; in JSON with the fields of `more`.
    pub fn tell(&self, global: &Global, begun: Instant, mut more: Value) {
        let seconds = begun.elapsed().as_secs_f64();
        if global.json {
            more["run"] = json!(self.run);
            more["changed"] = json!(self.changes);
            more["seconds"] = json!(seconds);
            more["checks"] = json!(self.verdicts);
            ui::json(&more);
            return;
        }
        ui::report(&super::verify::text(&self.verdicts, false));
        ui::report(&format!("{} changes made in {seconds:.1} s (run {})\n", self.changes, self.run));
    }
}

/// Carries out a confirmed plan under the cluster's lock, and runs every check.
pub async fn carry_out(project: &mut Project, plan: Plan) -> Result<Done> {
    carry_out_so(project, plan, How::default()).await
}

/// The same in a certain way. The checks of phases that a selection has left something out of are left out, too.
pub async fn carry_out_so(project: &mut Project, plan: Plan, how: How) -> Result<Done> {
    let authority = project.authority()?;
    if authority.is_none() && plan.issues() {
        let hint = "`deploy certs rotate-ca` goes on to a new authority, which issues them";
        return Err(anyhow!("certificates are to be made, and nobody has the key of the authority")
            .context(Hint(hint.into())));
    }
    project.save()?;
    let run = run_id()?;
    let mut checks = plan::checks(&project.source, &live::facts(&project.observed))?;
    let lock = lock(project, &run).await?;
    let (events, receiver) = tokio::sync::mpsc::unbounded_channel();
    let drawing = tokio::spawn(Progress::new().draw(receiver));
    let changes = plan.changes().count();
    let left_out: BTreeSet<&str> = plan.hidden.iter().map(|hidden| hidden.phase).collect();
    let apply = Apply {
        source: Arc::clone(&project.source),
        hosts: project.hosts(),
        authority,
        checks: checks.clone(),
        heading: heading(project, &run, &how),
        parallel: Semaphore::new(how.parallel),
        clock: time::OffsetDateTime::now_utc,
        events,
        changed: AtomicBool::new(false),
    };
    let apply = Arc::new(apply);
    let outcome = Arc::clone(&apply).run(plan).await;
    lock.let_go().await;
    let changed = apply.changed.load(Ordering::Relaxed);
    // The drawing ends when nobody can say anything any more.
    drop(apply);
    let _ = drawing.await;
    if let Err(error) = outcome {
        let stopped = Stopped { error, changed };
        end_journal(project, &run, Exit::of_run(&stopped)).await;
        return Err(explain(stopped));
    }
    checks.retain(|check| !left_out.contains(check.phase.as_str()));
    let everything = left_out.is_empty();
    let verdicts = super::verify::these(&project.source, &project.hosts(), &checks, everything).await?;
    let done = Done { run, changes, verdicts };
    end_journal(project, &done.run, done.exit()).await;
    Ok(done)
}

/// Writes down how a run has ended, on every node that it has changed and that still answers.
async fn end_journal(project: &Project, run: &str, exit: Exit) {
    let script = journal::ending(run, exit.word());
    observe::ask_each(&project.hosts(), &script, Duration::from_secs(20)).await;
}

/// Takes the lock in the name of whoever runs this.
pub async fn lock(project: &Project, run: &str) -> Result<Lock> {
    let owner = Owner(format!("{} since {run}", who()));
    Lock::take(&project.hosts(), &owner).await.map_err(|error| match error {
        LockError::Held { .. } => anyhow::Error::new(error)
            .context(Hint("wait for it to end; a run that has died lets go within half a minute".into())),
        LockError::Failure(failure) => {
            let hint = Hint(failure.hint());
            anyhow::Error::new(failure).context(hint)
        }
    })
}

fn explain(stopped: Stopped) -> anyhow::Error {
    let hint = match &stopped.error {
        ApplyError::Failure(failure) => failure.hint(),
        ApplyError::Moved { .. } => "look at the new plan and apply it".into(),
        ApplyError::TakenBack { .. } => {
            "check `access.admin`: it must hold the address that you come from; nothing is left of the new rules".into()
        }
        _ => "mend the cause and run the same command again: it goes on where this run stopped".into(),
    };
    anyhow::Error::new(stopped).context(Hint(hint))
}

/// What the journals say of the run itself.
fn heading(project: &Project, run: &str, how: &How) -> Heading {
    let mut lines = vec![
        format!("by={}", who()),
        format!("version={}", env!("CARGO_PKG_VERSION")),
        format!("inputs={}", project.inputs().digest()),
    ];
    lines.extend(how.plan.iter().map(|plan| format!("plan={plan}")));
    lines.extend(how.back_to.iter().map(|run| format!("back_to={run}")));
    let wanted = Wanted { inventory: project.text.source.clone(), files: project.source.library.own.clone() };
    Heading { run: run.to_owned(), about: lines.join("\n"), wanted: wanted.text() }
}

/// Name of a run: its time, and enough chance to tell two of one second apart.
pub fn run_id() -> Result<String> {
    let now = time::OffsetDateTime::now_utc();
    let stamp = now.format(format_description!("[year][month][day]T[hour][minute][second]Z"))?;
    Ok(format!("{stamp}-{:04x}", rand::random::<u16>()))
}
