//! A certificate with its key on a node: made new when it is missing, wrong, or inside its renewal window.

use super::file::difference;
use super::{Call, Change, Context, Fields, Id, Order, Payload, Refusal, Resource, Verb};
use crate::pki::{self, LeafRequest};

/// A certificate and where it lies.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Absolute path without ending.
    pub path: String,
    /// Certificate and key in one file, `<path>.pem`, instead of `<path>.crt` and `<path>.key`.
    pub one_file: bool,
    /// `user:group` of the key.
    pub owner: String,
    /// Mode of the key, octal.
    pub mode: String,
    /// What it must say.
    pub request: LeafRequest,
    /// The authorities that may have issued it, PEM each.
    pub issuers: Vec<String>,
    /// Days before its end at which it is renewed.
    pub window_days: u32,
    /// A file of authorities that its service reads only together with a new certificate.
    pub follows: Option<String>,
    /// Somebody wants it new, whatever it is like.
    pub asked_for: bool,
}

/// A certificate as probes print it: PEM, each line ended by a bar.
pub fn pem(seen: &Fields, key: &str) -> Option<String> {
    Some(seen.get(key)?.replace('|', "\n"))
}

impl Certificate {
    /// The files that services read.
    pub fn files(&self) -> Vec<String> {
        if self.one_file {
            vec![format!("{}.pem", self.path)]
        } else {
            vec![format!("{}.crt", self.path), format!("{}.key", self.path)]
        }
    }

    /// Why a certificate without a flaw is made anew.
    fn other_reason(&self, seen: &Fields, context: &Context<'_>) -> Option<&'static str> {
        if self.asked_for {
            return Some("a new one is asked for");
        }
        let file = Id::new("file", self.follows.as_deref()?);
        if context.changing.contains(&file) {
            return Some("its service takes other authorities with a new one only");
        }
        (seen.get("authority").map(String::as_str) == Some("newer"))
            .then_some("is older than the authorities beside it")
    }

    fn layout(&self) -> String {
        if self.one_file { "pem".into() } else { "pair".into() }
    }
}

impl Resource for Certificate {
    fn id(&self) -> Id {
        Id::new("certificate", &self.path)
    }

    fn probe(&self) -> Call {
        Call::new("certificate_probe", [self.path.clone(), self.layout()])
    }

    fn compare(&self, seen: &Fields, context: &Context<'_>) -> Result<Option<Change>, Refusal> {
        let pem = pem(seen, "certificate").unwrap_or_default();
        let issuers: Vec<&str> = self.issuers.iter().map(String::as_str).collect();
        let flaws = pki::inspect(
            &pem,
            Some(seen.get("key").map_or("", String::as_str)),
            &self.request,
            &issuers,
            context.now,
            self.window_days,
        );
        let reason = if flaws.is_empty() {
            self.other_reason(seen, context).map(str::to_owned)
        } else {
            Some(flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        let Some(reason) = reason else {
            return Ok(difference(seen, &self.owner, &self.mode, None).map(|(verb, reason)| {
                let args = [self.path.clone(), self.layout(), self.owner.clone(), self.mode.clone()];
                Change::new(self.id(), verb, reason, Order::Stage, Call::new("certificate_own", args))
            }));
        };
        let verb = if pem.is_empty() { Verb::Create } else { Verb::Update };
        let args = [self.path.clone(), self.layout(), self.owner.clone(), self.mode.clone()];
        let call = Call::new("certificate_apply", args).with(Payload::Leaf(self.request.clone()));
        Ok(Some(Change::new(self.id(), verb, reason, Order::Stage, call)))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn certificate_and_key_are_put_back_together_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let (root, kept) =
            (root.path(), root.path().join("run/files").join(root.path().strip_prefix("/").unwrap()));
        std::fs::create_dir_all(&kept).unwrap();
        let write = |folder: &std::path::Path, ending: &str, text: &str| {
            std::fs::write(folder.join(format!("server.{ending}")), text).unwrap();
        };
        let restore = || {
            let script = format!(
                "set -e\nRUN_DIR={0}/run\n{1}certificate_restore {0}/server pair\n",
                root.display(),
                include_str!("certificate.sh")
            );
            assert!(std::process::Command::new("sh").arg("-c").arg(script).status().unwrap().success());
            ["crt", "key"]
                .map(|ending| std::fs::read_to_string(root.join(format!("server.{ending}"))).unwrap())
        };
        for ending in ["crt", "key"] {
            write(root, ending, "new");
        }
        write(&kept, "crt", "old");
        assert_eq!(restore(), ["new", "new"]);
        write(&kept, "key", "old");
        assert_eq!(restore(), ["old", "old"]);
    }
}
