//! Phases that are at work while the nodes of another one are waited for.

use std::future::{Future, pending};
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::ApplyError;
use crate::plan::PhasePlan;

type Work<'a> = Pin<Box<dyn Future<Output = (&'a PhasePlan, Result<(), ApplyError>)> + Send + 'a>>;

/// The phases at work, and why others have failed.
#[derive(Default)]
pub struct Meanwhile<'a> {
    works: FuturesUnordered<Work<'a>>,
    at_work: Vec<&'a PhasePlan>,
    errors: Vec<ApplyError>,
}

impl<'a> Meanwhile<'a> {
    /// A phase begins.
    pub fn begin(
        &mut self,
        phase: &'a PhasePlan,
        work: impl Future<Output = Result<(), ApplyError>> + Send + 'a,
    ) {
        self.at_work.push(phase);
        self.works.push(Box::pin(async move { (phase, work.await) }));
    }

    /// Whether a phase shares a role with one that is at work.
    pub fn concerns(&self, phase: &PhasePlan) -> bool {
        self.at_work.iter().any(|one| one.shares_roles(phase))
    }

    /// Waits until one more has ended; for ever where none is at work.
    pub async fn one(&mut self) {
        let Some((phase, done)) = self.works.next().await else { return pending().await };
        self.at_work.retain(|one| one.phase != phase.phase);
        self.errors.extend(done.err());
    }

    /// Whether one has failed.
    pub fn has_failed(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Whether none is at work.
    pub fn is_done(&self) -> bool {
        self.works.is_empty()
    }

    /// Waits for all: a step that is cut off helps nobody. Why some have failed.
    pub async fn end(mut self) -> Vec<ApplyError> {
        while !self.works.is_empty() {
            self.one().await;
        }
        self.errors
    }
}
