//! Debian packages: one resource for all of a node's, installed by one `apt-get`.

use super::{Call, Change, Context, Fields, Id, Order, Refusal, Resource, Verb};

/// The packages that must be installed, and the units that must not start by themselves when they are.
#[derive(Debug, Clone)]
pub struct Packages {
    /// Names.
    pub names: Vec<String>,
    /// Units that are masked until their role starts them.
    pub hold: Vec<String>,
}

impl Resource for Packages {
    fn id(&self) -> Id {
        Id::new("packages", "debian")
    }

    fn probe(&self) -> Call {
        Call::new("packages_probe", &self.names)
    }

    fn compare(&self, seen: &Fields, _: &Context<'_>) -> Result<Option<Change>, Refusal> {
        let missing: Vec<&str> = self
            .names
            .iter()
            .map(String::as_str)
            .filter(|name| seen.get(*name).is_none_or(String::is_empty))
            .collect();
        if missing.is_empty() {
            return Ok(None);
        }
        // Not those that are there: apt would upgrade each that it knows a newer version of, and that restarts its service.
        let args = [self.hold.join(" ")].into_iter().chain(missing.iter().map(|name| (*name).to_owned()));
        let call = Call::new("packages_apply", args);
        let reason = format!("not installed: {}", missing.join(", "));
        Ok(Some(Change::new(self.id(), Verb::Create, reason, Order::Install, call)))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_installed_is_not_upgraded_beside_what_is_not() {
        let packages = Packages {
            names: ["etcd-server", "keepalived"].map(str::to_owned).to_vec(),
            hold: vec!["keepalived".into()],
        };
        let context =
            Context { changing: &std::collections::BTreeSet::new(), now: time::OffsetDateTime::UNIX_EPOCH };
        let mut seen = Fields::from([("etcd-server".to_owned(), "3.5.16".to_owned())]);
        let change = packages.compare(&seen, &context).unwrap().unwrap();
        assert_eq!(crate::script::line(&change.calls[0].1), "packages_apply keepalived keepalived");
        seen.insert("keepalived".into(), "2.3.3".into());
        assert!(packages.compare(&seen, &context).unwrap().is_none());
    }

    /// What the systemctl of `commands`, the one that packages are given, has asked the node's own.
    fn asked(commands: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().to_string_lossy();
        let own = root.path().join("usr/bin/systemctl");
        std::fs::create_dir_all(own.parent().unwrap()).unwrap();
        std::fs::create_dir_all(root.path().join("run")).unwrap();
        crate::stand_in::program(&own, &format!("echo \"$*\" >>{at}/asked\n"));
        let script =
            format!("{}\npackages_lazy\nPATH=$PACKAGES_BIN:$PATH\n{commands}", crate::resource::SHELL)
                .replace("/var/lib/deploy", &format!("{at}/lib"))
                .replace("/run/deploy", &format!("{at}/run"))
                .replace("/usr/bin/systemctl", &own.to_string_lossy());
        assert!(Command::new("sh").arg("-ec").arg(script).status().unwrap().success());
        let asked = std::fs::read_to_string(root.path().join("asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    #[test]
    fn packages_have_unit_files_read_anew_once_before_something_starts() {
        let reload = "systemctl --system daemon-reload\n";
        assert_eq!(asked(&reload.repeat(3)), [""; 0]);
        let looks = "systemctl is-enabled -- a\nsystemctl --quiet --no-legend list-units 'user@*'\n";
        assert_eq!(
            asked(&format!("{reload}{looks}{reload}systemctl --quiet restart 'a b'\nsystemctl start c\n")),
            [
                "is-enabled -- a",
                "--quiet --no-legend list-units user@*",
                "daemon-reload",
                "--quiet restart a b",
                "start c"
            ]
        );
    }
}
