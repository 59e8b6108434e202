//! Units of roles that a node has lost: what was started from here is stopped, and stays so at the next boot.
//!
//! A unit without the stamp of a start (`unit_stamp` in `unit.sh`) is somebody else's and left alone.

use super::{Arg, Call, Change, Context, Effect, Fields, Id, Order, Refusal, Resource, Verb};

/// A unit that has no business on its node any more.
#[derive(Debug, Clone)]
pub struct Retired {
    /// Name without `.service`.
    pub name: String,
    /// Files that the service itself kept. Where it came back, they would say what was true when it left: another primary,
    /// other passwords.
    pub kept: Vec<String>,
}

impl Retired {
    /// Whether the unit is still to be stopped, by what its probe said.
    pub fn lingers(seen: &Fields) -> bool {
        seen.contains_key("started") && (runs(seen) || is(seen, "enabled", "enabled"))
    }

    /// A question that is only asked where `unit` was started from here.
    #[must_use]
    pub fn asks(unit: &str, call: Call) -> Call {
        let words = [unit, call.function].map(|word| Arg::Text(word.to_owned()));
        Call { function: "retired_asks", args: words.into_iter().chain(call.args).collect() }
    }
}

fn is(seen: &Fields, key: &str, value: &str) -> bool {
    seen.get(key).is_some_and(|seen| seen == value)
}

fn runs(seen: &Fields) -> bool {
    !is(seen, "active", "inactive") && !is(seen, "active", "failed")
}

impl Resource for Retired {
    fn id(&self) -> Id {
        Id::new("unit", &self.name)
    }

    fn probe(&self) -> Call {
        Call::new("retired_probe", [self.name.clone()])
    }

    fn compare(&self, seen: &Fields, _: &Context<'_>) -> Result<Option<Change>, Refusal> {
        if !Self::lingers(seen) {
            return Ok(None);
        }
        // First of all in its step: a keepalived that no longer hears the others would take their address.
        let call = Call::new("retired_stop", std::iter::once(&self.name).chain(&self.kept).cloned());
        let reason = "its role is not on this node any more";
        let mut change = Change::new(self.id(), Verb::Delete, reason, Order::Prepare, call);
        if runs(seen) {
            change.effect = Effect::Stop;
        }
        Ok(Some(change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn compare(seen: &[(&str, &str)]) -> Option<(Verb, Effect)> {
        let unit = Retired { name: "keepalived".into(), kept: Vec::new() };
        let seen = seen.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let context = Context {
            changing: &BTreeSet::new(),
            now: time::OffsetDateTime::UNIX_EPOCH,
            only_certificates: false,
        };
        unit.compare(&seen, &context).unwrap().map(|change| (change.verb, change.effect))
    }

    #[test]
    fn what_was_started_here_is_stopped_and_does_not_come_back() {
        let left = [("started", "here"), ("active", "active"), ("enabled", "enabled")];
        assert_eq!(compare(&left), Some((Verb::Delete, Effect::Stop)));
        let at_boot = [("started", "here"), ("active", "inactive"), ("enabled", "enabled")];
        assert_eq!(compare(&at_boot), Some((Verb::Delete, Effect::None)));
        let failing = [("started", "here"), ("active", "activating"), ("enabled", "disabled")];
        assert_eq!(compare(&failing), Some((Verb::Delete, Effect::Stop)));
    }

    #[test]
    fn what_is_stopped_and_what_others_started_is_left_alone() {
        assert_eq!(compare(&[("started", "here"), ("active", "inactive"), ("enabled", "disabled")]), None);
        assert_eq!(compare(&[("active", "active"), ("enabled", "enabled")]), None);
        assert_eq!(compare(&[]), None);
    }
}
