//! Users of Redis and Sentinel: their rules, and which passwords they take. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What Redis adds to or leaves out of a line without meaning anything by it.
const SILENT: [&str; 3] = ["sanitize-payload", "resetchannels", "resetkeys"];

/// A user, as a line of a configuration or of `ACL LIST` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// It may log in.
    pub on: bool,
    /// SHA-256 of each password that it may log in by.
    pub passwords: BTreeSet<String>,
    /// Keys, channels and commands, in the order of the line.
    pub rules: Vec<String>,
}

impl User {
    /// The name and the user of a line; none where it is no such line.
    pub fn parse(line: &str) -> Option<(String, Self)> {
        let mut words = line.strip_prefix("user ")?.split_whitespace();
        let name = words.next()?.to_owned();
        let mut user = Self::default();
        for word in words {
            match word {
                "on" => user.on = true,
                "off" => user.on = false,
                word if SILENT.contains(&word) => {}
                word => match word.strip_prefix('#') {
                    Some(hash) => drop(user.passwords.insert(hash.to_owned())),
                    None => user.rules.push(word.to_owned()),
                },
            }
        }
        Some((name, user))
    }

    /// Redis puts commands in an order of its own.
    fn may_the_same(&self, other: &Self) -> bool {
        let set = |user: &Self| user.rules.iter().cloned().collect::<BTreeSet<_>>();
        self.on == other.on && set(self) == set(other)
    }

    fn passwords(&self) -> String {
        self.passwords.iter().flat_map(|hash| [" #", hash]).collect()
    }
}

/// Commands that give every wanted user its rules, and its password beside those that it has; and why.
pub fn given(wanted: &[(String, User)], seen: &BTreeMap<String, User>) -> (Vec<String>, Vec<String>) {
    let (mut commands, mut reasons) = (Vec::new(), Vec::new());
    for (name, user) in wanted {
        let known = seen.get(name);
        if known.is_none_or(|known| !known.may_the_same(user)) {
            let state = if user.on { "on" } else { "off" };
            let (rules, passwords) = (user.rules.join(" "), user.passwords());
            commands
                .push(format!("ACL SETUSER {name} {state} resetkeys resetchannels -@all {rules}{passwords}"));
            reasons.push(match known {
                None => format!("there is no user {name}"),
                Some(_) => format!("{name} may do other things than it should"),
            });
        } else if known.is_some_and(|known| !user.passwords.is_subset(&known.passwords)) {
            commands.push(format!("ACL SETUSER {name}{}", user.passwords()));
            reasons.push(format!("the password of {name} is not the one in the store"));
        }
    }
    (commands, reasons)
}

/// Commands that leave every wanted user the wanted passwords alone; and the names of those that have others.
pub fn taken_back(wanted: &[(String, User)], seen: &BTreeMap<String, User>) -> (Vec<String>, Vec<String>) {
    let others = wanted.iter().filter(|(name, user)| {
        seen.get(name).is_some_and(|known| !known.passwords.is_subset(&user.passwords))
    });
    others
        .map(|(name, user)| (format!("ACL SETUSER {name} resetpass{}", user.passwords()), name.clone()))
        .unzip()
}
