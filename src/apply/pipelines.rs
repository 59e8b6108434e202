//! The node phases: each node goes through its own as fast as it can, whatever the others do.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Apply, ApplyError};
use crate::cluster::NodeName;
use crate::plan::Plan;
use crate::tasks::outcome;

/// The nodes at work, and what became of the others.
#[derive(Default)]
pub struct Pipelines {
    tasks: JoinSet<(NodeName, Result<(), ApplyError>)>,
    pending: BTreeSet<NodeName>,
    failed: BTreeSet<NodeName>,
    errors: Vec<ApplyError>,
}

impl Pipelines {
    /// A node begins.
    pub fn begin(&mut self, apply: &Arc<Apply>, plan: &Arc<Plan>, node: &NodeName) {
        let (apply, plan, node) = (Arc::clone(apply), Arc::clone(plan), node.clone());
        self.pending.insert(node.clone());
        self.tasks.spawn(async move {
            let done = apply.node_pipeline(&plan, &node).await;
            (node, done)
        });
    }

    /// Waits until enough nodes have ended, well or not.
    pub async fn until(&mut self, enough: impl Fn(&BTreeSet<NodeName>) -> bool) {
        while !enough(&self.pending) && !self.tasks.is_empty() {
            self.one().await;
        }
    }

    /// Waits until one more node has ended.
    pub async fn one(&mut self) {
        if let Some((node, done)) = self.tasks.join_next().await.map(outcome) {
            self.pending.remove(&node);
            if let Err(error) = done {
                self.errors.push(error);
                self.failed.insert(node);
            }
        }
    }

    /// Whether none of `needed` is at work any more.
    pub fn are_over(&self, needed: &BTreeSet<NodeName>) -> bool {
        needed.is_disjoint(&self.pending) || self.tasks.is_empty()
    }

    /// Whether all of `needed` have come through.
    pub fn are_through(&self, needed: &BTreeSet<NodeName>) -> bool {
        needed.is_disjoint(&self.pending) && needed.is_disjoint(&self.failed)
    }

    /// Whether all nodes have come through.
    pub fn are_done(&self) -> bool {
        self.pending.is_empty() && self.failed.is_empty()
    }

    /// Whether any has not come through.
    pub fn have_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Waits for all: a step that is cut off helps nobody. Why some have not come through.
    pub async fn end(mut self) -> Vec<ApplyError> {
        self.until(BTreeSet::is_empty).await;
        self.errors
    }
}
