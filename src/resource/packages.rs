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
        let context = Context {
            changing: &std::collections::BTreeSet::new(),
            now: time::OffsetDateTime::UNIX_EPOCH,
            only_certificates: false,
        };
        let mut seen = Fields::from([("etcd-server".to_owned(), "3.5.16".to_owned())]);
        let change = packages.compare(&seen, &context).unwrap().unwrap();
        assert_eq!(crate::script::line(&change.calls[0].1), "packages_apply keepalived keepalived");
        seen.insert("keepalived".into(), "2.3.3".into());
        assert!(packages.compare(&seen, &context).unwrap().is_none());
    }

    /// What `commands`, run with the programs that packages are given, have asked the node's own `program`: a line of words for
    /// each time that it was called.
    fn asked(program: &str, commands: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().to_string_lossy();
        let own = root.path().join("usr/bin");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::create_dir_all(root.path().join("run")).unwrap();
        let noted = format!(
            "echo \"$*$([ \"$3\" != - ] || sed 's/^/ /' | tr -d '\\n')\" >>{at}/asked\n\
             case $* in *' Need'*old*) echo yes ;; esac\n"
        );
        crate::stand_in::program(&own.join(program), &noted);
        crate::stand_in::program(
            &own.join("dpkg"),
            "shift\nfor p do printf '/usr/lib/python3/dist-packages/%s.py\\n/usr/share/doc/%s.py\\n' $p $p; done\n",
        );
        let script = format!(
            "{}\npackages_lazy\nPATH=$PACKAGES_BIN:{}:$PATH\n{commands}",
            crate::resource::SHELL,
            own.display()
        )
        .replace("/var/lib/deploy", &format!("{at}/lib"))
        .replace("/run/deploy", &format!("{at}/run"))
        .replace(&format!("/usr/bin/{program}"), &own.join(program).to_string_lossy());
        assert!(Command::new("sh").arg("-ec").arg(script).status().unwrap().success());
        let asked = std::fs::read_to_string(root.path().join("asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    #[test]
    fn packages_have_unit_files_read_anew_once_before_something_starts() {
        let reload = "systemctl --system daemon-reload\n";
        assert_eq!(asked("systemctl", &reload.repeat(3)), [""; 0]);
        let looks = "systemctl is-enabled -- a\nsystemctl --root=/ preset a\n\
                     systemctl --quiet --no-legend list-units 'user@*'\n";
        let starts = "systemctl --quiet restart a b\nsystemctl start old\nsystemctl start old\n";
        assert_eq!(
            asked("systemctl", &format!("{reload}{looks}{reload}{starts}")),
            [
                "is-enabled -- a",
                "--root=/ preset a",
                "--quiet --no-legend list-units user@*",
                "show -P NeedDaemonReload -- a b",
                "--quiet restart a b",
                "show -P NeedDaemonReload -- old",
                "daemon-reload",
                "start old",
                "start old"
            ]
        );
    }

    #[test]
    fn modules_of_packages_are_compiled_by_one_process_of_python() {
        let packages = "py3compile -p a\npy3compile -p b:amd64 \npy3compile -p a\n";
        assert_eq!(asked("python3", packages), [""; 0]);
        assert_eq!(
            asked("python3", &format!("{packages}packages_compile\npackages_compile\n")),
            ["-m py_compile - /usr/lib/python3/dist-packages/a.py /usr/lib/python3/dist-packages/b:amd64.py"]
        );
        // What is asked for beside a package is for Debian's own program.
        assert_eq!(
            asked("py3compile", "py3compile -p c /usr/share/c\npackages_compile\n"),
            ["-p c /usr/share/c"]
        );
    }
}
