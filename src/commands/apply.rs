//! `deploy apply`: makes the plan, shows it, asks, and carries it out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::connections::connections;
use super::project::Project;
use super::record;
use super::who::{revision, run_id, who};
use super::{Global, interrupt};
use crate::apply::{Apply, ApplyError, Brake, Event, Halt, Lock, LockError, Owner, Seen, Stopped};
use crate::cluster::NodeName;
use crate::exit::{Ended, Exit};
use crate::inventory::counted;
use crate::journal::{Heading, Record, Wanted};
use crate::observe::Answers;
use crate::plan::{CheckRun, Plan};
use crate::render::PACKAGES;
use crate::ui::{Hint, Progress};
use crate::verdict::Verdict;
use crate::{cli, journal, live, observe, plan, preflight, ui, verify};

pub async fn run(global: &Global, args: &cli::Apply) -> Result<ExitCode> {
    recorded(&args.target.inventory, async |run| apply(global, args, run).await).await
}

/// Leaves a record of the run that `work` makes, by the name that it is given, even where it ends before its plan is
/// carried out.
pub async fn recorded(
    inventory: &Path,
    work: impl AsyncFnOnce(String) -> Result<ExitCode>,
) -> Result<ExitCode> {
    let run = run_id()?;
    let outcome = work(run.clone()).await;
    record::end_early(inventory, &run, outcome.as_ref().err()).await;
    outcome
}

async fn apply(global: &Global, args: &cli::Apply, run: String) -> Result<ExitCode> {
    let begun = Instant::now();
    let inventory = &args.target.inventory;
    let mut how = How::of(run, &args.how);
    let (mut project, plan) = if let Some(file) = &args.plan {
        let (saved, mut project) = super::saved::open(global, inventory, file).await?;
        let plan = super::saved::plan(&saved, &mut project, inventory, file).await?;
        how.plan = Some(saved.id);
        (project, plan)
    } else {
        let mut project = Project::open(global, inventory).await?;
        let selection = super::plan::selection(&args.narrow);
        let (plan, _) = super::plan::selected(&mut project, &selection).await?;
        (project, plan)
    };
    if plan.is_empty() {
        return super::unproven::nothing(global, &mut project, &plan).await;
    }
    if !args.how.skip_preflight {
        fit(&project, &plan, inventory).await?;
    }
    // A saved plan has been looked at already.
    confirm(global, args.how.yes || args.plan.is_some(), &plan)?;
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

/// Refuses machines that are new to the cluster, where packages are missing, and that are not fit for it.
pub async fn fit(project: &Project, plan: &Plan, inventory: &Path) -> Result<()> {
    let news: BTreeSet<&NodeName> = plan
        .changes()
        .filter(|(_, _, change)| change.id.kind == "packages")
        .map(|(_, node, _)| node)
        .collect();
    // The others are there already: who holds a virtual address, and whom a new node reaches.
    let answers = Answers { observed: project.observed.clone(), ..Answers::default() };
    let verdicts =
        preflight::of(&project.source, &project.hosts(), &answers, |node| news.contains(node)).await;
    let unfit: Vec<String> = verdicts
        .iter()
        .filter(|verdict| verdict.fails())
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
    /// The name of the run, where it has one already.
    run: Option<String>,
    /// How many nodes may be changed at a time.
    parallel: usize,
    /// No further step begins once so many nodes have failed.
    max_fail: usize,
    /// The saved plan that it is.
    plan: Option<String>,
    /// The run that it goes back to.
    back_to: Option<String>,
    /// Its changes prove themselves: no check of the cluster is run, so that none that fails for another reason stops it.
    proven: bool,
}

impl Default for How {
    fn default() -> Self {
        Self {
            run: None,
            parallel: Semaphore::MAX_PERMITS,
            max_fail: 1,
            plan: None,
            back_to: None,
            proven: false,
        }
    }
}

impl How {
    /// As the flags ask for, by the run of this name.
    pub fn of(run: String, flags: &cli::How) -> Self {
        let parallel = flags.parallel.map_or(Semaphore::MAX_PERMITS, usize::from);
        Self { run: Some(run), parallel, max_fail: flags.max_fail.into(), ..Self::default() }
    }

    /// The same as the way back to a run.
    #[must_use]
    pub fn back_to(self, run: &str) -> Self {
        Self { back_to: Some(run.to_owned()), ..self }
    }

    /// Without the checks of the cluster.
    pub fn proven() -> Self {
        Self { proven: true, ..Self::default() }
    }
}

/// Shows the plan, and asks unless the answer is given.
pub fn confirm(global: &Global, yes: bool, plan: &Plan) -> Result<()> {
    if !global.json {
        ui::report(&ui::plan(plan));
    }
    if !yes {
        if !ui::interactive() {
            let plan = if global.json { "what `deploy plan` shows" } else { "the plan above" };
            let hint = Hint(format!("look at {plan}, then run it with --yes"));
            return Err(anyhow!("nobody is here to confirm the plan; nothing was changed").context(hint));
        }
        if global.json || !ui::data_is_seen() {
            ui::talk(ui::plan(plan).trim_end());
        }
        if !ui::confirm("Apply these changes?") {
            return Err(not_confirmed());
        }
    }
    Ok(())
}

/// Somebody was asked, and did not say yes.
pub fn not_confirmed() -> anyhow::Error {
    anyhow!("not confirmed; nothing was changed")
        .context(Hint("only the word `yes` goes on; `--yes` does not ask".into()))
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
        !self.verdicts.iter().any(Verdict::fails)
    }

    /// How it ended.
    fn exit(&self) -> Exit {
        if self.verified() { Exit::Done } else { Exit::Unverified }
    }

    /// How its command ends.
    pub fn exit_code(&self) -> ExitCode {
        self.exit().into()
    }

    /// Its summary as JSON, with the fields of `more`.
    pub fn summary(&self, begun: Instant, mut more: Value) -> Value {
        more["run"] = json!(self.run);
        more["changed"] = json!(self.changes);
        more["seconds"] = json!(begun.elapsed().as_secs_f64());
        more["checks"] = json!(self.verdicts);
        more
    }

    /// Its summary; in JSON with the fields of `more`.
    pub fn tell(&self, global: &Global, begun: Instant, more: Value) {
        if global.json {
            ui::json(&self.summary(begun, more));
            return;
        }
        let seconds = begun.elapsed().as_secs_f64();
        ui::report(&super::verify::text(&self.verdicts, false));
        let changes = counted(self.changes, "change");
        ui::report(&format!("{changes} made in {seconds:.1} s (run {})\n", self.run));
    }
}

/// Carries out a confirmed plan under the cluster's lock, and runs every check.
pub async fn carry_out(project: &mut Project, plan: Plan) -> Result<Done> {
    carry_out_so(project, plan, How::default()).await
}

/// The same in a certain way. The checks of phases that a selection has left something out of are left out, too.
pub async fn carry_out_so(project: &mut Project, plan: Plan, mut how: How) -> Result<Done> {
    let run = how.run.take().map_or_else(run_id, Ok)?;
    let heading = heading(project, &run, &how).await;
    let record =
        record::begin(project.source.cluster.name(), &run, &heading.about, Some(&ui::plan_json(&plan)));
    let done = carried_out(project, plan, how, heading, record.clone()).await;
    if let Some(record) = &record {
        record::end(record, done.as_ref().map(Done::exit));
    }
    done
}

async fn carried_out(
    project: &mut Project,
    plan: Plan,
    how: How,
    heading: Heading,
    record: Option<Record>,
) -> Result<Done> {
    let run = heading.run.clone();
    let authority = project.authority()?;
    if authority.is_none() && plan.issues() {
        let hint = "`deploy certs rotate-ca` goes on to a new authority, which issues them";
        return Err(anyhow!("certificates are to be made, and nobody has the key of the authority")
            .context(Hint(hint.into())));
    }
    let mut known = if how.proven { BTreeMap::new() } else { live::facts(&project.observed) };
    // Machines that are left out and have nothing yet.
    let bare = plan.hidden.iter().filter(|hidden| hidden.phase == PACKAGES).flat_map(|hidden| &hidden.nodes);
    bare.for_each(|node| drop(known.remove(node)));
    let mut checks = plan::checks(&project.source, &known)?;
    let mut lock = lock(project, &run).await?;
    if let Err(error) = project.save() {
        lock.let_go().await;
        return Err(error);
    }
    let (events, kept) = tokio::sync::mpsc::unbounded_channel();
    let (passed_on, drawn) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(record::keep(record, kept, passed_on));
    let drawing = tokio::spawn(Progress::new(project.hosts()).draw(drawn));
    let changes = plan.changes().count();
    let left_out: BTreeSet<&str> = plan.hidden.iter().map(|hidden| hidden.phase).collect();
    let whole = left_out.is_empty() && !how.proven;
    let brake = Arc::new(Brake::new(how.max_fail));
    let apply = Apply {
        source: Arc::clone(&project.source),
        hosts: project.hosts(),
        authority,
        checks: checks.clone(),
        heading,
        parallel: Semaphore::new(how.parallel),
        brake: Arc::clone(&brake),
        seen: Seen::new(project.observed.clone(), project.asked, &lock.idle),
        clock: time::OffsetDateTime::now_utc,
        events: events.clone(),
    };
    let apply = Arc::new(apply);
    interrupt::stops(&brake);
    let lost = |node| brake.halt(Halt::LockLost(node));
    let outcome = lock.during(Arc::clone(&apply).run(plan), lost).await;
    checks.retain(|check| !left_out.contains(check.phase.as_str()));
    if !whole {
        checks = checks.iter().map(CheckRun::as_part).collect();
    }
    let verified = match outcome {
        Ok(Some(verdicts)) => Ok(verdicts),
        Ok(None) => {
            let _ = events.send(Event::PhaseStarted { title: "Run every check" });
            let _ = events.send(Event::Checking { checks: checks.len() });
            if whole {
                verify::everything(&project.source, &project.hosts(), &checks).await.map_err(ApplyError::from)
            } else {
                Ok(verify::run(&project.hosts(), &checks).await)
            }
        }
        Err(error) => Err(error),
    };
    // The drawing ends when nobody can say anything any more.
    drop(apply);
    drop(events);
    let _ = drawing.await;
    let ended = match verified {
        Ok(verdicts) => Ok(Done { run: run.clone(), changes, verdicts }),
        Err(error) => Err(Stopped { error, changed: brake.has_begun() }),
    };
    let word = match &ended {
        Ok(done) => done.exit().word(),
        Err(stopped) => Exit::word_of_run(stopped),
    };
    let proves = whole && ended.as_ref().is_ok_and(Done::verified);
    end_journal(project, &run, word, proves).await;
    // What was being checked and written down is nobody else's before. Until here somebody who stops the run is heard.
    lock.let_go().await;
    drop(brake);
    ended.map_err(explain)
}

/// Writes down how a run has ended, on every node that it has changed and that still answers, and where it `proves` what others
/// have left.
async fn end_journal(project: &Project, run: &str, word: &str, proves: bool) {
    let script = journal::ending(run, word) + if proves { journal::PROVEN } else { "" };
    observe::ask_each(&project.hosts(), &script, Duration::from_secs(20)).await;
}

/// Takes the lock in the name of whoever runs this.
pub async fn lock(project: &Project, run: &str) -> Result<Lock> {
    let owner = Owner(format!("{} since {run}", who()));
    Lock::take(&project.hosts(), &owner).await.map_err(|error| match error {
        LockError::Held { .. } => anyhow::Error::new(error)
            .context(Hint("wait for it to end; a run that has died lets go within half a minute".into())),
        LockError::Failed { .. } => anyhow::Error::new(error).context(Hint(
            "nothing was changed; the lock is a file below /run/deploy, which root must be able to write"
                .into(),
        )),
        LockError::Failure(failure) => {
            let hint = Hint(failure.hint());
            anyhow::Error::new(failure).context(hint)
        }
    })
}

fn explain(stopped: Stopped) -> anyhow::Error {
    let own = stopped.error.each().iter().find_map(ApplyError::hint);
    let hint = own.unwrap_or_else(|| {
        "mend the cause and run the same command again: it goes on where this run stopped".into()
    });
    anyhow::Error::new(stopped).context(Hint(hint))
}

/// What the journals say of the run itself.
async fn heading(project: &Project, run: &str, how: &How) -> Heading {
    let mut lines = vec![
        format!("by={}", who()),
        format!("version={}", env!("CARGO_PKG_VERSION")),
        format!("inputs={}", project.inputs().digest()),
    ];
    // The files of an inventory that an earlier run wanted are at no commit that we know.
    if how.back_to.is_none() {
        lines.extend(revision(&project.text.file).await.map(|revision| format!("revision={revision}")));
    }
    lines.extend(how.plan.iter().map(|plan| format!("plan={plan}")));
    lines.extend(how.back_to.iter().map(|run| format!("back_to={run}")));
    let wanted = Wanted {
        inventory: project.text.source.clone(),
        files: project.source.library.own.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Heading { run: run.to_owned(), about: lines.join("\n"), wanted: wanted.text() }
}
