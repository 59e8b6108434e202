//! Kernel parameters as they are now; what is written for the next boot is a file of the `base` role.

use std::collections::BTreeMap;

use super::{Call, Change, Context, Fields, Id, Order, Refusal, Resource, Verb, yaml};

/// The file for the next boot.
pub const SYSCTL_FILE: &str = "/etc/sysctl.d/60-deploy.conf";

/// All kernel parameters of a node.
#[derive(Debug, Clone)]
pub struct Sysctl {
    /// Wanted values by key.
    pub values: BTreeMap<String, String>,
}

impl Resource for Sysctl {
    fn id(&self) -> Id {
        Id::new("sysctl", "kernel")
    }

    fn probe(&self) -> Call {
        Call::new("sysctl_probe", self.values.keys())
    }

    /// A parameter that this kernel does not have, or that a container must not write, is left alone.
    fn compare(&self, seen: &Fields, context: &Context<'_>) -> Result<Option<Change>, Refusal> {
        let differing: Vec<(&String, String, &String)> = self
            .values
            .iter()
            .filter_map(|(key, value)| seen.get(key).map(|old| (key, old, value)))
            .filter(|(_, old, value)| old.split_whitespace().ne(value.split_whitespace()))
            // The kernel parts several numbers by tabs.
            .map(|(key, old, value)| (key, old.replace('\t', " "), value))
            .collect();
        if differing.is_empty() {
            return Ok(None);
        }
        let reason =
            differing.iter().map(|(key, old, new)| format!("{key} is {old}, not {new}")).collect::<Vec<_>>();
        let call =
            Call::new("sysctl_apply", differing.iter().map(|(key, _, value)| format!("{key}={value}")));
        let mut change = Change::new(self.id(), Verb::Update, reason.join("; "), Order::Settle, call);
        // Where the file for the next boot stays as it is, the inventory wants what it wanted before.
        if !context.changing.contains(&Id::new("file", SYSCTL_FILE)) {
            change.drift = Some("set on the node".into());
            let values: Vec<String> =
                differing.iter().map(|(key, old, _)| format!("{key}: {}", yaml(old))).collect();
            change.adopt = Some(format!("kernel: {{ sysctl: {{ {} }} }}", values.join(", ")));
        }
        Ok(Some(change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn compare(seen: &[(&str, &str)]) -> Option<String> {
        change(seen, &BTreeSet::new()).map(|change| change.reason)
    }

    fn change(seen: &[(&str, &str)], changing: &BTreeSet<Id>) -> Option<Change> {
        let sysctl = Sysctl { values: BTreeMap::from([("net.core.somaxconn".into(), "8192".into())]) };
        let seen = seen.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let context = Context { changing, now: time::OffsetDateTime::UNIX_EPOCH, only_certificates: false };
        sysctl.compare(&seen, &context).unwrap()
    }

    #[test]
    fn what_was_set_by_hand_can_be_adopted_and_what_the_inventory_has_changed_cannot() {
        let by_hand = change(&[("net.core.somaxconn", "4096")], &BTreeSet::new()).unwrap();
        assert_eq!(by_hand.adopt.unwrap(), "kernel: { sysctl: { net.core.somaxconn: 4096 } }");
        let intent =
            change(&[("net.core.somaxconn", "4096")], &[Id::new("file", SYSCTL_FILE)].into()).unwrap();
        assert_eq!((intent.drift, intent.adopt), (None, None));
    }

    #[test]
    fn a_differing_value_is_set_and_an_equal_or_unwritable_one_left_alone() {
        assert_eq!(
            compare(&[("net.core.somaxconn", "4096")]).unwrap(),
            "net.core.somaxconn is 4096, not 8192"
        );
        assert_eq!(compare(&[("net.core.somaxconn", "8192")]), None);
        assert_eq!(compare(&[]), None);
    }
}
