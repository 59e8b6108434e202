//! Looks who holds the lock of each node, and lets go in the place of a holder that is dead.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cluster::NodeName;
use crate::observe::{Hosts, ask_each};
use crate::transport::{Failure, Reply};

/// A holder gives a sign of life every five seconds; after so many without one it is taken for dead.
pub const DEAD_AFTER: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// The lock of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Nobody has it.
    Free,
    /// Somebody had it, and it was let go of in their place.
    Released {
        /// Who.
        owner: String,
    },
    /// Somebody has it.
    Held {
        /// Who, and since which run.
        owner: String,
        /// Seconds since the last sign of life.
        silent: u64,
    },
}

/// Whose lock is let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Nobody's: look only.
    No,
    /// That of a holder without a sign of life.
    Dead,
    /// Anybody's.
    Force,
}

/// Asks every one of `hosts`.
pub async fn holders(hosts: &Hosts, release: Release) -> BTreeMap<NodeName, Result<Holder, Failure>> {
    let word = match release {
        Release::No => "no",
        Release::Dead => "dead",
        Release::Force => "force",
    };
    let script = format!("RELEASE={word}\nDEAD_AFTER={DEAD_AFTER}\n{}", include_str!("holder.sh"));
    let replies = ask_each(hosts, &script, PATIENCE).await;
    replies.into_iter().map(|(node, reply)| (node, reply.map(|reply| read(&reply)))).collect()
}

fn read(reply: &Reply) -> Holder {
    let said: BTreeMap<&str, &str> = reply.stdout.lines().filter_map(|line| line.split_once('=')).collect();
    let owner = said.get("owner").copied().unwrap_or_default();
    let owner = if owner.is_empty() { "somebody who does not say".to_owned() } else { owner.to_owned() };
    match said.get("state").copied() {
        Some("free") => Holder::Free,
        Some("released") => Holder::Released { owner },
        _ => {
            let silent = said.get("silent").and_then(|text| text.parse().ok()).unwrap_or_default();
            Holder::Held { owner, silent }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_of_its_lock_is_understood() {
        let read = |text: &str| read(&Reply { stdout: text.into(), ..Reply::default() });
        assert_eq!(read("state=free\n"), Holder::Free);
        let owner = "anna@laptop since 20260101T000000Z-0001".to_owned();
        let held = format!("owner={owner}\nsilent=3\nstate=held\n");
        assert_eq!(read(&held), Holder::Held { owner: owner.clone(), silent: 3 });
        let released = format!("owner={owner}\nsilent=40\nstate=released\n");
        assert_eq!(read(&released), Holder::Released { owner });
    }
}
