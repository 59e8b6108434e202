//! The packet filter: our own chains, loaded so that a mistake takes itself back.
//!
//! The rules live in `/etc/deploy/firewall.v4` and `.v6` once a new connection has confirmed them; what is loaded is
//! compared by the hash that it had then. Chains of other software are left alone.

use super::{Call, Change, Context, Diff, Fields, Id, Order, Payload, Refusal, Resource, Verb, sha256};

/// The rules of a node, as `iptables-restore --noflush` takes them.
#[derive(Debug, Clone)]
pub struct Firewall {
    /// IPv4.
    pub v4: String,
    /// IPv6.
    pub v6: String,
    /// Seconds until the old rules come back without a confirmation.
    pub confirm_within: u32,
}

impl Resource for Firewall {
    fn id(&self) -> Id {
        Id::new("firewall", "rules")
    }

    fn probe(&self) -> Call {
        Call::new("firewall_probe", ["v4", "v6"].map(|family| format!("/etc/deploy/firewall.{family}")))
    }

    fn compare(&self, seen: &Fields, _: &Context<'_>) -> Result<Option<Change>, Refusal> {
        let get = |key: &str| seen.get(key).map(String::as_str);
        let wanted = [("v4", &self.v4), ("v6", &self.v6)];
        let files_differ = wanted.iter().any(|(key, text)| get(key) != Some(&sha256(text.as_bytes())));
        let (verb, reason) = match (get("v4"), files_differ, get("live")) {
            (None, ..) => (Verb::Create, "no rules yet"),
            (_, true, _) => (Verb::Update, "rules differ"),
            (_, _, Some("same")) => return Ok(None),
            _ => (Verb::Update, "what is loaded was changed by hand"),
        };
        let call = Call::new("firewall_apply", [self.confirm_within.to_string()])
            .with(Payload::Bytes(self.v4.clone().into_bytes()))
            .with(Payload::Bytes(self.v6.clone().into_bytes()));
        let mut change = Change::new(self.id(), verb, reason, Order::Settle, call);
        change.diff = Some(Diff {
            old: (verb == Verb::Create).then(String::new),
            new: format!("{}{}", self.v4, self.v6),
            secret: false,
        });
        if get("live") == Some("differs") {
            change.drift = Some("rules changed on the node".into());
        }
        change.confirm = Some(Call::new("firewall_confirm", Vec::<String>::new()));
        Ok(Some(change))
    }

    fn content(&self) -> Option<(&str, String)> {
        Some(("/etc/deploy/firewall", format!("{}{}", self.v4, self.v6)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn compare(seen: &[(&str, &str)]) -> Option<String> {
        let firewall = Firewall { v4: "four".into(), v6: "six".into(), confirm_within: 60 };
        let seen = seen.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let context = Context {
            changing: &BTreeSet::new(),
            now: time::OffsetDateTime::UNIX_EPOCH,
            only_certificates: false,
        };
        firewall.compare(&seen, &context).unwrap().map(|change| change.reason)
    }

    #[test]
    fn confirmed_rules_that_are_loaded_are_left_alone() {
        let (v4, v6) = (sha256(b"four"), sha256(b"six"));
        assert_eq!(compare(&[]).unwrap(), "no rules yet");
        assert_eq!(compare(&[("v4", "0"), ("v6", &v6), ("live", "same")]).unwrap(), "rules differ");
        assert_eq!(
            compare(&[("v4", &v4), ("v6", &v6), ("live", "differs")]).unwrap(),
            "what is loaded was changed by hand"
        );
        assert_eq!(compare(&[("v4", &v4), ("v6", &v6), ("live", "same")]), None);
    }

    #[test]
    fn only_the_rules_that_were_loaded_are_confirmed() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().to_string_lossy().into_owned();
        let program = |name: &str, body: &str| {
            crate::stand_in::program(&root.path().join(name), &body.replace("AT", &at));
        };
        program("systemctl", "echo $* >>AT/asked\n[ $1 != is-active ]");
        program("systemd-run", "");
        for family in ["iptables", "ip6tables"] {
            program(family, "[ $3 != -D ]");
            program(&format!("{family}-save"), &format!("cat AT/{family} 2>/dev/null"));
            program(
                &format!("{family}-restore"),
                &format!("[ $1 = --test ] && exec cat >/dev/null; cat >AT/{family}"),
            );
        }
        std::fs::write(root.path().join("rules"), "-A DEPLOY-INPUT -j ACCEPT\n").unwrap();
        let on_node = |script: &str| {
            let script = format!("{}PATH={at}:$PATH\n{script}", crate::resource::SHELL)
                .replace("/var/lib/deploy", &format!("{at}/lib"))
                .replace("/run/deploy", &format!("{at}/run"))
                .replace("/etc/deploy", &format!("{at}/etc"));
            std::process::Command::new("sh").arg("-ec").arg(script).output().unwrap().status.success()
        };
        let apply = format!("firewall_apply 60 {at}/rules {at}/rules\n");
        let stopped = || std::fs::read_to_string(root.path().join("asked")).unwrap().contains("stop");
        assert!(on_node(&format!("{apply}echo '-A DEPLOY-INPUT -j DROP' >{at}/iptables\n")));
        assert!(!on_node("firewall_confirm") && !stopped());
        assert!(!root.path().join("lib/firewall.live").exists());
        assert!(on_node(&apply) && on_node("firewall_confirm") && stopped());
        assert!(on_node(&format!(
            "firewall_probe {at}/etc/firewall.v4 {at}/etc/firewall.v6 | grep -qx live=same"
        )));
    }
}
