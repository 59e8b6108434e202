//! Runs the phases of an approved plan.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc};

use super::pipelines::Pipelines;
use super::proof::Proof;
use super::step::{self, ended};
use super::{ApplyError, Brake, Event, Events, Seen};
use crate::cluster::NodeName;
use crate::journal::Heading;
use crate::observe::{self, Hosts};
use crate::pki::Authority;
use crate::plan::{self, CheckRun, Early, Phase, PhasePlan, Plan, Scope, Step, Wave};
use crate::render::Source;
use crate::resource::{Change, Effect};
use crate::verdict::Verdict;

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
    /// Keeps further steps from beginning, and knows whether any has.
    pub brake: Arc<Brake>,
    /// What need not be asked again.
    pub seen: Seen,
    /// The clock.
    pub clock: fn() -> time::OffsetDateTime,
    /// Where the run says what happens.
    pub events: Events,
}

impl Apply {
    /// Makes every change of the plan, phase by phase. The verdicts of all checks, where they have been run since the last
    /// change.
    pub async fn run(self: Arc<Self>, plan: Plan) -> Result<Option<Vec<Verdict>>, ApplyError> {
        let plan = Arc::new(plan);
        let mut pipelines = Pipelines::default();
        let mut nodes: BTreeSet<NodeName> = node_phases(&plan)
            .flat_map(PhasePlan::changes)
            .map(|(node, _)| node.clone())
            .filter(|node| self.hosts.contains_key(node))
            .collect();
        if let Some(first) = plan.canary().and_then(|node| nodes.take(node)) {
            pipelines.begin(&self, &plan, &first);
            pipelines.until(BTreeSet::is_empty).await;
            if pipelines.have_failed() {
                self.brake.over();
            }
        }
        for node in &nodes {
            pipelines.begin(&self, &plan, node);
        }
        let done = self.cluster_phases(&plan, &mut pipelines).await;
        if done.is_err() {
            self.brake.over();
        }
        let errors = pipelines.end().await;
        let (closed, error) = match done {
            Ok(closed) => (closed, None),
            Err(error) => (None, Some(error)),
        };
        // What stopped a run from outside is said before what follows from it.
        ApplyError::of_all(errors.into_iter().chain(error))
            .map_err(|error| self.brake.halted().into_iter().chain([error]))
            .or_else(ApplyError::of_all)?;
        Ok(closed)
    }

    /// The node phases of one node, one after the other.
    pub(super) async fn node_pipeline(&self, plan: &Plan, node: &NodeName) -> Result<(), ApplyError> {
        let done = self.node_work(plan, node).await;
        if done.as_ref().is_err_and(|error| !matches!(error, ApplyError::NotBegun(_))) {
            self.brake.failed(node);
        }
        done
    }

    async fn node_work(&self, plan: &Plan, node: &NodeName) -> Result<(), ApplyError> {
        let only: BTreeSet<NodeName> = [node.clone()].into();
        for approved in node_phases(plan).filter(|phase| phase.changes().any(|(on, _)| on == node)) {
            if self.brake.is_on() {
                return Err(ApplyError::NotBegun(only));
            }
            let current = self.again(approved, &only).await?;
            for step in current.into_iter().flat_map(|phase| phase.waves).flat_map(|wave| wave.steps) {
                self.step(approved.phase, step).await?;
            }
        }
        Ok(())
    }

    /// One phase for all its nodes. Whatever ends it before it is proven, certificates that are not served go back. The verdicts
    /// of all checks, where it is the last one.
    pub(super) async fn cluster_phase(
        &self,
        approved: &PhasePlan,
        needed: &BTreeSet<NodeName>,
        proof: &Proof<'_>,
    ) -> Result<Option<Vec<Verdict>>, ApplyError> {
        let begun = Instant::now();
        let title = approved.phase.title;
        self.say(Event::PhaseStarted { title });
        let mut made: Vec<Step> = Vec::new();
        let done = self.work(approved, needed, proof, &mut made).await;
        if let Err(error) = done {
            let restored = self.put_back(approved.phase, &made, &proof.own, &error).await;
            return ApplyError::of_all([error].into_iter().chain(restored)).map(|()| None);
        }
        self.say(Event::PhaseDone { title, took: begun.elapsed() });
        done
    }

    /// The waves of a phase, a gate behind each, and its checks. The steps that were begun are in `made`.
    async fn work(
        &self,
        approved: &PhasePlan,
        needed: &BTreeSet<NodeName>,
        proof: &Proof<'_>,
        made: &mut Vec<Step>,
    ) -> Result<Option<Vec<Verdict>>, ApplyError> {
        self.awaited(approved).await?;
        let current = self.again(approved, needed).await?;
        let gates: Vec<CheckRun> =
            proof.own.iter().filter(|check| check.gate).map(CheckRun::as_gate).collect();
        let mut waves = current.map(|phase| phase.waves).unwrap_or_default().into_iter().peekable();
        while let Some(wave) = waves.next() {
            let gated = waves.peek().is_some() && !wave.ungated();
            let steps = wave.steps.clone();
            let asked: Vec<CheckRun> = gates.iter().filter(|check| wave.asks(&check.node)).cloned().collect();
            let done = self.wave(approved.phase, wave).await;
            let not_begun: BTreeSet<&NodeName> =
                done.as_ref().err().map(ApplyError::not_begun).unwrap_or_default();
            made.extend(steps.into_iter().filter(|step| !not_begun.contains(&step.node)));
            let held = match done {
                Ok(()) if gated => self.check(&asked).await,
                done => done,
            };
            if let Err(error) = held {
                let early =
                    proof.early.iter().flat_map(|later| later.changes()).map(|(node, _)| node.clone());
                let left = waves.flat_map(|wave| wave.steps).map(|step| step.node).chain(early);
                return ApplyError::of_all([error].into_iter().chain(ApplyError::left(left))).map(|()| None);
            }
        }
        self.proven(proof).await
    }

    /// Waits for what a phase comes after: a run that was killed may have left nothing to do but to wait for it.
    async fn awaited(&self, approved: &PhasePlan) -> Result<(), ApplyError> {
        let Early::After(name) = approved.phase.early else { return Ok(()) };
        let awaited: Vec<CheckRun> = self.checks.iter().filter(|check| check.name == name).cloned().collect();
        self.check(&awaited).await
    }

    /// The steps of one wave, all at once.
    async fn wave(&self, phase: &'static Phase, wave: Wave) -> Result<(), ApplyError> {
        let steps = wave.steps.into_iter().map(|step| self.step(phase, step));
        ApplyError::of_all(join_all(steps).await.into_iter().filter_map(Result::err))
    }

    /// Makes the changes of a phase that need not wait for its turn; its checks come with all others, after the run.
    pub(super) async fn make_early(&self, approved: &PhasePlan) -> Result<(), ApplyError> {
        self.awaited(approved).await?;
        let current = self.again(approved, &self.needed(approved)).await?;
        for wave in current.into_iter().flat_map(|phase| phase.waves) {
            self.wave(approved.phase, wave).await?;
        }
        Ok(())
    }

    /// Observes those nodes of a phase again that may have changed, and plans it anew: what is left to do, all of it approved.
    async fn again(
        &self,
        approved: &PhasePlan,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Option<PhasePlan>, ApplyError> {
        let mut observed = self.seen.of(approved, nodes);
        let hosts: Hosts = self
            .hosts
            .iter()
            .filter(|(node, _)| nodes.contains(*node) && !observed.contains_key(*node))
            .map(|(k, v)| (k.clone(), Arc::clone(v)))
            .collect();
        let answers = observe::observe_phase(&self.source, &hosts, approved.phase.name).await?;
        if let Some((_, error)) = answers.failures.into_iter().next() {
            return Err(error.into());
        }
        observed.extend(answers.observed);
        let mut current = plan::build_phase(&self.source, approved.phase, &observed, (self.clock)())?;
        if let Some(current) = &mut current {
            if approved.partial {
                current.retain(|node, change| {
                    approved.changes().any(|(on, known)| plan::covers(on, known, node, change))
                });
            }
            // Whoever has to wait for an approved move, or to hear of it, is known only when it is made.
            let own = |change: &Change| change.ahead.is_none() && !change.follows;
            for (node, change) in current.changes().filter(|(_, change)| own(change)) {
                if !approved.changes().any(|(on, known)| plan::covers(on, known, node, change)) {
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

    /// One step in its turn, unless the run stops before it. Clients that wait for the leader to move wait everywhere at the same
    /// time, however few nodes are changed at a time.
    async fn step(&self, phase: &'static Phase, step: Step) -> Result<(), ApplyError> {
        let holds = step.changes.iter().all(|change| change.ahead == Some(Effect::Switchover));
        let _turn = if holds { None } else { Some(self.parallel.acquire().await) };
        let node = step.node.clone();
        if self.brake.is_on() {
            return Err(ApplyError::NotBegun([node].into()));
        }
        let done = self.make(phase, step).await;
        if done.is_err() {
            self.brake.failed(&node);
        }
        done
    }

    /// Makes the changes of one step, and confirms those that want it over a new connection.
    pub(super) async fn make(&self, phase: &'static Phase, step: Step) -> Result<(), ApplyError> {
        let Step { node, changes } = step;
        let Some(host) = self.hosts.get(&node) else { return Err(ApplyError::NotBegun([node].into())) };
        let begun = Instant::now();
        let title = phase.title;
        self.say(Event::StepStarted { node: node.clone(), phase: title, changes: changes.len() });
        let authority = self.authority.as_ref();
        let mut exec = step::exec(&self.heading, phase.name, &changes, authority, (self.clock)())?;
        let (lines, mut said) = mpsc::unbounded_channel::<String>();
        exec.lines = Some(lines);
        self.brake.begun();
        self.seen.changes(&node, &changes);
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

    pub(super) fn say(&self, event: Event) {
        // A run goes on when nobody listens.
        let _ = self.events.send(event);
    }
}

fn node_phases(plan: &Plan) -> impl Iterator<Item = &PhasePlan> {
    plan.phases.iter().filter(|phase| phase.phase.scope == Scope::Node)
}

#[cfg(test)]
mod tests;
