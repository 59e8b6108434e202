//! Puts back certificates that their services do not serve: what a run cannot prove, it does not leave behind.

use std::collections::BTreeMap;

use crate::cluster::NodeName;
use crate::plan::{CheckRun, Step};
use crate::resource::{Arg, Call, Change, Id, Order, Verb};
use crate::verify::Verdict;

/// The steps that bring back, on each node, the certificates of `made` that a failed check could not see served; each
/// service takes them as it took the new ones.
pub fn steps(made: &[Step], checks: &[CheckRun], failed: &[Verdict]) -> Vec<Step> {
    let mut by_node: BTreeMap<&NodeName, Vec<Change>> = BTreeMap::new();
    for step in made {
        let unproven = |id: &Id| {
            let mut proofs =
                checks.iter().filter(|check| check.node == step.node && check.proves.as_ref() == Some(id));
            proofs.any(|check| failed.iter().any(|one| one.node == check.node && one.name == check.name))
        };
        let back: Vec<Change> = step
            .changes
            .iter()
            .filter(|change| change.verb == Verb::Update && unproven(&change.id))
            .filter_map(restored)
            .collect();
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
    use crate::verify::Outcome;

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

    fn restored_on(verb: Verb, failing: &str) -> Vec<(String, Vec<&'static str>)> {
        let check = CheckRun {
            phase: "pgbouncer".into(),
            name: "pgbouncer/certificate-6432".into(),
            title: String::new(),
            node: "a1".into(),
            gate: false,
            proves: Some(Id::new("certificate", PATH)),
            script: String::new(),
            vars: BTreeMap::new(),
            within: 1,
        };
        let verdict = Verdict {
            name: failing.into(),
            title: String::new(),
            node: "a1".into(),
            outcome: Outcome::Fail,
            reason: String::new(),
        };
        let steps = steps(&[made(verb)], &[check], &[verdict]);
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
}
