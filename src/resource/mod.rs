//! What can be observed on a node, compared and changed: one file for each kind, its shell beside it. Pure.
//!
//! A [`Resource`] says how to look at it ([`Resource::probe`]) and, given what was seen, what has to change
//! ([`Resource::compare`]). Both speak in [`Call`]s: functions of the kind's `.sh` file with their arguments. Nothing
//! here runs anything.

mod certificate;
mod change;
mod file;
mod firewall;
mod leftovers;
mod packages;
mod retired;
mod sysctl;
mod unit;

pub use certificate::{Certificate, pem};
pub use change::{Arg, Call, Change, Diff, Effect, Id, Order, Payload, Verb, yaml};
use file::moment;
pub use file::{Directory, File, Live};
pub use firewall::Firewall;
pub use leftovers::Leftovers;
pub use packages::Packages;
pub use retired::Retired;
pub use sysctl::{SYSCTL_FILE, Sysctl};
pub use unit::Unit;

use std::collections::{BTreeMap, BTreeSet};

/// What a probe said of one resource: keys and values, as its shell function printed them.
pub type Fields = BTreeMap<String, String>;

/// What a comparison may look at beside the resource itself.
#[derive(Debug)]
pub struct Context<'a> {
    /// Resources of the same node that change before this one.
    pub changing: &'a BTreeSet<Id>,
    /// The time of the plan.
    pub now: time::OffsetDateTime,
}

/// A state that must not be changed: the world is not what a plan may assume.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct Refusal {
    /// What stands in the way, in a sentence.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// Something on a node that has a wanted state.
pub trait Resource: Send + Sync + std::fmt::Debug {
    /// Kind and name, unique on the node.
    fn id(&self) -> Id;
    /// How to look at it.
    fn probe(&self) -> Call;
    /// What must change, given what the probe said.
    fn compare(&self, seen: &Fields, context: &Context<'_>) -> Result<Option<Change>, Refusal>;
    /// Path and text, for what is a file on the node.
    fn content(&self) -> Option<(&str, String)> {
        None
    }
}

/// The shell functions of every kind, for the scripts that run on nodes.
pub const SHELL: &str = concat!(
    include_str!("packages.sh"),
    include_str!("file.sh"),
    include_str!("leftovers.sh"),
    include_str!("certificate.sh"),
    include_str!("unit.sh"),
    include_str!("retired.sh"),
    include_str!("sysctl.sh"),
    include_str!("firewall.sh"),
);

/// Looks at once, in one process for each of these functions, at all that `probes` will ask about: they say from then on
/// what that has found.
pub fn ahead<'a>(probes: impl Iterator<Item = &'a Call>) -> Vec<Call> {
    let (mut stats, mut hashes, mut certificates, mut units) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for probe in probes {
        let mut words = probe.args.iter().filter_map(|arg| match arg {
            Arg::Text(text) => Some(text.clone()),
            Arg::Payload(_) => None,
        });
        let Some(first) = words.next() else { continue };
        match probe.function {
            "directory_probe" => _ = stats.insert(first),
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

/// SHA-256 in lower-case hexadecimal, as `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    use std::fmt::Write;
    sha2::Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
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
    #[cfg(target_os = "linux")]
    fn kernel_parameters_are_read_each_to_its_name_whether_it_has_a_value_or_none() {
        let keys = [
            "net.ipv4.no_such_key",
            "net.ipv4.tcp_rmem",
            "net.ipv4.ip_local_reserved_ports",
            "net.core.somaxconn",
        ];
        let read = |key: &str| {
            let value = std::fs::read_to_string(format!("/proc/sys/{}", key.replace('.', "/"))).ok()?;
            Some(format!("{key}={}\n", value.trim_end()))
        };
        // What may not be written is not shown: without root nothing is.
        let shown = if rustix::process::geteuid().is_root() { &keys[..] } else { &[] };
        let script = format!("{SHELL}\nsysctl_probe {}\n", keys.join(" "));
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let expected: String = shown.iter().filter_map(|key| read(key)).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
