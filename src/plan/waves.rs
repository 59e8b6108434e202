//! In what order the nodes of a phase are changed, so that no quorum and no leader is lost.
//!
//! What the cluster shares goes first, and what prepares the rest; then what clients cannot notice, everywhere at once.
//! Restarts follow, as many at a time as the role allows, members that come to etcd before those that restart; the leader of
//! PostgreSQL is last, after its leadership has moved.
//! Only where PostgreSQL itself wants its leader restarted before its standbys does it go ahead of them, in its place.
//! Services that leave a node do so one at a time when all that stays holds. Behind all of them comes what follows.
//!
//! Where many nodes would change at the same time, one of them goes first, alone: what is wrong with a change then shows
//! on one node.

use std::collections::{BTreeMap, BTreeSet};

use super::{Phase, PhasePlan, Plan, Scope, Step, Wave};
use crate::cluster::NodeName;
use crate::live::{self, ClusterView, Observed};
use crate::render::Source;
use crate::resource::{Change, Effect};
use crate::role::Manifest;

/// So many nodes may change at the same time without one of them going first.
const FEW: usize = 4;

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
    let mut prepared = Wave::default();
    let mut gentle = Wave::default();
    let mut rolling: Vec<Step> = Vec::new();
    let mut ahead = Wave::default();
    let mut leading: Option<Step> = None;
    let mut leaving: Vec<Step> = Vec::new();
    let mut behind = Wave::default();
    for (node, changes) in steps {
        // What all members share is there before any of them starts with it, or restarts for it.
        let (common, own): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.cluster_wide);
        if !common.is_empty() {
            shared.steps.push(Step { node: node.clone(), changes: common });
        }
        let (before, own): (Vec<_>, Vec<_>) = own.into_iter().partition(|change| change.ahead.is_some());
        if !before.is_empty() {
            prepared.steps.push(Step { node: node.clone(), changes: before });
        }
        let (last, own): (Vec<_>, Vec<_>) = own.into_iter().partition(|change| change.last);
        if !last.is_empty() {
            behind.steps.push(Step { node: node.clone(), changes: last });
        }
        // A phase of nodes knows no waves: there it is the first thing of the step.
        let waits = phase.scope == Scope::Cluster && !source.trust.severed;
        let leaves = |change: &Change| waits && change.effect == Effect::Stop;
        let (stops, own): (Vec<_>, Vec<_>) = own.into_iter().partition(leaves);
        if !stops.is_empty() {
            leaving.push(Step { node: node.clone(), changes: stops });
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
    // A password that has changed for all is wanted everywhere at once.
    let password = shared.steps.iter().flat_map(|step| &step.changes).any(|change| change.id.kind == "role");
    let together = source.trust.severed || password || gentle.agrees(source, phase);
    let canary = if together { Wave::default() } else { gentle.canary(leader.as_ref()) };
    let mut waves: Vec<Wave> =
        [shared, prepared, canary, gentle, ahead].into_iter().filter(|wave| !wave.steps.is_empty()).collect();
    let at_a_time = at_a_time(source, phase);
    rolling.sort_by_key(|step| !step.changes.iter().any(live::is_etcd_join));
    waves.extend(one_after_the_other(rolling, at_a_time));
    if let Some(step) = leading {
        waves.extend(leader_waves(source, observed, step));
    }
    waves.extend(one_after_the_other(leaving, at_a_time));
    if !behind.steps.is_empty() {
        waves.push(behind);
    }
    (!waves.is_empty()).then_some(PhasePlan { phase, waves, partial: false })
}

fn one_after_the_other(steps: Vec<Step>, at_a_time: usize) -> impl Iterator<Item = Wave> {
    let mut steps = steps.into_iter().peekable();
    std::iter::from_fn(move || {
        steps.peek()?;
        Some(Wave { steps: steps.by_ref().take(at_a_time).collect(), ..Wave::default() })
    })
}

impl Step {
    /// Where nothing verifies, what went one after the other would wait for what cannot come.
    fn at_once(&mut self) {
        let restarts = self.changes.iter_mut().filter(|change| change.effect >= Effect::Restart);
        restarts.for_each(|change| change.effect = Effect::Downtime);
    }
}

impl Wave {
    /// Whether a service is touched whose nodes do not understand each other while they are not alike.
    fn agrees(&self, source: &Source, phase: &Phase) -> bool {
        let units = manifests(source, phase).filter(|manifest| manifest.rolling.together);
        let units: Vec<&str> =
            units.flat_map(|manifest| &manifest.units).map(|unit| unit.name.as_str()).collect();
        let mut changes = self.steps.iter().flat_map(|step| &step.changes);
        changes.any(|change| change.id.kind == "unit" && units.contains(&change.id.name.as_str()))
    }

    /// Takes the step out that goes first, of a node that does not lead, where more than a few that run are touched.
    fn canary(&mut self, leader: Option<&NodeName>) -> Self {
        let touches = |step: &&Step| step.changes.iter().any(|change| change.effect >= Effect::Reload);
        let fit = |step: &Step| touches(&step) && leader != Some(&step.node);
        let many = self.steps.iter().filter(touches).count() > FEW;
        let place = many.then(|| self.steps.iter().position(fit)).flatten();
        Self { steps: place.map(|place| self.steps.remove(place)).into_iter().collect(), canary: true }
    }
}

impl Plan {
    /// The node that goes through its node phases before any other one begins: where more than a few that are not installed
    /// for the first time have work there.
    pub fn canary(&self) -> Option<&NodeName> {
        let of_nodes = || self.phases.iter().filter(|phase| phase.phase.scope == Scope::Node);
        let changes = || of_nodes().flat_map(PhasePlan::changes);
        let installed = changes().filter(|(_, change)| change.id.kind == "packages").map(|(node, _)| node);
        let installed: BTreeSet<&NodeName> = installed.collect();
        let running: BTreeSet<&NodeName> =
            changes().map(|(node, _)| node).filter(|node| !installed.contains(node)).collect();
        running.first().copied().filter(|_| running.len() > FEW)
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
    waves
        .into_iter()
        .filter(|steps| !steps.is_empty())
        .map(|steps| Wave { steps, ..Wave::default() })
        .collect()
}

fn manifests<'a>(source: &'a Source, phase: &'a Phase) -> impl Iterator<Item = &'a Manifest> {
    source.library.roles.values().filter(|manifest| manifest.phase == phase.name)
}

/// What the roles of this phase that the cluster runs allow, the least of it.
fn at_a_time(source: &Source, phase: &Phase) -> usize {
    let runs = |role: &str| source.cluster.with_role(role).next().is_some();
    manifests(source, phase)
        .filter(|manifest| runs(&manifest.role))
        .map(|manifest| manifest.rolling.at_a_time)
        .filter(|count| *count > 0)
        .min()
        .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::fixture;
    use crate::pki::Trust;
    use crate::plan::PHASES;
    use crate::resource::{Call, Id, Order, Verb};
    use crate::role::{Manifest, Rolling};

    #[test]
    fn a_role_that_no_node_runs_holds_nobody_back() {
        let mut source = fixture::source(fixture::MIXED, Trust::settled("authority", "0"));
        let phase = PHASES.iter().find(|phase| phase.name == "services").unwrap();
        let rolling = Rolling { at_a_time: 0, ..Rolling::default() };
        let own = Manifest { role: "own".into(), rolling, ..source.library.roles["nginx"].clone() };
        source.library.roles.insert("own".into(), own);
        let mut place = |role: &str| {
            source.cluster.nodes.get_mut(&NodeName::from("a1")).unwrap().roles.insert(role.to_owned());
            at_a_time(&source, phase)
        };
        assert_eq!(place("own"), usize::MAX);
        assert_eq!(place("nginx"), 1);
    }

    fn change(kind: &str, effect: Effect) -> Change {
        let call = Call::new("x", Vec::<String>::new());
        Change { effect, ..Change::new(Id::new(kind, "x"), Verb::Update, "x", Order::Commit, call) }
    }

    fn phase(name: &str) -> &'static Phase {
        PHASES.iter().find(|phase| phase.name == name).unwrap()
    }

    /// The nodes of each wave of haproxy's phase, where node number `n` has a change with the `n`th effect.
    fn waves(effects: &[Effect], trust: Trust) -> Vec<usize> {
        let source = fixture::source(fixture::MIXED, trust);
        let steps = effects.iter().enumerate().map(|(number, effect)| {
            (NodeName::from(format!("n{number}").as_str()), vec![change("unit", *effect)])
        });
        let plan = arrange(&source, phase("haproxy"), &Observed::new(), steps.collect()).unwrap();
        plan.waves.iter().map(|wave| wave.steps.len()).collect()
    }

    #[test]
    fn of_many_nodes_that_reload_one_goes_first() {
        let settled = || Trust::settled("ca", "0");
        assert_eq!(waves(&[Effect::Reload; 5], settled()), [1, 4]);
        assert_eq!(waves(&[Effect::Reload; 4], settled()), [4], "they are few");
        assert_eq!(waves(&[Effect::Start; 5], settled()), [5], "nothing runs yet");
        let grown = [Effect::Reload, Effect::Reload, Effect::Reload, Effect::Start, Effect::Start];
        assert_eq!(waves(&grown, settled()), [5], "those that run are few");
        assert_eq!(
            waves(&[Effect::Reload; 5], Trust::replaced("ca", "0")),
            [5],
            "no gate can hold before all changed"
        );
    }

    #[test]
    fn nodes_that_must_agree_change_together() {
        let source = fixture::source(fixture::MIXED, Trust::settled("ca", "0"));
        let waves = |phase: &str, unit: &str, shared: bool| -> Vec<usize> {
            let reload = |n: usize| {
                let change = Change { id: Id::new("unit", unit), ..change("unit", Effect::Reload) };
                (NodeName::from(format!("n{n}").as_str()), vec![change])
            };
            let mut steps: BTreeMap<_, _> = (0..5).map(reload).collect();
            let password = Change { cluster_wide: true, ..change("role", Effect::None) };
            steps.entry("n0".into()).or_default().extend(shared.then_some(password));
            let phase = PHASES.iter().find(|one| one.name == phase).unwrap();
            let plan = arrange(&source, phase, &Observed::new(), steps).unwrap();
            plan.waves.iter().map(|wave| wave.steps.len()).collect()
        };
        assert_eq!(waves("haproxy", "haproxy", false), [1, 4]);
        assert_eq!(waves("haproxy", "keepalived", false), [5], "an address would be held twice");
        assert_eq!(waves("pgbouncer", "pgbouncer", false), [1, 4]);
        assert_eq!(waves("pgbouncer", "pgbouncer", true), [1, 5], "the password has changed for all");
    }

    #[test]
    fn it_is_one_that_runs_and_does_not_lead() {
        let step = |node: &str, effect| Step { node: node.into(), changes: vec![change("unit", effect)] };
        let mut steps = vec![step("n0", Effect::Start), step("n1", Effect::Reload)];
        steps.extend(["n2", "n3", "n4", "n5"].map(|node| step(node, Effect::Reload)));
        let first = |leader: &str| {
            let mut wave = Wave { steps: steps.clone(), ..Wave::default() };
            let first = wave.canary(Some(&leader.into()));
            let asked = |wave: &Wave| ["n1", "n2"].map(|node| wave.asks(&node.into()));
            assert_eq!((asked(&first), asked(&wave)), ([leader != "n1", leader == "n1"], [true, true]));
            (first.steps[0].node.to_string(), wave.steps.len())
        };
        assert_eq!(first("n3"), ("n1".to_owned(), 5));
        assert_eq!(first("n1"), ("n2".to_owned(), 5));
    }

    #[test]
    fn in_the_node_phases_one_node_goes_first_unless_all_are_new() {
        let plan = |kinds: &[&str]| {
            let steps = kinds.iter().enumerate().map(|(number, kind)| Step {
                node: format!("n{number}").as_str().into(),
                changes: vec![change(kind, Effect::None)],
            });
            let waves = vec![Wave { steps: steps.collect(), ..Wave::default() }];
            Plan {
                phases: vec![PhasePlan { phase: phase("base"), waves, partial: false }],
                ..Plan::default()
            }
        };
        let canary = |kinds: &[&str]| plan(kinds).canary().map(ToString::to_string);
        assert_eq!(canary(&["sysctl"; 5]), Some("n0".into()));
        assert_eq!(canary(&["sysctl"; 4]), None);
        assert_eq!(canary(&["packages"; 9]), None);
        let grown = ["packages", "sysctl", "sysctl", "sysctl", "sysctl", "sysctl"];
        assert_eq!(canary(&grown), Some("n1".into()), "a new node tells nothing of those that run");
    }
}
