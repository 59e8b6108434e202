//! Runs the phases of an approved plan.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::restore;
use super::step;
use super::{ApplyError, Event, Events, Restored};
use crate::cluster::NodeName;
use crate::journal::Heading;
use crate::observe::{self, Hosts};
use crate::pki::Authority;
use crate::plan::{self, CheckRun, Early, Phase, PhasePlan, Plan, Scope, Step, Wave};
use crate::render::Source;
use crate::resource::{Change, Effect};
use crate::verify::{self, Outcome, Verdict};

/// What a run needs.
pub struct Apply {
    /// The cluster, its roles and secrets.
    pub source: Arc<Source>,
    /// The nodes.
    pub hosts: Hosts,
    /// Issues the certificates; `None` where the plan has none.
    pub authority: Option<Authority>,
    /// Every check of the cluster.
    pub checks: Vec<CheckRun>,
    /// Name of the run, and what its journals begin with.
    pub heading: Heading,
    /// How many nodes may be changed at a time.
    pub parallel: Semaphore,
    /// The clock.
    pub clock: fn() -> time::OffsetDateTime,
    /// Where the run says what happens.
    pub events: Events,
    /// Whether a node has been told to change something.
    pub changed: AtomicBool,
}

impl Apply {
    /// Makes every change of the plan, phase by phase.
    pub async fn run(self: Arc<Self>, plan: Plan) -> Result<(), ApplyError> {
        let plan = Arc::new(plan);
        let mut pipelines: JoinSet<(NodeName, Result<(), ApplyError>)> = JoinSet::new();
        let mut pending: BTreeSet<NodeName> = BTreeSet::new();
        for node in self.hosts.keys() {
            let has_work = node_phases(&plan).any(|phase| phase.changes().any(|(on, _)| on == node));
            if has_work {
                pending.insert(node.clone());
                let (apply, plan, node) = (Arc::clone(&self), Arc::clone(&plan), node.clone());
                pipelines.spawn(async move {
                    let done = apply.node_pipeline(&plan, &node).await;
                    (node, done)
                });
            }
        }
        let mut phases: VecDeque<&PhasePlan> =
            plan.phases.iter().filter(|phase| phase.phase.scope == Scope::Cluster).collect();
        if plan.only_certificates() {
            // Each of them concerns nobody but the service that gets it.
            wait_for(&mut pipelines, &mut pending, BTreeSet::is_empty).await?;
            let needed: Vec<BTreeSet<NodeName>> = phases.iter().map(|phase| self.needed(phase)).collect();
            let all = phases.iter().zip(&needed).map(|(phase, nodes)| self.cluster_phase(phase, nodes, &[]));
            return together(futures_util::future::join_all(all).await);
        }
        let mut begun: BTreeSet<&str> = BTreeSet::new();
        while let Some(approved) = phases.pop_front() {
            if begun.contains(approved.phase.name) {
                continue;
            }
            let needed = self.needed(approved);
            wait_for(&mut pipelines, &mut pending, |pending| needed.is_disjoint(pending)).await?;
            let early: Vec<&PhasePlan> = phases
                .iter()
                .enumerate()
                .filter(|(distance, later)| match later.phase.early {
                    Early::No => false,
                    Early::Ready => true,
                    Early::After(_) => *distance == 0,
                })
                .map(|(_, later)| *later)
                // What touches a service that runs wants the checks of all that was made of it before.
                .filter(|later| phases.iter().all(|one| !one.shares_roles(later) || one.only_starts()))
                .filter(|later| later.only_starts() && self.needed(later).is_disjoint(&pending))
                .filter(|later| begun.insert(later.phase.name))
                .collect();
            self.cluster_phase(approved, &needed, &early).await?;
        }
        wait_for(&mut pipelines, &mut pending, BTreeSet::is_empty).await
    }

    /// The nodes that a cluster phase looks at and works on.
    fn needed(&self, approved: &PhasePlan) -> BTreeSet<NodeName> {
        let roles = approved.phase.roles.iter().flat_map(|role| self.source.cluster.with_role(role));
        let own = roles.map(|(node, _)| node.clone());
        own.chain(approved.changes().map(|(node, _)| node.clone())).collect()
    }

    /// The node phases of one node, one after the other.
    async fn node_pipeline(&self, plan: &Plan, node: &NodeName) -> Result<(), ApplyError> {
        let only: BTreeSet<NodeName> = [node.clone()].into();
        for approved in node_phases(plan).filter(|phase| phase.changes().any(|(on, _)| on == node)) {
            let current = self.again(approved, &only).await?;
            for step in current.into_iter().flat_map(|phase| phase.waves).flat_map(|wave| wave.steps) {
                self.step(approved.phase, step).await?;
            }
        }
        Ok(())
    }

    /// One phase for all its nodes. While it is checked, the `early` phases are made.
    async fn cluster_phase(
        &self,
        approved: &PhasePlan,
        needed: &BTreeSet<NodeName>,
        early: &[&PhasePlan],
    ) -> Result<(), ApplyError> {
        let begun = Instant::now();
        let title = approved.phase.title;
        self.say(Event::PhaseStarted { title });
        let current = self.again(approved, needed).await?;
        let own: Vec<CheckRun> = self
            .checks
            .iter()
            .filter(|check| check.phase == approved.phase.name && needed.contains(&check.node))
            .cloned()
            .collect();
        let gates: Vec<CheckRun> = own.iter().filter(|check| check.gate).map(CheckRun::as_gate).collect();
        let mut made: Vec<Step> = Vec::new();
        let mut waves = current.map(|phase| phase.waves).unwrap_or_default().into_iter().peekable();
        while let Some(wave) = waves.next() {
            let gated = waves.peek().is_some() && !wave.ungated();
            made.extend(wave.steps.iter().cloned());
            self.wave(approved.phase, wave).await?;
            if gated {
                self.check(&gates).await?;
            }
        }
        let starts = futures_util::future::join_all(early.iter().map(|later| self.make_early(later)));
        let (checked, started) = tokio::join!(self.check(&own), starts);
        if let Err(error) = checked {
            return Err(self.put_back(approved.phase, &made, &own, error).await);
        }
        started.into_iter().collect::<Result<(), ApplyError>>()?;
        self.say(Event::PhaseDone { title, took: begun.elapsed() });
        Ok(())
    }

    /// The steps of one wave, all at once.
    async fn wave(&self, phase: &'static Phase, wave: Wave) -> Result<(), ApplyError> {
        let steps = wave.steps.into_iter().map(|step| self.step(phase, step));
        futures_util::future::join_all(steps).await.into_iter().collect()
    }

    /// Brings back certificates that are not served; the error then says so.
    async fn put_back(
        &self,
        phase: &'static Phase,
        made: &[Step],
        checks: &[CheckRun],
        error: ApplyError,
    ) -> ApplyError {
        let ApplyError::Checks { verdicts, mut restored } = error else { return error };
        if self.source.trust.severed {
            // What was there before does not verify either.
            return ApplyError::Checks { verdicts, restored };
        }
        for step in restore::steps(made, checks, &verdicts) {
            let certificates = step.changes.iter().filter(|change| change.id.kind == "certificate");
            let certificates: Vec<_> =
                certificates.map(|change| (step.node.clone(), change.id.name.clone())).collect();
            let outcome = self.step(phase, step).await;
            let outcome = outcome.map_or_else(|error| Some(error.to_string()), |()| None);
            restored.extend(certificates.into_iter().map(|(node, path)| Restored {
                node,
                path,
                error: outcome.clone(),
            }));
        }
        ApplyError::Checks { verdicts, restored }
    }

    /// Makes the changes of a phase that need not wait for its turn; its checks come with all others, after the run.
    async fn make_early(&self, approved: &PhasePlan) -> Result<(), ApplyError> {
        if let Early::After(name) = approved.phase.early {
            let awaited: Vec<CheckRun> =
                self.checks.iter().filter(|check| check.name == name).cloned().collect();
            self.check(&awaited).await?;
        }
        let current = self.again(approved, &self.needed(approved)).await?;
        for wave in current.into_iter().flat_map(|phase| phase.waves) {
            self.wave(approved.phase, wave).await?;
        }
        Ok(())
    }

    /// Observes the nodes of a phase again and plans it anew: what is left to do, all of it approved.
    async fn again(
        &self,
        approved: &PhasePlan,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Option<PhasePlan>, ApplyError> {
        let hosts: Hosts = self
            .hosts
            .iter()
            .filter(|(node, _)| nodes.contains(*node))
            .map(|(k, v)| (k.clone(), Arc::clone(v)))
            .collect();
        let answers = observe::observe_phase(&self.source, &hosts, approved.phase.name).await?;
        if let Some((_, error)) = answers.failures.into_iter().next() {
            return Err(error.into());
        }
        let mut current = plan::build_phase(&self.source, approved.phase, &answers.observed, (self.clock)())?;
        if let Some(current) = &mut current {
            if approved.partial {
                current.retain(|node, change| {
                    approved.changes().any(|(on, known)| covers(on, known, node, change))
                });
            }
            // Whoever has to wait for an approved move is known only when it is made.
            for (node, change) in current.changes().filter(|(_, change)| !change.ahead) {
                if !approved.changes().any(|(on, known)| covers(on, known, node, change)) {
                    return Err(ApplyError::Moved {
                        node: node.clone(),
                        id: change.id.to_string(),
                        reason: change.reason.clone(),
                    });
                }
            }
        }
        Ok(current)
    }

    /// Makes the changes of one step, and confirms those that want it over a new connection.
    async fn step(&self, phase: &'static Phase, step: Step) -> Result<(), ApplyError> {
        let Step { node, changes } = step;
        let Some(host) = self.hosts.get(&node) else { return Ok(()) };
        let _turn = self.parallel.acquire().await;
        let begun = Instant::now();
        let title = phase.title;
        self.say(Event::StepStarted { node: node.clone(), phase: title, changes: changes.len() });
        let authority = self.authority.as_ref();
        let mut exec = step::exec(&self.heading, phase.name, &changes, authority, (self.clock)())?;
        let (lines, mut said) = mpsc::unbounded_channel::<String>();
        exec.lines = Some(lines);
        self.changed.store(true, Ordering::Relaxed);
        let progress = async {
            while let Some(line) = said.recv().await {
                let number = line.strip_prefix("> ").and_then(|number| number.parse::<usize>().ok());
                if let Some(change) = number.and_then(|number| changes.get(number)) {
                    self.say(Event::Changing { node: node.clone(), id: change.id.clone() });
                }
            }
        };
        let (reply, ()) = tokio::join!(host.run(exec), progress);
        let outcome = match reply {
            Ok(reply) => ended(&node, &changes, &reply.stdout, &reply.stderr),
            Err(failure) => Err(failure.into()),
        };
        if let Err(error) = outcome {
            self.say(Event::StepFailed { node, phase: title });
            return Err(error);
        }
        for change in &changes {
            let Some(call) = &change.confirm else { continue };
            let taken_back = |reason: String| ApplyError::TakenBack {
                node: node.clone(),
                id: change.id.to_string(),
                reason,
            };
            let reply = host.run_fresh(step::confirmation(&self.heading.run, call)).await;
            let reply = reply.map_err(|failure| taken_back(failure.to_string()))?;
            if !reply.stdout.contains(". done") {
                return Err(taken_back(reply.stdout + &reply.stderr));
            }
        }
        self.say(Event::StepDone { node, phase: title, changes: changes.len(), took: begun.elapsed() });
        Ok(())
    }

    async fn check(&self, checks: &[CheckRun]) -> Result<(), ApplyError> {
        if checks.is_empty() {
            return Ok(());
        }
        self.say(Event::Checking { checks: checks.len() });
        let verdicts = verify::run(&self.hosts, checks).await;
        for verdict in &verdicts {
            self.say(Event::Checked(verdict.clone()));
        }
        let failed: Vec<Verdict> =
            verdicts.into_iter().filter(|verdict| verdict.outcome == Outcome::Fail).collect();
        if failed.is_empty() {
            return Ok(());
        }
        Err(ApplyError::Checks { verdicts: failed, restored: Vec::new() })
    }

    fn say(&self, event: Event) {
        // A run goes on when nobody listens.
        let _ = self.events.send(event);
    }
}

/// How phases ended that went side by side: one error with all of their checks, else the first.
fn together(outcomes: Vec<Result<(), ApplyError>>) -> Result<(), ApplyError> {
    let merged = outcomes.into_iter().filter_map(Result::err).reduce(|first, next| match (first, next) {
        (
            ApplyError::Checks { mut verdicts, mut restored },
            ApplyError::Checks { verdicts: more, restored: back },
        ) => {
            verdicts.extend(more);
            restored.extend(back);
            ApplyError::Checks { verdicts, restored }
        }
        (first, _) => first,
    });
    merged.map_or(Ok(()), Err)
}

fn node_phases(plan: &Plan) -> impl Iterator<Item = &PhasePlan> {
    plan.phases.iter().filter(|phase| phase.phase.scope == Scope::Node)
}

/// Whether an approved change stands for one that is found now.
fn covers(on: &NodeName, known: &Change, node: &NodeName, change: &Change) -> bool {
    let same_place = on == node || (known.cluster_wide && change.cluster_wide);
    // A service that was to be started has come up by itself since, with what it was before: it starts anew.
    let starts = known.id.kind == "unit" && known.effect == Effect::Start && change.effect == Effect::Restart;
    same_place && known.id == change.id && (known.calls == change.calls || starts)
}

/// What the script of a step said at its end.
fn ended(node: &NodeName, changes: &[Change], stdout: &str, stderr: &str) -> Result<(), ApplyError> {
    if stdout.lines().any(|line| line == ". done") {
        return Ok(());
    }
    let failed = stdout.lines().find_map(|line| line.strip_prefix("! ")?.split_once(' '));
    let Some((number, status)) = failed else {
        let said = if stderr.trim().is_empty() { stdout } else { stderr };
        return Err(ApplyError::CutOff { node: node.clone(), stderr: said.trim().to_owned() });
    };
    let id = number
        .parse::<usize>()
        .ok()
        .and_then(|number| changes.get(number))
        .map(|change| change.id.to_string());
    let output = stdout.lines().filter(|line| line.starts_with("| ")).collect::<Vec<_>>().join("\n");
    Err(ApplyError::Change {
        node: node.clone(),
        id: id.unwrap_or_default(),
        status: status.to_owned(),
        output,
    })
}

/// Waits until enough node pipelines have ended; the first failure ends the wait.
async fn wait_for(
    pipelines: &mut JoinSet<(NodeName, Result<(), ApplyError>)>,
    pending: &mut BTreeSet<NodeName>,
    enough: impl Fn(&BTreeSet<NodeName>) -> bool,
) -> Result<(), ApplyError> {
    while !enough(pending) {
        match pipelines.join_next().await {
            Some(Ok((node, done))) => {
                pending.remove(&node);
                if let Err(error) = done {
                    // The others finish what they are at: a step that is cut off helps nobody.
                    let rest = async { while pipelines.join_next().await.is_some() {} };
                    let _ = tokio::time::timeout(Duration::from_secs(1800), rest).await;
                    return Err(error);
                }
            }
            Some(Err(_)) => {}
            None => return Ok(()),
        }
    }
    Ok(())
}
