//! Puts back certificates that their services do not serve: what a run cannot prove, it does not leave behind.

use std::collections::{BTreeMap, BTreeSet};

use super::{Apply, ApplyError, Restored};
use crate::cluster::NodeName;
use crate::plan::{CheckRun, Phase, Step};
use crate::resource::{Arg, Call, Change, Id, Order, Verb};
use crate::verdict::Verdict;

impl Apply {
    /// Brings back certificates of `made` that are not served, after `error` has ended their phase; what became of each.
    pub(super) async fn put_back(
        &self,
        phase: &'static Phase,
        made: &[Step],
        checks: &[CheckRun],
        error: &ApplyError,
    ) -> Option<ApplyError> {
        // What was there before does not verify either; what another run may be changing is not ours.
        if self.source.trust.severed || self.brake.lock_is_lost() {
            return None;
        }
        let proofs = proofs(made, checks);
        let mut failed = failed_of(&proofs, error);
        if failed.is_empty() {
            // What ended the phase came before they were looked at.
            failed = self.failing(&proofs).await;
        }
        let mut restored = Vec::new();
        for step in steps(made, &proofs, &failed, &broken(error)) {
            if self.brake.lock_is_lost() {
                break;
            }
            let node = step.node.clone();
            let paths: Vec<String> = certificates(&step).map(|change| change.id.name.clone()).collect();
            let error = self.make(phase, step).await.err().map(|error| error.to_string());
            let back = |path| Restored { node: node.clone(), path, error: error.clone() };
            restored.extend(paths.into_iter().map(back));
        }
        self.prove(&mut restored, &proofs).await;
        (!restored.is_empty()).then_some(ApplyError::PutBack(restored))
    }

    /// Looks whether what was put back is served, at least.
    async fn prove(&self, restored: &mut [Restored], proofs: &[CheckRun]) {
        let of = |one: &Restored, check: &CheckRun| {
            check.node == one.node && check.proves == Some(Id::new("certificate", &one.path))
        };
        let back: Vec<CheckRun> = proofs
            .iter()
            .filter(|check| restored.iter().any(|one| one.error.is_none() && of(one, check)))
            .cloned()
            .collect();
        let failed = self.failing(&back).await;
        for one in restored.iter_mut().filter(|one| one.error.is_none()) {
            let own = back.iter().filter(|check| of(one, check));
            let mut failed = own.filter_map(|check| failed.iter().find(|verdict| is_of(verdict, check)));
            one.error = failed.next().map(|verdict| format!("it is not served either: {}", verdict.reason));
        }
    }
}

pub(super) fn is_of(verdict: &Verdict, check: &CheckRun) -> bool {
    verdict.node == check.node && verdict.name == check.name
}

fn certificates(step: &Step) -> impl Iterator<Item = &Change> {
    step.changes.iter().filter(|change| change.id.kind == "certificate" && change.verb == Verb::Update)
}

/// The checks that prove the certificates of `made` to be served.
fn proofs(made: &[Step], checks: &[CheckRun]) -> Vec<CheckRun> {
    let proves = |check: &&CheckRun| {
        let mut own = made.iter().filter(|step| step.node == check.node).flat_map(certificates);
        own.any(|change| check.proves.as_ref() == Some(&change.id))
    };
    checks.iter().filter(proves).cloned().collect()
}

/// The `proofs` that `error` says have failed.
fn failed_of(proofs: &[CheckRun], error: &ApplyError) -> Vec<Verdict> {
    let verdicts = error.each().iter().filter_map(|error| match error {
        ApplyError::Checks { verdicts, .. } => Some(verdicts),
        _ => None,
    });
    let own = |verdict: &&Verdict| proofs.iter().any(|check| is_of(verdict, check));
    verdicts.flatten().filter(own).cloned().collect()
}

/// The nodes on which a change has failed.
fn broken(error: &ApplyError) -> BTreeSet<&NodeName> {
    let failed = error.each().iter().filter_map(|error| match error {
        ApplyError::Change { node, .. } => Some(node),
        _ => None,
    });
    failed.collect()
}

/// The steps that bring back, on each node, the certificates of `made` of which a proof has failed, and on `broken` nodes
/// those that nothing can prove; each service takes them as it took the new ones.
fn steps(made: &[Step], proofs: &[CheckRun], failed: &[Verdict], broken: &BTreeSet<&NodeName>) -> Vec<Step> {
    let mut by_node: BTreeMap<&NodeName, Vec<Change>> = BTreeMap::new();
    for step in made {
        let unproven = |id: &Id| {
            let own =
                || proofs.iter().filter(|check| check.node == step.node && check.proves.as_ref() == Some(id));
            if own().next().is_none() {
                return broken.contains(&step.node);
            }
            own().any(|check| failed.iter().any(|verdict| is_of(verdict, check)))
        };
        let back: Vec<Change> =
            certificates(step).filter(|change| unproven(&change.id)).filter_map(restored).collect();
        if back.is_empty() {
            continue;
        }
        let units = step.changes.iter().filter(|change| change.id.kind == "unit").cloned();
        by_node.entry(&step.node).or_default().extend(back.into_iter().chain(units));
    }
    by_node.into_iter().map(|(node, changes)| Step { node: node.clone(), changes }).collect()
}

/// The opposite of a change that put a certificate in its place.
fn restored(change: &Change) -> Option<Change> {
    let (_, applied) = change.calls.iter().find(|(_, call)| call.function == "certificate_apply")?;
    let mut words = applied.args.iter().filter_map(|arg| match arg {
        Arg::Text(text) => Some(text.clone()),
        Arg::Payload(_) => None,
    });
    let call = Call::new("certificate_restore", [words.next()?, words.next()?]);
    Some(Change::new(change.id.clone(), Verb::Update, "the new one is not served", Order::Stage, call))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Outcome;

    const PATH: &str = "/etc/pgbouncer/tls/server";

    fn made(verb: Verb) -> Step {
        let id = Id::new("certificate", PATH);
        let call = Call::new("certificate_apply", [PATH, "pair", "root:postgres", "0640"]);
        let unit = Call::new("unit_reload", ["pgbouncer"]);
        Step {
            node: "a1".into(),
            changes: vec![
                Change::new(id, verb, "asked for", Order::Stage, call),
                Change::new(Id::new("unit", "pgbouncer"), Verb::Update, "changes", Order::Activate, unit),
            ],
        }
    }

    fn proof() -> CheckRun {
        CheckRun {
            phase: "pgbouncer".into(),
            name: "pgbouncer/certificate-6432".into(),
            title: String::new(),
            node: "a1".into(),
            gate: false,
            proves: Some(Id::new("certificate", PATH)),
            units: Vec::new(),
            script: String::new(),
            vars: BTreeMap::new(),
            within: 1,
        }
    }

    /// The calls on each node, where the check that is named fails.
    fn restored_on(verb: Verb, failing: &str) -> Vec<(String, Vec<&'static str>)> {
        let verdict = Verdict {
            name: failing.into(),
            title: String::new(),
            node: "a1".into(),
            outcome: Outcome::Fail,
            reason: String::new(),
        };
        calls(&steps(&[made(verb)], &[proof()], &[verdict], &BTreeSet::new()))
    }

    fn calls(steps: &[Step]) -> Vec<(String, Vec<&'static str>)> {
        let calls = |step: &Step| {
            step.changes.iter().flat_map(|change| &change.calls).map(|(_, call)| call.function).collect()
        };
        steps.iter().map(|step| (step.node.to_string(), calls(step))).collect()
    }

    #[test]
    fn one_that_is_not_served_goes_back_and_its_service_takes_it() {
        let back = restored_on(Verb::Update, "pgbouncer/certificate-6432");
        assert_eq!(back, [("a1".to_owned(), vec!["certificate_restore", "unit_reload"])]);
    }

    #[test]
    fn another_check_that_fails_brings_nothing_back_and_a_first_certificate_has_none_before_it() {
        assert_eq!(restored_on(Verb::Update, "pgbouncer/write-and-read"), []);
        assert_eq!(restored_on(Verb::Create, "pgbouncer/certificate-6432"), []);
    }

    #[test]
    fn what_no_port_proves_goes_back_where_its_step_failed_and_nowhere_else() {
        let node = NodeName::from("a1");
        let back = |broken| calls(&steps(&[made(Verb::Update)], &[], &[], &broken)).len();
        assert_eq!((back(BTreeSet::from([&node])), back(BTreeSet::new())), (1, 0));
    }

    #[test]
    fn only_what_was_made_anew_is_to_be_proven() {
        assert_eq!(proofs(&[made(Verb::Update)], &[proof()]).len(), 1);
        assert_eq!(proofs(&[made(Verb::Create)], &[proof()]).len(), 0);
    }
}
