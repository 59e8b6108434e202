//! The phases of the cluster in their order, and which of them begin before their turn.

use std::collections::{BTreeSet, VecDeque};

use futures_util::future::join_all;

use super::meanwhile::Meanwhile;
use super::pipelines::Pipelines;
use super::proof::Proof;
use super::{Apply, ApplyError};
use crate::cluster::NodeName;
use crate::plan::{CheckRun, Early, Hidden, PhasePlan, Plan, Scope};
use crate::verdict::Verdict;

impl Apply {
    /// The phases of the cluster, each as soon as its nodes have come through their own. The verdicts of all checks, where they
    /// have been run since the last change.
    pub(super) async fn cluster_phases(
        &self,
        plan: &Plan,
        pipelines: &mut Pipelines,
    ) -> Result<Option<Vec<Verdict>>, ApplyError> {
        let mut phases: VecDeque<&PhasePlan> =
            plan.phases.iter().filter(|phase| phase.phase.scope == Scope::Cluster).collect();
        if plan.only_certificates() {
            // Each of them concerns nobody but the service that gets it, and everything else is checked at the end.
            let all = phases.iter().map(async |phase| {
                let needed = self.needed(phase);
                let mut own = self.own_checks(&plan.hidden, phase, &needed);
                own.retain(|check| check.gate || check.proves.is_some());
                self.cluster_phase(phase, &needed, &Proof { own, ..Proof::default() }).await
            });
            return ApplyError::of_all(join_all(all).await.into_iter().filter_map(Result::err))
                .map(|()| None);
        }
        let mut closed = None;
        let mut begun: BTreeSet<&str> = BTreeSet::new();
        while let Some(approved) = phases.pop_front() {
            if begun.contains(approved.phase.name) {
                continue;
            }
            let needed = self.needed(approved);
            // Others need not wait for the slowest of these nodes, but for the phases that they share a role with.
            let mut meanwhile = Meanwhile::default();
            while !pipelines.are_over(&needed) {
                for (_, later) in self.early(&phases, pipelines) {
                    let free =
                        !later.shares_roles(approved) && !meanwhile.concerns(later) && !self.brake.is_on();
                    if free && later.phase.early == Early::Ready && begun.insert(later.phase.name) {
                        meanwhile.begin(later, self.make_early(later));
                    }
                }
                tokio::select! {
                    () = pipelines.one() => {}
                    () = meanwhile.one() => {}
                }
            }
            if self.brake.is_on() || !pipelines.are_through(&needed) || meanwhile.has_failed() {
                phases.push_front(approved);
                let errors = meanwhile.end().await.into_iter().chain(left(&phases, &begun));
                return ApplyError::of_all(errors).map(|()| None);
            }
            let early: Vec<&PhasePlan> = self
                .early(&phases, pipelines)
                .filter(|(distance, later)| *distance == 0 || later.phase.early == Early::Ready)
                .map(|(_, later)| later)
                .filter(|later| !meanwhile.concerns(later) && begun.insert(later.phase.name))
                .collect();
            // Where a selection has left something out, not all checks count; an empty list proves nothing.
            let last = plan.hidden.is_empty()
                && !self.checks.is_empty()
                && pipelines.are_done()
                && meanwhile.is_done()
                && phases.iter().all(|later| begun.contains(later.phase.name));
            let proof = Proof { own: self.own_checks(&plan.hidden, approved, &needed), early, last };
            let (done, others) = tokio::join!(self.cluster_phase(approved, &needed, &proof), meanwhile.end());
            closed = match done {
                Ok(closed) => ApplyError::of_all(others).map(|()| closed)?,
                Err(error) => {
                    let errors = [error].into_iter().chain(others).chain(left(&phases, &begun));
                    return ApplyError::of_all(errors).map(|()| None);
                }
            };
        }
        Ok(closed)
    }

    /// Those of `phases` that may begin before their turn, each with how many are in front of it.
    fn early<'a>(
        &self,
        phases: &VecDeque<&'a PhasePlan>,
        pipelines: &Pipelines,
    ) -> impl Iterator<Item = (usize, &'a PhasePlan)> {
        phases
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, later)| later.phase.early != Early::No && later.only_starts())
            // What the leader is to be told waits for one.
            .filter(|(_, later)| matches!(later.phase.early, Early::After(_)) || !later.tells_the_cluster())
            // What touches a service that runs wants the checks of all that was made of it before.
            .filter(|(_, later)| phases.iter().all(|one| !one.shares_roles(later) || one.only_starts()))
            .filter(|(_, later)| pipelines.are_through(&self.needed(later)))
    }

    /// The nodes that a cluster phase looks at and works on.
    pub(super) fn needed(&self, approved: &PhasePlan) -> BTreeSet<NodeName> {
        let roles = approved.phase.roles.iter().flat_map(|role| self.source.cluster.with_role(role));
        let own = roles.map(|(node, _)| node.clone());
        own.chain(approved.changes().map(|(node, _)| node.clone())).collect()
    }

    /// The checks of a phase on the nodes that it needs. Nodes that are left out are not asked for what they are not to be yet, and
    /// none is asked for others where only a part of the phase is made.
    pub(super) fn own_checks(
        &self,
        hidden: &[Hidden],
        approved: &PhasePlan,
        needed: &BTreeSet<NodeName>,
    ) -> Vec<CheckRun> {
        let hidden = hidden.iter().filter(|hidden| hidden.phase == approved.phase.name);
        let left_out: BTreeSet<&NodeName> = hidden.flat_map(|hidden| &hidden.nodes).collect();
        let own = |check: &&CheckRun| {
            check.phase == approved.phase.name
                && needed.contains(&check.node)
                && !left_out.contains(&check.node)
        };
        let own = self.checks.iter().filter(own);
        own.map(|check| if approved.partial { check.as_part() } else { check.clone() }).collect()
    }
}

/// That those of `phases` which have not begun were not begun.
fn left(phases: &VecDeque<&PhasePlan>, begun: &BTreeSet<&str>) -> Option<ApplyError> {
    let left = phases.iter().filter(|phase| !begun.contains(phase.phase.name));
    ApplyError::left(left.flat_map(|phase| phase.changes()).map(|(node, _)| node.clone()))
}
