//! What is done at once for many calls that come one after the other: on a node the processes are what costs.

use std::collections::BTreeSet;

use super::{Arg, Call};

fn words(call: &Call) -> impl Iterator<Item = &str> {
    call.args.iter().filter_map(|arg| match arg {
        Arg::Text(text) => Some(text.as_str()),
        Arg::Payload(_) => None,
    })
}

/// Looks at once, in one process for each of these functions, at all that `probes` will ask about: they say from then on
/// what that has found.
pub fn ahead<'a>(probes: impl Iterator<Item = &'a Call>) -> Vec<Call> {
    let (mut stats, mut hashes, mut certificates, mut units) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for probe in probes {
        let mut words = words(probe).map(str::to_owned);
        let Some(first) = words.next() else { continue };
        match probe.function {
            "directory_probe" | "file_fetch" => _ = stats.insert(first),
            "file_probe" => {
                hashes.insert(first.clone());
                stats.insert(first);
            }
            "certificate_probe" => {
                let one_file = words.next().as_deref() == Some("pem");
                let (certificate, key) = if one_file { ("pem", "pem") } else { ("crt", "key") };
                certificates.insert(format!("{first}.{certificate}"));
                hashes.insert(format!("{first}.{key}"));
                stats.insert(format!("{first}.{key}"));
            }
            "firewall_probe" => hashes.extend([first].into_iter().chain(words)),
            "unit_probe" => {
                units.insert(format!("{first}.service"));
                hashes
                    .extend(words.flat_map(|files| files.split(' ').map(str::to_owned).collect::<Vec<_>>()));
            }
            _ => {}
        }
    }
    hashes.remove("");
    let calls = [
        ("paths_stat", stats),
        ("paths_hash", hashes),
        ("certificates_read", certificates),
        ("units_state", units),
    ];
    let needed = calls.into_iter().filter(|(_, words)| !words.is_empty());
    needed.map(|(function, words)| Call::new(function, words)).collect()
}

/// What has to come before the calls of a step that `calls` begins with, once for all of them that stand together; `before` is
/// what stands in front of them.
pub fn together<'a>(before: Option<&Call>, calls: impl Iterator<Item = &'a Call>) -> Option<Together> {
    let mut calls = calls.peekable();
    let kind = Kind::of(calls.peek()?)?;
    if before.and_then(Kind::of) == Some(kind) {
        return None;
    }
    let calls = calls.take_while(|call| Kind::of(call) == Some(kind));
    Some(match kind {
        Kind::Commit => {
            let paths = calls.filter_map(|call| words(call).next());
            Together::Change(Call::new("files_ready", paths))
        }
        Kind::Unit => {
            let all = calls.flat_map(|call| words(call).take(3));
            Together::Look(Call::new("units_ready", all))
        }
    })
}

/// What comes before calls that stand together.
#[derive(Debug, PartialEq, Eq)]
pub enum Together {
    /// It is a part of the change that the first of them belongs to.
    Change(Call),
    /// It changes nothing, and they know what it has found.
    Look(Call),
}

/// Calls that have something in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A file goes live.
    Commit,
    /// A unit is enabled, started or told.
    Unit,
}

impl Kind {
    fn of(call: &Call) -> Option<Self> {
        match call.function {
            "file_commit" => Some(Self::Commit),
            "unit_enable" | "unit_reload" | "unit_restart" | "unit_start" => Some(Self::Unit),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{SHELL, sha256};
    use crate::transport::quote;

    /// What the probes of a folder say in a real shell, behind `calls`.
    fn said(folder: &std::path::Path, probes: &[Call], calls: &[Call]) -> String {
        let mut script = SHELL.to_owned();
        for call in calls.iter().chain(probes) {
            script.push_str(call.function);
            for arg in &call.args {
                let Arg::Text(word) = arg else { panic!("a payload") };
                script = script + " " + &quote(word);
            }
            script.push('\n');
        }
        let output =
            std::process::Command::new("sh").arg("-c").arg(script).current_dir(folder).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn what_is_looked_up_ahead_is_what_each_probe_would_find() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("plain"), "one\n").unwrap();
        std::fs::write(at("with space"), "two\n").unwrap();
        std::fs::write(at("plain.longer"), "three\n").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink(at("plain"), at("link")).unwrap();
        std::fs::write(at("tls.key"), "no key\n").unwrap();
        std::fs::write(at("tls.crt"), "no certificate\n").unwrap();
        let names = ["plain", "with space", "plain.longer", "missing", "folder", "link"];
        let mut probes: Vec<Call> = names.iter().map(|name| Call::new("file_probe", [at(name)])).collect();
        probes.extend(["folder", "missing"].map(|name| Call::new("directory_probe", [at(name)])));
        probes.push(Call::new("certificate_probe", [at("tls"), "pair".into()]));
        let ahead = ahead(probes.iter());
        assert_eq!(
            ahead.iter().map(|call| call.function).collect::<Vec<_>>(),
            ["paths_stat", "paths_hash", "certificates_read"]
        );
        let said = |calls: &[Call]| said(folder.path(), &probes, calls);
        assert!(said(&ahead).contains(&format!("sha256={}", sha256(b"two\n"))));
        assert_eq!(said(&ahead), said(&[]));
    }

    #[test]
    fn what_stands_together_is_made_ready_once() {
        let commit = |path: &str| Call::new("file_commit", [path, "hash root:root 644"]);
        let unit = |function, name: &str| Call::new(function, [name, "/etc/a /etc/b", "/etc/c", "wait"]);
        let calls = [
            Call::new("file_validate", ["/etc/a", "true"]),
            commit("/etc/a"),
            commit("/etc/b"),
            unit("unit_restart", "one"),
            unit("unit_reload", "two"),
        ];
        let at = |place: usize| {
            let before = place.checked_sub(1).map(|before| &calls[before]);
            together(before, calls[place..].iter())
        };
        assert_eq!([at(0), at(2), at(4)], [None, None, None]);
        assert_eq!(at(1), Some(Together::Change(Call::new("files_ready", ["/etc/a", "/etc/b"]))));
        let ready = ["one", "/etc/a /etc/b", "/etc/c", "two", "/etc/a /etc/b", "/etc/c"];
        assert_eq!(at(3), Some(Together::Look(Call::new("units_ready", ready))));
    }
}
