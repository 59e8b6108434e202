//! Files that we have written and that nothing wants any more, where one holds a key that may not lie about.

use super::{Call, Change, Context, Fields, Id, Order, Refusal, Resource, Verb};

/// The files of one folder with one ending, of which some are wanted.
#[derive(Debug, Clone)]
pub struct Leftovers {
    /// Absolute path of the folder.
    pub folder: &'static str,
    /// The ending, without its dot.
    pub ending: &'static str,
    /// Absolute paths of those that are wanted.
    pub wanted: Vec<String>,
}

impl Resource for Leftovers {
    fn id(&self) -> Id {
        Id::new("leftovers", format!("{}/*.{}", self.folder, self.ending))
    }

    fn probe(&self) -> Call {
        Call::new("leftovers_probe", [self.folder, self.ending])
    }

    fn compare(&self, seen: &Fields, _: &Context<'_>) -> Result<Option<Change>, Refusal> {
        let ours = seen.get("files").map_or("", String::as_str).split_whitespace();
        let paths = ours.map(|name| format!("{}/{name}", self.folder));
        let left: Vec<String> = paths.filter(|path| !self.wanted.contains(path)).collect();
        if left.is_empty() {
            return Ok(None);
        }
        let reason = format!("nothing names {} any more", left.join(", "));
        // What named them is replaced by then.
        let call = Call::new("leftovers_remove", left);
        Ok(Some(Change::new(self.id(), Verb::Delete, reason, Order::Settle, call)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn compare(files: &str) -> Option<Change> {
        let leftovers = Leftovers { folder: "/etc/x", ending: "pem", wanted: vec!["/etc/x/shop.pem".into()] };
        let seen = Fields::from([("files".to_owned(), files.to_owned())]);
        let changing = BTreeSet::new();
        let context =
            Context { changing: &changing, now: time::OffsetDateTime::UNIX_EPOCH, only_certificates: false };
        leftovers.compare(&seen, &context).unwrap()
    }

    #[test]
    fn what_nothing_names_is_removed_and_what_is_wanted_left_alone() {
        let change = compare("old.pem shop.pem ").unwrap();
        assert_eq!(change.verb, Verb::Delete);
        assert_eq!(change.calls, [(Order::Settle, Call::new("leftovers_remove", ["/etc/x/old.pem"]))]);
        assert_eq!(compare("shop.pem "), None);
        assert_eq!(compare(""), None);
    }
}
