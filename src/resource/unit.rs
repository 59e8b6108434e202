//! systemd units: enabled, running, and running with what is on disk now.
//!
//! Whether a service has seen its files is state on the node, not memory of a run: each start, restart or reload
//! leaves the hash of the files it was made with (`unit_stamp` in `unit.sh`). A run killed between a file and its
//! service is so finished by the next.

use super::{Call, Change, Context, Effect, Fields, Id, Order, Refusal, Resource, Verb, moment};

/// A unit and what it reads.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Name without `.service`.
    pub name: String,
    /// Do not wait for the start to finish.
    pub no_block: bool,
    /// It stays active; otherwise it only has to be enabled, and is started once when its files change.
    pub stays: bool,
    /// Clients are connected to it, or through it.
    pub clients: bool,
    /// Files that it takes by a restart only.
    pub restart_on: Vec<String>,
    /// Files that it takes by a reload.
    pub reload_on: Vec<String>,
    /// Where a reload has to show, and which certificate; it is repeated until it does.
    pub shown: Option<[String; 2]>,
}

impl Unit {
    fn files(&self) -> [String; 2] {
        [self.restart_on.join(" "), self.reload_on.join(" ")]
    }

    fn call(&self, function: &'static str) -> Call {
        let [restart, reload] = self.files();
        let block = if self.no_block { "no-block" } else { "wait" };
        let shown = self.shown.iter().filter(|_| function == "unit_reload").flatten().cloned();
        Call::new(function, [self.name.clone(), restart, reload, block.into()].into_iter().chain(shown))
    }

    /// Whether it runs, or is on its way and need not be waited for.
    fn runs(&self, seen: &Fields) -> bool {
        match seen.get("active").map(String::as_str) {
            Some("active" | "reloading") => true,
            Some("activating") => self.no_block,
            _ => false,
        }
    }
}

/// The names of those `files` that change before the unit does.
fn changing<'a>(files: &'a [String], context: &Context<'_>) -> Vec<&'a str> {
    let changes =
        |path: &&String| context.changing.iter().any(|id| id.kind != "directory" && covers(&id.name, path));
    files.iter().filter(changes).map(|path| path.rsplit('/').next().unwrap_or(path)).collect()
}

/// A change of a certificate `name` stands for the files `name.crt`, `name.key` or `name.pem`.
fn covers(name: &str, path: &str) -> bool {
    path == name || path.strip_prefix(name).is_some_and(|rest| [".crt", ".key", ".pem"].contains(&rest))
}

impl Resource for Unit {
    fn id(&self) -> Id {
        Id::new("unit", &self.name)
    }

    fn probe(&self) -> Call {
        let [restart, reload] = self.files();
        Call::new("unit_probe", [self.name.clone(), restart, reload])
    }

    fn compare(&self, seen: &Fields, context: &Context<'_>) -> Result<Option<Change>, Refusal> {
        let is = |key: &str, value: &str| seen.get(key).is_some_and(|seen| seen == value);
        let restarting = changing(&self.restart_on, context);
        let reloading = changing(&self.reload_on, context);
        let enabled = is("enabled", "enabled");
        let (verb, reason, effect, function) = if !self.stays && !enabled {
            (Verb::Create, "not enabled".to_owned(), Effect::Start, "unit_start")
        } else if self.stays && !self.runs(seen) {
            let reason = if is("active", "failed") { "has failed" } else { "not running" };
            (Verb::Create, reason.to_owned(), Effect::Start, "unit_start")
        } else if !restarting.is_empty() {
            (Verb::Update, format!("{} changes", restarting.join(", ")), Effect::Restart, "unit_restart")
        } else if is("restart", "stale") && !context.only_certificates {
            (Verb::Update, "started before its files changed".to_owned(), Effect::Restart, "unit_restart")
        } else if !reloading.is_empty() {
            (Verb::Update, format!("{} changes", reloading.join(", ")), Effect::Reload, "unit_reload")
        } else if is("reload", "stale") {
            (Verb::Update, "has not read its changed files".to_owned(), Effect::Reload, "unit_reload")
        } else if !enabled {
            (Verb::Update, "does not start at boot".to_owned(), Effect::None, "unit_enable")
        } else {
            return Ok(None);
        };
        let mut change = Change::new(self.id(), verb, reason, Order::Activate, self.call(function));
        // One that does its work at boot serves nobody: starting it again is no restart to anyone.
        // One that was started here before, and neither a file nor a run stopped it.
        let known = is("restart", "fresh");
        if verb == Verb::Create && known {
            let what = if enabled { "stopped, or has failed," } else { "disabled" };
            // One that need not stay active has no moment at which it should have.
            let since = seen.get("since").filter(|_| self.stays).map_or("", String::as_str);
            change.drift = Some(format!("{what} on the node{}", moment("; not running since", since)));
        }
        change.effect = if self.stays { effect } else { effect.min(Effect::Start) };
        change.unnoticed = !self.clients;
        Ok(Some(change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn compare(seen: &[(&str, &str)], changing: &[Id]) -> Option<(Effect, String)> {
        change(seen, changing).map(|change| (change.effect, change.reason))
    }

    fn change(seen: &[(&str, &str)], changing: &[Id]) -> Option<Change> {
        planned(seen, changing, false)
    }

    fn planned(seen: &[(&str, &str)], changing: &[Id], only_certificates: bool) -> Option<Change> {
        let unit = Unit {
            name: "haproxy".into(),
            no_block: false,
            stays: true,
            clients: true,
            restart_on: vec!["/etc/systemd/system/haproxy.service.d/10-deploy.conf".into()],
            reload_on: vec!["/etc/haproxy/haproxy.cfg".into(), "/etc/haproxy/tls/server.pem".into()],
            shown: None,
        };
        let seen = seen.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let changing: BTreeSet<Id> = changing.iter().cloned().collect();
        let context =
            Context { changing: &changing, now: time::OffsetDateTime::UNIX_EPOCH, only_certificates };
        unit.compare(&seen, &context).unwrap()
    }

    const RUNNING: [(&str, &str); 4] =
        [("active", "active"), ("enabled", "enabled"), ("restart", "fresh"), ("reload", "fresh")];

    #[test]
    fn a_unit_that_runs_with_what_is_on_disk_is_left_alone() {
        assert_eq!(compare(&RUNNING, &[]), None);
    }

    #[test]
    fn a_stopped_unit_is_started() {
        assert_eq!(compare(&[("active", "inactive")], &[]), Some((Effect::Start, "not running".into())));
    }

    #[test]
    fn one_that_was_stopped_by_hand_says_since_when() {
        let mut seen = RUNNING.to_vec();
        seen[0].1 = "inactive";
        assert_eq!(change(&seen, &[]).unwrap().drift.unwrap(), "stopped, or has failed, on the node");
        seen.push(("since", "1767225660"));
        let drift = "stopped, or has failed, on the node; not running since 2026-01-01 00:01 UTC";
        assert_eq!(change(&seen, &[]).unwrap().drift.unwrap(), drift);
        assert_eq!(change(&[("active", "inactive"), ("since", "1")], &[]).unwrap().drift, None);
    }

    #[test]
    fn a_changing_file_is_taken_the_gentlest_way_that_works() {
        let config = Id::new("file", "/etc/haproxy/haproxy.cfg");
        let certificate = Id::new("certificate", "/etc/haproxy/tls/server");
        let drop_in = Id::new("file", "/etc/systemd/system/haproxy.service.d/10-deploy.conf");
        assert_eq!(
            compare(&RUNNING, std::slice::from_ref(&config)),
            Some((Effect::Reload, "haproxy.cfg changes".into()))
        );
        assert_eq!(compare(&RUNNING, &[certificate]), Some((Effect::Reload, "server.pem changes".into())));
        assert_eq!(
            compare(&RUNNING, &[config, drop_in]),
            Some((Effect::Restart, "10-deploy.conf changes".into()))
        );
    }

    #[test]
    fn a_renewal_restarts_nothing_for_a_file_that_waits_for_it() {
        let mut seen = RUNNING;
        seen[2].1 = "stale";
        assert_eq!(planned(&seen, &[], false).unwrap().effect, Effect::Restart);
        assert!(planned(&seen, &[], true).is_none());
        let certificate = Id::new("certificate", "/etc/haproxy/tls/server");
        assert_eq!(planned(&seen, &[certificate], true).unwrap().effect, Effect::Reload);
    }

    #[test]
    fn a_run_killed_before_the_reload_is_finished_by_the_next() {
        let mut seen = RUNNING;
        seen[3].1 = "stale";
        assert_eq!(compare(&seen, &[]), Some((Effect::Reload, "has not read its changed files".into())));
    }

    /// What a script says on a node whose folders are below `root`, and what systemd was asked there; `systemctl` is the body of
    /// its stand-in.
    fn on_node(root: &std::path::Path, systemctl: &str, script: &str) -> (String, Vec<String>) {
        let at = root.to_string_lossy();
        let body = format!("echo \"${{SYSTEMD_OFFLINE:+offline }}$*\" >>{at}/asked\n{systemctl}");
        crate::stand_in::program(&root.join("systemctl"), &body);
        let script = format!("{}\nPATH={at}:$PATH\n{script}", crate::resource::SHELL)
            .replace("/var/lib/deploy", &format!("{at}/lib"))
            .replace("/etc/systemd", &format!("{at}/etc"))
            .replace("/run/systemd", &format!("{at}/run"));
        let output = std::process::Command::new("sh").arg("-ec").arg(script).output().unwrap();
        let asked = std::fs::read_to_string(root.join("asked")).unwrap();
        (String::from_utf8(output.stdout).unwrap(), asked.lines().map(str::to_owned).collect())
    }

    #[test]
    fn only_a_unit_that_does_not_run_or_is_not_linked_is_shown_by_systemd() {
        let root = tempfile::tempdir().unwrap();
        let wants = root.path().join("etc/system/multi-user.target.wants");
        std::fs::create_dir_all(&wants).unwrap();
        for unit in ["a", "b", "masked"] {
            std::os::unix::fs::symlink("/x", wants.join(format!("{unit}.service"))).unwrap();
        }
        std::os::unix::fs::symlink("/dev/null", root.path().join("etc/system/masked.service")).unwrap();
        let systemctl = "case $1 in
            list-units) printf 'a.service      loaded active   running A\nfree.service   loaded active running F\n'
                printf 'b.service loaded failed failed B\nmasked.service masked active running M\n' ;;
            show) for unit in b free gone masked; do
                printf 'ActiveState=%s\nUnitFileState=shown\nStateChangeTimestamp=@7\n\n' $unit; done ;;
            esac";
        let units = ["a", "b", "free", "gone", "masked"];
        let all: Vec<String> = units.iter().map(|unit| format!("{unit}.service")).collect();
        let probes: Vec<String> = units.iter().map(|unit| format!("unit_probe {unit} '' ''")).collect();
        let script = format!("units_state {}\n{}", all.join(" "), probes.join("\n"));
        let (said, asked) = on_node(root.path(), systemctl, &script);
        let stale = "restart=stale\nreload=stale\n";
        let runs = format!("active=active\nenabled=enabled\n{stale}");
        let shown = units[1..].iter().map(|unit| {
            let enabled = if *unit == "b" { "enabled" } else { "shown" };
            format!("active={unit}\nenabled={enabled}\nsince=7\n{stale}")
        });
        assert_eq!(said, std::iter::once(runs).chain(shown).collect::<String>());
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked[1].ends_with("-- b.service free.service gone.service masked.service"), "{asked:?}");
    }

    const START: &str =
        "units_ready a '/no/file /etc/systemd/x' '' b '' ''\nunit_restart a '/no/file /etc/systemd/x' ''\n";

    #[test]
    fn a_restart_asks_systemd_once_for_all_units_and_tells_it_once() {
        let root = tempfile::tempdir().unwrap();
        let systemctl = "[ $1 != show ] || for unit in a b; do
            printf 'ActiveState=active\nNeedDaemonReload=no\nUnitFileState=enabled\n\n'; done";
        let (_, asked) = on_node(root.path(), systemctl, START);
        let show = "show -p ActiveState -p UnitFileState -p NeedDaemonReload -- a.service b.service";
        assert_eq!(asked, [show, "restart a.service"]);
        assert_eq!(std::fs::read_to_string(root.path().join("lib/units/a.restart")).unwrap(), "- -\n");
        // Whatever ended one that is to run may have ended it too often.
        let (_, asked) = on_node(root.path(), systemctl, "unit_start a '' '' wait\n");
        assert_eq!(asked[asked.len() - 2..], ["reset-failed a.service", "restart a.service"]);
    }

    #[test]
    fn systemd_is_not_asked_about_a_unit_that_it_knows_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["etc/system/multi-user.target.wants", "etc/system/a.service.d", "lib/units"];
        for folder in folders {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink("/x", root.path().join("etc/system/multi-user.target.wants/a.service"))
            .unwrap();
        let asked = || {
            let _ = std::fs::remove_file(root.path().join("asked"));
            on_node(root.path(), "", &START.replace(" b '' ''", "")).1
        };
        let newer = |path: &str, seconds: u64| {
            let file =
                std::fs::OpenOptions::new().append(true).create(true).open(root.path().join(path)).unwrap();
            file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(seconds))
                .unwrap();
        };
        assert!(asked()[0].starts_with("show"), "nobody has started it here");
        assert_eq!(asked(), ["restart a.service"]);
        for then in ["another other\n", "another - gone\n", "another\n"] {
            std::fs::write(root.path().join("lib/units/a.restart"), then).unwrap();
            let unlike = asked();
            assert!(unlike[0].starts_with("show") && unlike.len() > 2, "{then}: {unlike:?}");
        }
        for (later, path) in ["x", "system/a.service", "system/a.service.d/by-hand.conf"].iter().enumerate() {
            newer(&format!("etc/{path}"), 100 * (later as u64 + 1));
            let unlike = asked();
            assert!(unlike[0].starts_with("show") && unlike.len() > 2, "{path}: {unlike:?}");
            newer("lib/units/a.restart", 100 * (later as u64 + 1) + 50);
            assert_eq!(asked(), ["restart a.service"]);
            newer("lib/units/a.restart", 100 * (later as u64 + 1) + 50);
        }
    }

    #[test]
    fn a_unit_whose_files_are_new_to_systemd_is_enabled_and_they_are_read() {
        let root = tempfile::tempdir().unwrap();
        let systemctl = "case $* in *-P*) echo yes ;; is-enabled*) exit 1 ;;
            show*) printf 'ActiveState=inactive\nUnitFileState=\nNeedDaemonReload=yes\n\nActiveState=active\n\n' ;; esac";
        let (_, asked) = on_node(root.path(), systemctl, START);
        let expected = [
            "is-enabled --quiet a.service",
            "offline enable --quiet a.service",
            "show -P NeedDaemonReload a.service",
            "daemon-reload",
            "reset-failed a.service",
            "restart a.service",
        ];
        assert_eq!(asked[1..], expected);
    }

    #[test]
    fn a_unit_that_was_masked_is_read_anew_once() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("etc/system");
        std::fs::create_dir_all(&units).unwrap();
        std::os::unix::fs::symlink("/dev/null", units.join("a.service")).unwrap();
        let systemctl = "case $* in is-enabled*) exit 1 ;;
            show*) printf 'ActiveState=inactive\nUnitFileState=masked\nNeedDaemonReload=no\n\nActiveState=active\n\n' ;; esac";
        let (_, asked) = on_node(root.path(), systemctl, START);
        let expected = [
            "offline unmask --quiet a.service",
            "is-enabled --quiet a.service",
            "offline enable --quiet a.service",
            "daemon-reload",
        ];
        assert_eq!(asked[1..5], expected);
    }

    #[test]
    fn a_reload_is_repeated_until_its_port_shows_the_certificate() {
        let root = tempfile::tempdir().unwrap();
        let (at, script) =
            (root.path().display(), "sleep() { :; }\nunit_reload a '' '/no/file' wait 10.0.0.1:8008 new\n");
        let systemctl = "[ $1 != show ] || printf 'ActiveState=active\\nNeedDaemonReload=no\\nUnitFileState=enabled\\n\\n'";
        let served = |from: usize| {
            let _ = std::fs::remove_file(root.path().join("asked"));
            let openssl = format!(
                "case $* in s_client*) ;; 'x509 -in new') echo new ;;
                x509) if [ \"$(grep -c reload {at}/asked)\" -ge {from} ]; then echo new; else echo old; fi ;; esac"
            );
            crate::stand_in::program(&root.path().join("openssl"), &openssl);
            let (_, asked) = on_node(root.path(), systemctl, &format!("units_ready a '' ''\n{script}"));
            asked.iter().filter(|line| line.starts_with("reload")).count()
        };
        assert_eq!([served(1), served(2), served(3)], [1, 2, 3]);
        let stamp = root.path().join("lib/units/a.reload");
        std::fs::remove_file(&stamp).unwrap();
        assert_eq!(served(100), 9, "its check will tell");
        assert!(!stamp.exists(), "the next run tries again");
    }

    #[test]
    fn a_unit_that_was_started_too_often_before_is_started_all_the_same() {
        let root = tempfile::tempdir().unwrap();
        let systemctl = "case $* in *-P*) echo start-limit-hit ;; restart*) mkdir \"$0.once\" 2>/dev/null && exit 1 || : ;;
            show*) printf 'ActiveState=active\nNeedDaemonReload=no\nUnitFileState=enabled\n\n' ;; esac";
        let (said, asked) = on_node(root.path(), systemctl, START);
        let expected =
            ["restart a.service", "show -P Result a.service", "reset-failed a.service", "restart a.service"];
        assert_eq!((said.as_str(), &asked[1..]), ("", &expected.map(str::to_owned)[..]));
    }
}
