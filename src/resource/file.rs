//! Files and directories: content, owner and mode.

use super::{
    Arg, Call, Change, Context, Diff, Effect, Fields, Id, Order, Payload, Refusal, Resource, Verb, sha256,
};

/// A directory.
#[derive(Debug, Clone)]
pub struct Directory {
    /// Absolute path.
    pub path: String,
    /// `user:group`.
    pub owner: String,
    /// Octal, four digits.
    pub mode: String,
    /// Its package has other ideas of it, and is told to leave it so (`dpkg-statoverride`).
    pub overrides_package: bool,
    /// When it is made.
    pub order: Order,
}

impl Resource for Directory {
    fn id(&self) -> Id {
        Id::new("directory", &self.path)
    }

    fn probe(&self) -> Call {
        let path = self.path.as_str();
        Call::new(
            "directory_probe",
            std::iter::once(path).chain(self.overrides_package.then_some("override")),
        )
    }

    fn compare(&self, seen: &Fields, _: &Context<'_>) -> Result<Option<Change>, Refusal> {
        let owned = difference(seen, &self.owner, &self.mode, None);
        let Some((verb, reason)) = owned.or_else(|| self.unkept(seen)) else { return Ok(None) };
        let arguments = [self.path.as_str(), &self.owner, &self.mode];
        let call = Call::new(
            "directory_apply",
            arguments.into_iter().chain(self.overrides_package.then_some("override")),
        );
        Ok(Some(Change::new(self.id(), verb, reason, self.order, call)))
    }
}

impl Directory {
    /// That its package would change it when it is next installed.
    fn unkept(&self, seen: &Fields) -> Option<(Verb, String)> {
        let kept = format!("{} {}", self.owner, self.mode.trim_start_matches('0'));
        let told = seen.get("override").is_some_and(|told| *told == kept);
        (self.overrides_package && !told).then(|| (Verb::Update, "its package would change it".to_owned()))
    }
}

/// A file whose whole content is ours.
#[derive(Clone)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// `user:group`.
    pub owner: String,
    /// Octal, four digits.
    pub mode: String,
    /// Content.
    pub content: String,
    /// Content with every secret masked; equal to `content` where there is none.
    pub masked: String,
    /// Command that checks the staged file; `%s` is its path.
    pub validate: Option<String>,
    /// A service keeps it: what is there is left alone.
    pub seed: bool,
    /// When it goes live.
    pub live: Live,
}

/// When in its step a file goes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// Before any package is installed.
    BeforePackages,
    /// Before the other files are validated: they name it.
    AtOnce,
    /// When all files of the step are validated.
    Validated,
}

impl Live {
    /// When it is staged, and when it is committed.
    fn orders(self) -> (Order, Order) {
        match self {
            Self::BeforePackages => (Order::Prepare, Order::Prepare),
            Self::AtOnce => (Order::Stage, Order::Stage),
            Self::Validated => (Order::Stage, Order::Commit),
        }
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Resource for File {
    fn id(&self) -> Id {
        Id::new("file", &self.path)
    }

    fn probe(&self) -> Call {
        Call::new("file_probe", [&self.path])
    }

    fn compare(&self, seen: &Fields, _: &Context<'_>) -> Result<Option<Change>, Refusal> {
        if self.seed && seen.contains_key("sha256") {
            return Ok(None);
        }
        let hash = sha256(self.content.as_bytes());
        let Some((verb, reason)) = difference(seen, &self.owner, &self.mode, Some(&hash)) else {
            return Ok(None);
        };
        let stage = Call::new("file_stage", [&self.path, &self.owner, &self.mode])
            .with(Payload::Bytes(self.content.clone().into_bytes()));
        let (staged, committed) = self.live.orders();
        let mut calls = vec![(staged, stage)];
        if let Some(command) = &self.validate {
            calls.push((Order::Validate, Call::new("file_validate", [&self.path, command])));
        }
        let written = format!("{hash} {} {}", self.owner, self.mode.trim_start_matches('0'));
        calls.push((committed, Call::new("file_commit", [&self.path, &written])));
        let diff = Diff {
            old: (verb == Verb::Create).then(String::new),
            new: self.masked.clone(),
            secret: self.masked != self.content || !world_readable(seen),
        };
        Ok(Some(Change {
            id: self.id(),
            verb,
            reason,
            effect: Effect::None,
            unnoticed: false,
            drift: drift(seen),
            adopt: None,
            diff: Some(diff),
            calls,
            cluster_wide: false,
            last: false,
            follows: false,
            ahead: None,
            confirm: None,
        }))
    }

    fn content(&self) -> Option<(&str, String)> {
        Some((&self.path, self.content.clone()))
    }
}

impl File {
    /// How to fetch what is there, for a diff.
    pub fn fetch(path: &str) -> Call {
        Call { function: "file_fetch", args: vec![Arg::Text(path.to_owned())] }
    }
}

/// Whether what is there has no secret from anybody on its node.
fn world_readable(seen: &Fields) -> bool {
    seen.get("mode").and_then(|mode| mode.chars().last()).is_none_or(|others| ('4'..='7').contains(&others))
}

/// What somebody else has done to a file since it was written here: its content, owner or mode is not what was kept then.
fn drift(seen: &Fields) -> Option<String> {
    let get = |key: &str| seen.get(key).map_or("", String::as_str);
    let written = seen.get("written")?;
    if get("owner").is_empty() {
        return Some("removed on the node".into());
    }
    if *written == format!("{} {} {}", get("sha256"), get("owner"), get("mode")) {
        return None;
    }
    // A chmod or chown leaves the time of the last write as it was.
    Some(if written.split(' ').next() == Some(get("sha256")) {
        format!("owner or mode changed on the node{}", moment("; last changed", get("ctime")))
    } else {
        format!("changed on the node{}", moment("; last written", get("mtime")))
    })
}

/// `words` with a time in seconds since 1970, for people; nothing where it is none.
pub fn moment(words: &str, at: &str) -> String {
    let at = at.parse().ok().and_then(|at| time::OffsetDateTime::from_unix_timestamp(at).ok());
    at.map_or_else(String::new, |at| format!("{words} {} {:02}:{:02} UTC", at.date(), at.hour(), at.minute()))
}

/// What differs between a wanted and a seen file or directory, in words.
pub fn difference(seen: &Fields, owner: &str, mode: &str, hash: Option<&str>) -> Option<(Verb, String)> {
    let get = |key: &str| seen.get(key).map(String::as_str);
    let Some(seen_owner) = get("owner") else {
        return Some((Verb::Create, "missing".into()));
    };
    let mut reasons = Vec::new();
    if hash.is_some() && hash != get("sha256") {
        reasons.push("content differs".to_owned());
    }
    if seen_owner != owner {
        reasons.push(format!("owner is {seen_owner}, not {owner}"));
    }
    match get("mode") {
        Some(seen_mode) if seen_mode.trim_start_matches('0') != mode.trim_start_matches('0') => {
            reasons.push(format!("mode is {seen_mode}, not {mode}"));
        }
        _ => {}
    }
    (!reasons.is_empty()).then(|| (Verb::Update, reasons.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn hosts() -> File {
        File {
            path: "/etc/hosts".into(),
            owner: "root:root".into(),
            mode: "0644".into(),
            content: "127.0.0.1 localhost\n".into(),
            masked: "127.0.0.1 localhost\n".into(),
            validate: None,
            seed: false,
            live: Live::Validated,
        }
    }

    fn compare(file: &File, seen: &[(&str, &str)]) -> Option<Change> {
        let seen = seen.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let changing = BTreeSet::new();
        file.compare(
            &seen,
            &Context { changing: &changing, now: time::OffsetDateTime::UNIX_EPOCH, only_certificates: false },
        )
        .unwrap()
    }

    #[test]
    fn a_missing_file_is_created_and_an_equal_one_left_alone() {
        assert_eq!(compare(&hosts(), &[]).unwrap().verb, Verb::Create);
        let hash = sha256(b"127.0.0.1 localhost\n");
        assert_eq!(compare(&hosts(), &[("owner", "root:root"), ("mode", "644"), ("sha256", &hash)]), None);
    }

    #[test]
    fn what_a_service_keeps_is_written_once() {
        let seed = File { seed: true, ..hosts() };
        assert_eq!(compare(&seed, &[]).unwrap().verb, Verb::Create);
        assert_eq!(compare(&seed, &[("owner", "redis:redis"), ("mode", "660"), ("sha256", "0")]), None);
    }

    #[test]
    fn a_directory_is_kept_from_its_package() {
        let mut directory = Directory {
            path: "/etc/redis".into(),
            owner: "root:redis".into(),
            mode: "0750".into(),
            overrides_package: true,
            order: Order::Stage,
        };
        let compare = |directory: &Directory, told: Option<&str>| {
            let mut seen: Fields = [("owner", "root:redis"), ("mode", "750")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            seen.extend(told.map(|told| ("override".to_owned(), told.to_owned())));
            let changing = BTreeSet::new();
            let context = Context {
                changing: &changing,
                now: time::OffsetDateTime::UNIX_EPOCH,
                only_certificates: false,
            };
            directory.compare(&seen, &context).unwrap().map(|change| change.reason)
        };
        assert_eq!(compare(&directory, None).unwrap(), "its package would change it");
        assert_eq!(compare(&directory, Some("redis:redis 2770")).unwrap(), "its package would change it");
        assert_eq!(compare(&directory, Some("root:redis 750")), None);
        directory.overrides_package = false;
        assert_eq!(compare(&directory, None), None, "what no package has ideas about");
    }

    #[test]
    fn each_difference_is_named() {
        let change = compare(&hosts(), &[("owner", "bob:root"), ("mode", "666"), ("sha256", "0")]).unwrap();
        assert_eq!(change.reason, "content differs; owner is bob:root, not root:root; mode is 666, not 0644");
        assert_eq!(change.verb, Verb::Update);
    }

    #[test]
    fn what_not_everybody_could_read_is_not_shown_to_everybody() {
        let secret = |mode| {
            let seen = [("owner", "root:root"), ("mode", mode), ("sha256", "0")];
            compare(&hosts(), &seen).unwrap().diff.unwrap().secret
        };
        assert!(secret("600") && secret("640") && secret("0"));
        assert!(!secret("644") && !secret("755"));
    }

    fn drift_of(seen: &[(&str, &str)]) -> Option<String> {
        drift(&seen.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn a_hand_on_the_node_is_told_from_a_change_of_the_inventory() {
        let now = [
            ("owner", "root:root"),
            ("mode", "644"),
            ("sha256", "aa"),
            ("mtime", "1767225660"),
            ("ctime", "1767229260"),
        ];
        let with = |written: &'static str| drift_of(&[&now[..], &[("written", written)]].concat());
        assert_eq!(with("aa root:root 644"), None, "as we left it: the inventory has changed");
        let changed = "changed on the node; last written 2026-01-01 00:01 UTC";
        assert_eq!(with("bb root:root 644").unwrap(), changed);
        let touched = "owner or mode changed on the node; last changed 2026-01-01 01:01 UTC";
        assert_eq!(with("aa root:root 600").unwrap(), touched);
        assert_eq!(with("bb root:root 600").unwrap(), changed);
        assert_eq!(drift_of(&now), None, "written before this was kept: nobody can tell");
        assert_eq!(drift_of(&[("written", "aa root:root 644")]).unwrap(), "removed on the node");
        assert_eq!(drift_of(&[]), None, "a bare node");
    }
}
