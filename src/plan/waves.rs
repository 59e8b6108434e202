//! In what order the nodes of a phase are changed, so that no quorum and no leader is lost.
//!
//! What the cluster shares goes first, then what clients cannot notice, everywhere at once. Restarts follow, as many at
//! a time as the role allows; the leader of PostgreSQL is last, after its leadership has moved. Only where PostgreSQL
//! itself wants its leader restarted before its standbys does it go ahead of them, in its place. Behind all of them comes
//! what follows from them.

use std::collections::BTreeMap;

use super::{Phase, PhasePlan, Step, Wave};
use crate::cluster::NodeName;
use crate::live::{self, ClusterView, Observed};
use crate::render::Source;
use crate::resource::{Change, Effect};
use crate::role::Manifest;

/// The steps of a phase as waves; `None` where there are none.
pub fn arrange(
    source: &Source,
    phase: &'static Phase,
    observed: &Observed,
    steps: BTreeMap<NodeName, Vec<Change>>,
) -> Option<PhasePlan> {
    let leader = ClusterView::read(source, observed)
        .filter(|_| manifests(source, phase).any(|manifest| manifest.rolling.leader_last))
        .and_then(|view| view.leader().map(|leader| NodeName::from(leader.name.as_str())));
    let mut shared = Wave::default();
    let mut gentle = Wave::default();
    let mut rolling: Vec<Step> = Vec::new();
    let mut ahead = Wave::default();
    let mut leading: Option<Step> = None;
    let mut behind = Wave::default();
    for (node, changes) in steps {
        // What all members share is there before any of them starts with it, or restarts for it.
        let (common, own): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.cluster_wide);
        if !common.is_empty() {
            shared.steps.push(Step { node: node.clone(), changes: common });
        }
        let (last, own): (Vec<_>, Vec<_>) = own.into_iter().partition(|change| change.last);
        if !last.is_empty() {
            behind.steps.push(Step { node: node.clone(), changes: last });
        }
        if own.is_empty() {
            continue;
        }
        let effect = own.iter().map(|change| change.effect).max().unwrap_or_default();
        let leads = leader.as_ref() == Some(&node);
        let mut step = Step { node, changes: own };
        if source.trust.severed {
            step.at_once();
            gentle.steps.push(step);
            continue;
        }
        match (effect, leads) {
            (Effect::Downtime, _) => ahead.steps.push(step),
            (Effect::Restart | Effect::Switchover, true) => leading = Some(step),
            (Effect::Restart | Effect::Switchover, false) => rolling.push(step),
            _ => gentle.steps.push(step),
        }
    }
    let mut waves: Vec<Wave> =
        [shared, gentle, ahead].into_iter().filter(|wave| !wave.steps.is_empty()).collect();
    let at_a_time = at_a_time(source, phase);
    let mut rolling = rolling.into_iter().peekable();
    while rolling.peek().is_some() {
        waves.push(Wave { steps: rolling.by_ref().take(at_a_time).collect() });
    }
    if let Some(step) = leading {
        waves.extend(leader_waves(source, observed, step));
    }
    if !behind.steps.is_empty() {
        waves.push(behind);
    }
    (!waves.is_empty()).then_some(PhasePlan { phase, waves, partial: false })
}

impl Step {
    /// Where nothing verifies, what went one after the other would wait for what cannot come.
    fn at_once(&mut self) {
        let restarts = self.changes.iter_mut().filter(|change| change.effect >= Effect::Restart);
        restarts.for_each(|change| change.effect = Effect::Downtime);
    }
}

/// The leader's step, behind a move of the leadership where it does not hold one itself. Clients wait through the move,
/// but not for what PostgreSQL still has to write.
fn leader_waves(source: &Source, observed: &Observed, step: Step) -> Vec<Wave> {
    let why = "the leadership moves";
    let of = |node: &NodeName, change: Change| Step { node: node.clone(), changes: vec![change] };
    let leader = step.node.clone();
    let moves = step.changes.iter().any(|change| change.effect == Effect::Switchover);
    let hand_over = if moves { None } else { live::hand_over(source, &leader, "it has to restart") };
    let before = live::checkpoint(source, &leader, why).map(|change| of(&leader, change));
    let holds = live::holds(source, observed).into_iter().map(|(node, change)| of(&node, change));
    let waves = [
        before.into_iter().collect::<Vec<Step>>(),
        holds.collect(),
        hand_over.map(|change| of(&leader, change)).into_iter().collect(),
        vec![step],
    ];
    waves.into_iter().filter(|steps| !steps.is_empty()).map(|steps| Wave { steps }).collect()
}

fn manifests<'a>(source: &'a Source, phase: &'a Phase) -> impl Iterator<Item = &'a Manifest> {
    source.library.roles.values().filter(|manifest| manifest.phase == phase.name)
}

fn at_a_time(source: &Source, phase: &Phase) -> usize {
    manifests(source, phase)
        .map(|manifest| manifest.rolling.at_a_time)
        .filter(|count| *count > 0)
        .min()
        .unwrap_or(usize::MAX)
}
