//! Which part of a plan is wanted, by node and by phase. What is left out is counted, so that it can be said.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{PHASES, Plan};
use crate::cluster::{Cluster, NodeName};
use crate::inventory::closest;
use crate::resource::Change;

/// A wanted part of a plan. Nothing named is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Patterns of nodes, one after the other: `w*`, `@patroni` for the nodes of a role or kind, `!w3` without one.
    pub on: Vec<String>,
    /// Only these phases.
    pub phases: BTreeSet<String>,
    /// Not these.
    pub skip: BTreeSet<String>,
}

/// A pattern or phase that names nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// A pattern of `--on`.
    #[error("`{pattern}` in --on matches no node; there are: {known}")]
    Nodes {
        /// The pattern.
        pattern: String,
        /// What could be meant.
        known: String,
    },
    /// The one node that something is to be done with.
    #[error("there is no node `{name}`; there are: {known}")]
    Node {
        /// What was named.
        name: String,
        /// What could be meant.
        known: String,
    },
    /// All nodes are taken out again.
    #[error("--on leaves no node over")]
    Empty,
    /// A phase.
    #[error("there is no phase `{phase}`; there are: {known}")]
    Phase {
        /// What was named.
        phase: String,
        /// All phases.
        known: String,
    },
    /// A service of `certs renew`.
    #[error("no service `{service}` has certificates; these have: {known}")]
    Service {
        /// What was named.
        service: String,
        /// All that have certificates.
        known: String,
    },
}

impl SelectionError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        let meant = |word: &str, known: &str| {
            let meant = closest(word, known.split(", "));
            meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`? "))
        };
        match self {
            Self::Nodes { pattern, known } => {
                let plain = pattern.trim_start_matches('!');
                meant(plain, known)
                    + "a pattern is a name, `w*`, `@ROLE` or `@KIND`; `!` in front takes nodes away"
            }
            Self::Node { name, known } => meant(name, known) + "name one node, as the inventory does",
            Self::Empty => {
                "`!` takes nodes away from those named before it; name more, or take away fewer".into()
            }
            Self::Phase { phase, known } => {
                meant(phase, known) + "`deploy plan` without --phase shows which of them have work"
            }
            Self::Service { service, known } => {
                meant(service, known) + "`deploy certs` shows the certificates of each"
            }
        }
    }
}

/// The node of that name, which runs `role`.
pub fn node_with_role(cluster: &Cluster, role: &str, name: &str) -> Result<NodeName, SelectionError> {
    let nodes = || cluster.with_role(role).map(|(node, _)| node);
    nodes().find(|node| node.as_str() == name).cloned().ok_or_else(|| {
        let known: Vec<&str> = nodes().map(NodeName::as_str).collect();
        SelectionError::Node { name: name.to_owned(), known: known.join(", ") }
    })
}

/// Changes of one phase that were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// Name of the phase.
    pub phase: &'static str,
    /// How many.
    pub changes: usize,
    /// On which nodes.
    pub nodes: BTreeSet<NodeName>,
}

impl Selection {
    /// Everything is wanted.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// The selected nodes; an error where a pattern matches nothing, which is a typing error most often.
    pub fn nodes(&self, cluster: &Cluster) -> Result<BTreeSet<NodeName>, SelectionError> {
        let all = || cluster.nodes.keys().cloned().collect::<BTreeSet<_>>();
        let taken_out = |pattern: &String| pattern.starts_with('!');
        let mut chosen = if self.on.iter().all(taken_out) { all() } else { BTreeSet::new() };
        for pattern in &self.on {
            let (negated, plain) = match pattern.strip_prefix('!') {
                Some(plain) => (true, plain),
                None => (false, pattern.as_str()),
            };
            let matching = matching(plain, cluster);
            if matching.is_empty() {
                return Err(SelectionError::Nodes { pattern: pattern.clone(), known: known(plain, cluster) });
            }
            if negated {
                chosen.retain(|node| !matching.contains(node));
            } else {
                chosen.extend(matching);
            }
        }
        if chosen.is_empty() { Err(SelectionError::Empty) } else { Ok(chosen) }
    }

    fn wants(&self, phase: &str) -> bool {
        (self.phases.is_empty() || self.phases.contains(phase)) && !self.skip.contains(phase)
    }

    /// An error where it names a node or a phase that there is not.
    pub fn check(&self, cluster: &Cluster) -> Result<(), SelectionError> {
        self.known_phases()?;
        self.nodes(cluster).map(drop)
    }

    fn known_phases(&self) -> Result<(), SelectionError> {
        let known = |name: &str| PHASES.iter().any(|phase| phase.name == name);
        match self.phases.iter().chain(&self.skip).find(|name| !known(name)) {
            None => Ok(()),
            Some(phase) => Err(SelectionError::Phase {
                phase: phase.clone(),
                known: PHASES.iter().map(|phase| phase.name).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Leaves the wanted part of `plan`; what follows from what is left stays with it, on whatever node.
    pub fn narrow(&self, plan: &mut Plan, cluster: &Cluster) -> Result<(), SelectionError> {
        if self.is_all() {
            return Ok(());
        }
        self.known_phases()?;
        let nodes = self.nodes(cluster)?;
        let mut hidden: BTreeMap<&'static str, Hidden> = BTreeMap::new();
        for phase in &mut plan.phases {
            let name = phase.phase.name;
            let wanted = self.wants(name);
            let own = |node: &NodeName, change: &Change| {
                !change.last && change.ahead.is_none() && nodes.contains(node)
            };
            let any = phase.changes().any(|(node, change)| own(node, change));
            let left = |node: &NodeName, last: bool| wanted && any && (nodes.contains(node) || last);
            for (node, _) in
                phase.changes().filter(|(node, change)| change.ahead.is_none() && !left(node, change.last))
            {
                let entry = hidden.entry(name).or_insert_with(|| Hidden {
                    phase: name,
                    changes: 0,
                    nodes: BTreeSet::new(),
                });
                entry.changes += 1;
                entry.nodes.insert(node.clone());
            }
            phase.retain(|node, change| left(node, change.last));
            // What the phase finds later on and is not part of this plan is left alone.
            phase.partial = true;
        }
        plan.phases.retain(|phase| !phase.waves.is_empty());
        let in_order = PHASES.iter().filter_map(|phase| hidden.remove(phase.name));
        plan.hidden = in_order.collect();
        Ok(())
    }
}

fn matching(pattern: &str, cluster: &Cluster) -> BTreeSet<NodeName> {
    let nodes = cluster.nodes.iter().filter(|(name, node)| match pattern.strip_prefix('@') {
        Some(group) => node.roles.contains(group) || node.kinds.iter().any(|kind| kind.as_str() == group),
        None => glob(pattern, name.as_str()),
    });
    nodes.map(|(name, _)| name.clone()).collect()
}

fn known(pattern: &str, cluster: &Cluster) -> String {
    let words: BTreeSet<String> = if pattern.starts_with('@') {
        let roles = cluster.nodes.values().flat_map(|node| node.roles.iter().cloned());
        let kinds =
            cluster.nodes.values().flat_map(|node| node.kinds.iter().map(|kind| kind.as_str().to_owned()));
        roles.chain(kinds).map(|group| format!("@{group}")).collect()
    } else {
        cluster.nodes.keys().map(ToString::to_string).collect()
    };
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Whether `text` is what `pattern` says: `*` is any text, `?` any one character.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Rows of the usual table: `reach[i]` says whether the pattern so far can end after `i` characters.
    let mut reach = vec![false; text.len() + 1];
    reach[0] = true;
    for sign in pattern {
        let before = reach.clone();
        for end in 0..=text.len() {
            reach[end] = match sign {
                '*' => before[end] || (end > 0 && reach[end - 1]),
                '?' => end > 0 && before[end - 1],
                _ => end > 0 && before[end - 1] && text[end - 1] == sign,
            };
        }
    }
    reach[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::fixture::{MIXED, source};
    use crate::pki::Trust;

    fn nodes(on: &str) -> Result<String, SelectionError> {
        let source = source(MIXED, Trust::settled("ca", "0"));
        let on = on.split(',').map(str::to_owned).collect();
        let nodes = Selection { on, ..Selection::default() }.nodes(&source.cluster)?;
        Ok(nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn patterns_add_and_take_away_in_their_order() {
        assert_eq!(nodes("w*").unwrap(), "w1 w2 w3");
        assert_eq!(nodes("w*,m1,!w3").unwrap(), "m1 w1 w2");
        assert_eq!(nodes("!w?").unwrap(), "a1 m1 m2 m3");
        assert_eq!(nodes("@patroni,!w2").unwrap(), "w1 w3");
        assert_eq!(nodes("@app").unwrap(), "a1");
        assert_eq!(nodes("*1,@worker").unwrap(), "a1 m1 w1 w2 w3");
    }

    #[test]
    fn a_pattern_that_names_nothing_is_an_error_that_says_what_there_is() {
        let said = nodes("w*,x1").unwrap_err().to_string();
        assert!(said.contains("`x1`") && said.contains("a1, m1, m2"), "{said}");
        let said = nodes("@patrony").unwrap_err().to_string();
        assert!(said.contains("@patroni"), "{said}");
        assert_eq!(nodes("m1,!m*"), Err(SelectionError::Empty));
    }

    fn bare(source: &crate::render::Source) -> Plan {
        let facts = crate::live::fixture::facts(13);
        let seen = crate::live::Observation { facts, fields: BTreeMap::new() };
        let observed = source.cluster.nodes.keys().map(|node| (node.clone(), seen.clone())).collect();
        crate::plan::build(source, &observed, time::OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn what_is_left_out_is_counted_and_nothing_is_lost() {
        let source = source(MIXED, Trust::settled("ca", "0"));
        let whole = bare(&source);
        let mut plan = whole.clone();
        let selection =
            Selection { on: vec!["w*".into()], skip: ["base".to_owned()].into(), ..Selection::default() };
        selection.narrow(&mut plan, &source.cluster).unwrap();
        assert!(
            plan.changes().all(|(phase, node, _)| node.as_str().starts_with('w') && phase.name != "base")
        );
        let left_out: usize = plan.hidden.iter().map(|hidden| hidden.changes).sum();
        assert_eq!(plan.changes().count() + left_out, whole.changes().count());
        let base = plan.hidden.iter().find(|hidden| hidden.phase == "base").unwrap();
        assert_eq!(base.nodes.len(), 7);
        assert!(plan.phases.iter().all(|phase| phase.partial));
    }

    #[test]
    fn the_roles_of_a_plan_are_those_of_its_phases_on_its_nodes() {
        let source = source(MIXED, Trust::settled("ca", "0"));
        let roles = |on: &str, phase: &str| {
            let mut plan = bare(&source);
            let phases = [phase.to_owned()].into();
            let selection = Selection { on: vec![on.into()], phases, ..Selection::default() };
            selection.narrow(&mut plan, &source.cluster).unwrap();
            Vec::from_iter(plan.roles(&source.cluster, &source.library)).join(" ")
        };
        assert_eq!(roles("w1", "base"), "base firewall");
        assert_eq!(roles("w*", "patroni"), "patroni");
        // No role belongs to this phase: it works on PostgreSQL.
        assert_eq!(roles("*", "databases"), "patroni");
        assert_eq!(roles("w1", "haproxy"), "");
    }

    #[test]
    fn a_phase_that_does_not_exist_is_named_with_those_that_do() {
        let source = source(MIXED, Trust::settled("ca", "0"));
        let selection = Selection { phases: ["etc".to_owned()].into(), ..Selection::default() };
        let said = selection.check(&source.cluster).unwrap_err().to_string();
        assert!(said.contains("`etc`") && said.contains("packages, base, etcd"), "{said}");
    }
}
