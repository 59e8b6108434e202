//! What a run proves: the checks of each phase, and behind the last one those of the whole cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::restore::is_of;
use super::{Apply, ApplyError, Event};
use crate::cluster::NodeName;
use crate::plan::{CheckRun, PhasePlan};
use crate::render::RenderError;
use crate::transport::{Exec, quote};
use crate::verdict::Verdict;
use crate::verify;

/// How long a node may take to print the end of its journal.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// What proves a phase.
#[derive(Default)]
pub struct Proof<'a> {
    /// Its checks.
    pub own: Vec<CheckRun>,
    /// Phases that are made while those are waited for.
    pub early: Vec<&'a PhasePlan>,
    /// Nothing is left to be made then.
    pub last: bool,
}

impl Apply {
    /// Waits for the checks of a phase to hold, and makes the early phases meanwhile. Behind the last phase every other check is
    /// run as soon as those are made: the verdicts of all, unless one fails, which may need more time than it had.
    pub(super) async fn proven(&self, proof: &Proof<'_>) -> Result<Option<Vec<Verdict>>, ApplyError> {
        let missed = Notify::new();
        let own = async {
            let verdicts = self.verdicts(&proof.own).await;
            if verdicts.iter().any(Verdict::fails) {
                missed.notify_one();
            }
            verdicts
        };
        let others = async {
            let made = join_all(proof.early.iter().map(|later| self.make_early(later))).await;
            let errors: Vec<ApplyError> = made.into_iter().filter_map(Result::err).collect();
            if !proof.last || !errors.is_empty() {
                return (errors, None);
            }
            tokio::select! {
                all = self.all_others(proof) => (errors, Some(all)),
                () = missed.notified() => (errors, None),
            }
        };
        let (own, (errors, others)) = tokio::join!(own, others);
        let held = self.held(&proof.own, own.clone()).await;
        ApplyError::of_all(held.err().into_iter().chain(errors))?;
        let Some(mut all) = others.transpose()? else { return Ok(None) };
        if proof.early.is_empty() {
            all.extend(own);
        }
        Ok(Some(verify::in_order(all)).filter(|all| !all.iter().any(Verdict::fails)))
    }

    /// The verdicts of all checks but those of `proof`. What the early phases have changed is looked at again.
    async fn all_others(&self, proof: &Proof<'_>) -> Result<Vec<Verdict>, RenderError> {
        let is_own =
            |check: &&CheckRun| proof.own.iter().any(|own| own.node == check.node && own.name == check.name);
        let again = !proof.early.is_empty();
        let left: Vec<CheckRun> =
            self.checks.iter().filter(|check| again || !is_own(check)).cloned().collect();
        self.say(Event::Checking { checks: left.len() });
        verify::everything(&self.source, &self.hosts, &left).await
    }

    /// Waits for `checks` to hold.
    pub(super) async fn check(&self, checks: &[CheckRun]) -> Result<(), ApplyError> {
        let verdicts = self.verdicts(checks).await;
        self.held(checks, verdicts).await
    }

    /// Whether those `checks` hold that have these verdicts.
    async fn held(&self, checks: &[CheckRun], mut verdicts: Vec<Verdict>) -> Result<(), ApplyError> {
        verdicts.retain(Verdict::fails);
        if verdicts.is_empty() {
            return Ok(());
        }
        let journals = self.last_words(checks, &verdicts).await;
        Err(ApplyError::Checks { verdicts, journals })
    }

    /// Those of `checks` that do not hold.
    pub(super) async fn failing(&self, checks: &[CheckRun]) -> Vec<Verdict> {
        let mut verdicts = self.verdicts(checks).await;
        verdicts.retain(Verdict::fails);
        verdicts
    }

    async fn verdicts(&self, checks: &[CheckRun]) -> Vec<Verdict> {
        if checks.is_empty() {
            return Vec::new();
        }
        self.say(Event::Checking { checks: checks.len() });
        let verdicts = verify::run(&self.hosts, checks).await;
        for verdict in &verdicts {
            self.say(Event::Checked(verdict.clone()));
        }
        verdicts
    }

    /// What the services of failed checks have said last: one that starts and then ends is seen by its check alone.
    async fn last_words(&self, checks: &[CheckRun], failed: &[Verdict]) -> BTreeMap<NodeName, String> {
        let mut units: BTreeMap<&NodeName, BTreeSet<&String>> = BTreeMap::new();
        for verdict in failed {
            let of = checks.iter().filter(|check| is_of(verdict, check)).flat_map(|check| &check.units);
            units.entry(&verdict.node).or_default().extend(of);
        }
        let asked = units.into_iter().filter(|(_, units)| !units.is_empty()).map(async |(node, units)| {
            let mut script = String::from("set --");
            for unit in units {
                let _ = write!(script, " -u {}", quote(&format!("{unit}.service")));
            }
            let script = format!("{script}\n{}", include_str!("last_words.sh"));
            let reply = self.hosts.get(node)?.run(Exec::script(script, LAST_WORDS)).await.ok()?;
            Some((node.clone(), reply.stdout)).filter(|(_, said)| !said.trim().is_empty())
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}
