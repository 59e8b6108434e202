//! What is still known of a node when a phase begins there: what it said for the plan, where nothing can have changed since.
//!
//! A phase observes its nodes again before it plans what is left to do. Seconds after the plan was made that would find the
//! same once more, at the price of a probe for each node and phase. So an answer is used again while it is young and no step
//! of any run has begun or ended on its node since: the lock tells of those before this run, the run itself of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cluster::NodeName;
use crate::live::Observed;
use crate::plan::{PhasePlan, Scope};
use crate::resource::{Change, Effect};

/// For how long an answer is used again.
const FRESH: Duration = Duration::from_secs(10);

/// Answers that may be used again.
#[derive(Debug)]
pub struct Seen {
    /// When the nodes were asked.
    begun: Instant,
    observed: Mutex<Observed>,
}

impl Seen {
    /// The answers of nodes that were asked at `begun`, without those where a step has been at work since: `idle` says how
    /// long ago the last one was, in whole seconds.
    pub fn new(mut observed: Observed, begun: Instant, idle: &BTreeMap<NodeName, Duration>) -> Self {
        let since = begun.elapsed() + Duration::from_secs(1);
        observed.retain(|node, _| idle.get(node).is_some_and(|idle| *idle > since));
        Self { begun, observed: Mutex::new(observed) }
    }

    /// What need not be asked of `nodes` for a phase.
    pub(super) fn of(&self, phase: &PhasePlan, nodes: &BTreeSet<NodeName>) -> Observed {
        if self.begun.elapsed() > FRESH || !is_settled(phase) {
            return Observed::new();
        }
        let known = self.observed();
        nodes.iter().filter_map(|node| Some((node.clone(), known.get(node)?.clone()))).collect()
    }

    /// A step begins on `node`. What it changes in a daemon of the cluster, other nodes may see, and who leads may move with a
    /// service that ends.
    pub(super) fn changes(&self, node: &NodeName, changes: &[Change]) {
        let mut known = self.observed();
        if changes.iter().all(|change| is_of_its_node(change) && change.effect < Effect::Stop) {
            known.remove(node);
        } else {
            known.clear();
        }
    }

    fn observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the changes of a phase are the same whoever leads: that may move at any time.
fn is_settled(phase: &PhasePlan) -> bool {
    let nobody_leads = phase.phase.scope == Scope::Node || phase.phase.roles.is_empty();
    phase
        .changes()
        .all(|(_, change)| is_of_its_node(change) && (nobody_leads || change.effect <= Effect::Reload))
}

/// Whether a change is one of a resource, not of what a daemon owns.
fn is_of_its_node(change: &Change) -> bool {
    const KINDS: [&str; 8] =
        ["certificate", "directory", "file", "firewall", "leftovers", "packages", "sysctl", "unit"];
    KINDS.contains(&change.id.kind.as_str())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::live::{Observation, fixture};
    use crate::pki::Trust;
    use crate::plan;
    use crate::resource::{Call, Id, Order, Verb};

    fn observed() -> Observed {
        let seen = || Observation { facts: fixture::facts(13), fields: BTreeMap::new() };
        ["n1", "n2", "n3"].map(|node| (NodeName::from(node), seen())).into()
    }

    fn idle(seconds: u64) -> BTreeMap<NodeName, Duration> {
        ["n1", "n2", "n3"].map(|node| (node.into(), Duration::from_secs(seconds))).into()
    }

    /// What is known for the first phase of bare machines, and for that of etcd, which bootstraps.
    fn known(seen: &Seen) -> [usize; 2] {
        let source = fixture::source(fixture::THREE, Trust::settled("", "0"));
        let plan = plan::build(&source, &observed(), datetime!(2026-01-01 0:00 UTC)).unwrap();
        let nodes = observed().into_keys().collect();
        let of = |name: &str| plan.phases.iter().find(|phase| phase.phase.name == name).unwrap();
        ["packages", "etcd"].map(|name| seen.of(of(name), &nodes).len())
    }

    fn change(kind: &str) -> Change {
        let call = Call::new("f", Vec::<String>::new());
        Change::new(Id::new(kind, "x"), Verb::Update, "", Order::Settle, call)
    }

    #[test]
    fn a_young_answer_counts_but_for_what_a_daemon_owns() {
        assert_eq!(known(&Seen::new(observed(), Instant::now(), &idle(1000))), [3, 0]);
    }

    #[test]
    fn an_answer_from_before_a_step_of_another_run_does_not_count() {
        assert_eq!(known(&Seen::new(observed(), Instant::now(), &idle(1))), [0, 0]);
        assert_eq!(known(&Seen::new(observed(), Instant::now(), &BTreeMap::new())), [0, 0]);
    }

    #[test]
    fn an_old_answer_does_not_count() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(11)).unwrap();
        assert_eq!(known(&Seen::new(observed(), long_ago, &idle(1000))), [0, 0]);
    }

    #[test]
    fn a_step_ends_what_was_known_of_its_node_and_of_all_where_a_daemon_is_told_something() {
        let seen = Seen::new(observed(), Instant::now(), &idle(1000));
        seen.changes(&"n1".into(), &[change("file"), change("unit")]);
        assert_eq!(known(&seen), [2, 0]);
        seen.changes(&"n2".into(), &[change("file"), change("etcd")]);
        assert_eq!(known(&seen), [0, 0]);
    }
}
