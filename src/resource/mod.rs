//! What can be observed on a node, compared and changed: one file for each kind, its shell beside it. Pure.
//!
//! A [`Resource`] says how to look at it ([`Resource::probe`]) and, given what was seen, what has to change
//! ([`Resource::compare`]). Both speak in [`Call`]s: functions of the kind's `.sh` file with their arguments. Nothing
//! here runs anything.

mod ahead;
mod certificate;
mod change;
mod file;
mod firewall;
mod leftovers;
mod packages;
mod retired;
mod sysctl;
mod unit;

pub use ahead::{Together, ahead, together};
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
    /// Services take new certificates, and nothing else: none restarts for a file that waits for it.
    pub only_certificates: bool,
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
