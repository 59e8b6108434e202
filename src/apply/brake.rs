//! Why a run begins no further step: enough nodes have failed, or it must not go on.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ApplyError;
use crate::cluster::NodeName;

/// Asked before each step. Steps that are under way are never cut off by it.
#[derive(Debug)]
pub struct Brake {
    /// So many failed nodes are enough.
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failed: BTreeSet<NodeName>,
    /// A phase has failed as a whole.
    over: bool,
    /// A node has been told to change something.
    begun: bool,
    halt: Option<Halt>,
}

impl State {
    fn lock_is_lost(&self) -> bool {
        matches!(self.halt, Some(Halt::LockLost(_)))
    }
}

/// Why a run is stopped from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// Somebody wants it to end.
    Interrupted,
    /// Another run may hold this node now.
    LockLost(NodeName),
}

impl Brake {
    /// One that `most` failed nodes put on.
    pub fn new(most: usize) -> Self {
        Self { most, state: Mutex::default() }
    }

    /// Stops the run before its next step; false where it has been stopped so already. That the lock is lost is the graver
    /// reason, whichever comes first.
    pub fn halt(&self, why: Halt) -> bool {
        let mut state = self.state();
        let first = state.halt.is_none();
        if first || (matches!(why, Halt::LockLost(_)) && !state.lock_is_lost()) {
            state.halt = Some(why);
        }
        first
    }

    /// A node is told to change something.
    pub(super) fn begun(&self) {
        self.state().begun = true;
    }

    /// Whether a node has been told to change something.
    pub fn has_begun(&self) -> bool {
        self.state().begun
    }

    /// A node's work has failed.
    pub(super) fn failed(&self, node: &NodeName) {
        self.state().failed.insert(node.clone());
    }

    /// A phase has failed, or the node that went first, and what comes behind it needs it.
    pub(super) fn over(&self) {
        self.state().over = true;
    }

    /// Whether no further step may begin.
    pub(super) fn is_on(&self) -> bool {
        let state = self.state();
        state.over || state.halt.is_some() || state.failed.len() >= self.most
    }

    /// Whether another run may be at work on the nodes.
    pub(super) fn lock_is_lost(&self) -> bool {
        self.state().lock_is_lost()
    }

    /// Why the run was stopped from outside, where it was.
    pub(super) fn halted(&self) -> Option<ApplyError> {
        self.state().halt.clone().map(ApplyError::Halted)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_once_enough_nodes_have_failed_each_counted_once() {
        let brake = Brake::new(2);
        brake.failed(&"n1".into());
        brake.failed(&"n1".into());
        assert!(!brake.is_on());
        brake.failed(&"n2".into());
        assert!(brake.is_on() && brake.halted().is_none());
    }

    #[test]
    fn from_outside_it_is_put_on_once() {
        let brake = Brake::new(9);
        assert!(brake.halt(Halt::Interrupted) && brake.is_on());
        assert!(!brake.halt(Halt::Interrupted) && !brake.lock_is_lost(), "the second one finds it on");
        assert!(!brake.halt(Halt::LockLost("n1".into())) && brake.lock_is_lost());
        assert!(!brake.halt(Halt::LockLost("n2".into())) && !brake.halt(Halt::Interrupted));
        let halted = brake.halted();
        assert!(matches!(&halted, Some(ApplyError::Halted(Halt::LockLost(node))) if node.as_str() == "n1"));
    }
}
