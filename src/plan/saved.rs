//! A plan that was looked at and is carried out later: what it saw on both sides, so that it can be refused once either
//! has moved. Pure.
//!
//! It keeps no calls. What it would do follows from what is wanted and what was seen, so the same is planned again and
//! held against the digest of every change. What cannot be made again, the secrets that the plan was the first to need,
//! is kept in it; that is why its file is encrypted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Plan;
use super::inputs::Inputs;
use super::select::Selection;
use crate::cluster::NodeName;
use crate::live::Observed;
use crate::resource::{Arg, Call, Change, Id, Payload, sha256};

/// Version of the file's shape.
pub const FORMAT: u32 = 2;

/// One change of a saved plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedChange {
    /// Name of its phase.
    pub phase: String,
    /// The node.
    pub node: NodeName,
    /// The resource.
    pub id: Id,
    /// Digest of the calls that make it, contents included.
    pub calls: String,
    /// Digest of what was seen of the resource, or of what the change says of it.
    pub seen: String,
    /// It is made once for the cluster, on whichever node.
    pub cluster_wide: bool,
}

/// What a plan was the first to need; kept until the store has it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Made {
    /// Certificate and key of the authority, PEM.
    pub authority: Option<(String, String)>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, String>,
}

/// A saved plan.
#[derive(Clone, Serialize, Deserialize)]
pub struct Saved {
    /// [`FORMAT`].
    pub format: u32,
    /// Names the plan; runs that carry it out bear it in their journals.
    pub id: String,
    /// The cluster.
    pub cluster: String,
    /// Who made it, and when.
    pub by: String,
    /// What was wanted.
    pub inputs: Inputs,
    /// The part of the cluster that it is for.
    pub selection: Selection,
    /// Every change.
    pub changes: Vec<SavedChange>,
    /// What it was the first to need.
    pub made: Made,
}

/// Why a saved plan is refused: everything that has moved.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved plan no longer fits; nothing was changed\n{}", .0.iter().map(|line| format!("       {line}")).collect::<Vec<_>>().join("\n"))]
pub struct Stale(pub Vec<String>);

impl Saved {
    /// The changes of `plan`, as they are kept.
    pub fn changes_of(plan: &Plan, observed: &Observed) -> Vec<SavedChange> {
        let changes = plan.changes().map(|(phase, node, change)| SavedChange {
            phase: phase.name.to_owned(),
            node: node.clone(),
            id: change.id.clone(),
            calls: digest(change),
            seen: seen(observed, node, change),
            cluster_wide: change.cluster_wide,
        });
        changes.collect()
    }

    /// Refuses where what is wanted has changed.
    pub fn require_inputs(&self, now: &Inputs) -> Result<(), Stale> {
        let moved = self.inputs.moved(now);
        if moved.is_empty() { Ok(()) } else { Err(Stale(moved)) }
    }

    /// Refuses where `plan`, made for what the nodes say now, is not this one. Where a run of it was `begun`, what that
    /// run has done is no reason, and the rest is what is left to do.
    pub fn require_nodes(&self, plan: &Plan, observed: &Observed, begun: bool) -> Result<(), Stale> {
        let now = Self::changes_of(plan, observed);
        let alike = |a: &SavedChange, b: &SavedChange| {
            a.id == b.id && (a.node == b.node || (a.cluster_wide && b.cluster_wide))
        };
        let same = |a: &SavedChange, b: &SavedChange| {
            alike(a, b) && a.phase == b.phase && a.calls == b.calls && (begun || a.seen == b.seen)
        };
        let known = |change: &SavedChange| self.changes.iter().any(|saved| same(saved, change));
        let about =
            |changes: &[SavedChange], one: &SavedChange| changes.iter().any(|change| alike(change, one));
        let mut moved = Vec::new();
        for change in now.iter().filter(|change| !known(change)) {
            let (node, id) = (&change.node, &change.id);
            moved.push(if about(&self.changes, change) {
                format!("{node}: {id} is not what it was when the plan was made")
            } else {
                format!("{node}: {id} has to be changed now, and was as wanted when the plan was made")
            });
        }
        if !begun {
            let gone = self.changes.iter().filter(|saved| !about(&now, saved));
            moved.extend(gone.map(|saved| {
                format!("{}: {} was to be changed, and is as wanted by now", saved.node, saved.id)
            }));
        }
        if moved.is_empty() { Ok(()) } else { Err(Stale(moved)) }
    }
}

/// What was seen of what a change is about. Live state has no fields of its own: one probe tells of all that a daemon
/// has, with much that moves by itself (positions in logs, revisions). Of that, what counts is what the change says.
fn seen(observed: &Observed, node: &NodeName, change: &Change) -> String {
    let text = match observed.get(node).and_then(|seen| seen.fields.get(&change.id)) {
        Some(fields) => {
            // Only what it is counts, not since when.
            let since = ["mtime", "ctime", "since"];
            let fields: BTreeMap<_, _> =
                fields.iter().filter(|(key, _)| !since.contains(&key.as_str())).collect();
            serde_json::to_string(&fields)
        }
        None => serde_json::to_string(&(&change.reason, &change.diff)),
    };
    sha256(text.unwrap_or_default().as_bytes())
}

/// One digest over the calls of a change, with everything that they carry. Each part goes in with its length, so that
/// no two sequences look alike.
fn digest(change: &Change) -> String {
    let mut bytes = Vec::new();
    let mut put = |part: &[u8]| {
        bytes.extend(part.len().to_le_bytes());
        bytes.extend(part);
    };
    let calls = change.calls.iter().map(|(order, call)| (format!("{order:?}"), call));
    for (order, call) in calls.chain(change.confirm.iter().map(|call| ("confirm".to_owned(), call))) {
        put(order.as_bytes());
        put_call(&mut put, call);
    }
    sha256(&bytes)
}

fn put_call(put: &mut impl FnMut(&[u8]), call: &Call) {
    put(call.function.as_bytes());
    for arg in &call.args {
        match arg {
            Arg::Text(text) => {
                put(b"text");
                put(text.as_bytes());
            }
            Arg::Payload(Payload::Bytes(content)) => {
                put(b"bytes");
                put(content);
            }
            Arg::Payload(Payload::Leaf(request)) => {
                put(b"leaf");
                put(serde_json::to_string(request).unwrap_or_default().as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Observation;
    use crate::live::fixture::{THREE, source};
    use crate::pki::Trust;
    use crate::plan::build;
    use crate::render::Source;
    use crate::resource::Fields;

    const NOW: time::OffsetDateTime = time::OffsetDateTime::UNIX_EPOCH;

    fn bare(source: &Source) -> Observed {
        let facts = || crate::live::fixture::facts(13);
        let nodes = source.cluster.nodes.keys();
        nodes.map(|name| (name.clone(), Observation { facts: facts(), fields: BTreeMap::new() })).collect()
    }

    fn saved(source: &Source, observed: &Observed) -> (Saved, Plan) {
        let plan = build(source, observed, NOW).unwrap();
        let saved = Saved {
            format: FORMAT,
            id: "one".into(),
            cluster: "test".into(),
            by: "me".into(),
            inputs: Inputs::of(source, THREE),
            selection: Selection::default(),
            changes: Saved::changes_of(&plan, observed),
            made: Made::default(),
        };
        let text = serde_json::to_string(&saved).unwrap();
        (serde_json::from_str(&text).unwrap(), plan)
    }

    /// The same nodes, but `n1` has another `/etc/hosts`.
    fn edited(observed: &Observed, content: &str) -> Observed {
        let mut observed = observed.clone();
        let fields = Fields::from([
            ("owner".into(), "root:root".into()),
            ("mode".into(), "644".into()),
            ("sha256".into(), sha256(content.as_bytes())),
        ]);
        let node = observed.get_mut(&NodeName::from("n1")).unwrap();
        node.fields.insert(Id::new("file", "/etc/hosts"), fields);
        observed
    }

    fn hosts_of(source: &Source, observed: &Observed) -> String {
        let node = NodeName::from("n1");
        let all = crate::render::resources(source, &node, Some(&observed[&node].facts)).unwrap();
        let files = all.values().flatten().filter_map(|resource| resource.content());
        files.filter(|(path, _)| *path == "/etc/hosts").map(|(_, content)| content).next().unwrap()
    }

    #[test]
    fn what_is_made_once_for_the_cluster_may_come_to_another_node() {
        let source = source(THREE, Trust::settled("ca", "0"));
        let observed = bare(&source);
        let (saved, mut plan) = saved(&source, &observed);
        let steps =
            plan.phases.iter_mut().flat_map(|phase| &mut phase.waves).flat_map(|wave| &mut wave.steps);
        let shared: Vec<_> =
            steps.filter(|step| step.changes.iter().all(|change| change.cluster_wide)).collect();
        assert!(!shared.is_empty());
        for step in shared {
            step.node = if step.node.as_str() == "n2" { "n3".into() } else { "n2".into() };
        }
        assert_eq!(saved.require_nodes(&plan, &observed, false), Ok(()));
    }

    #[test]
    fn a_plan_fits_while_nothing_has_moved() {
        let source = source(THREE, Trust::settled("ca", "0"));
        let observed = bare(&source);
        let (saved, plan) = saved(&source, &observed);
        assert!(saved.changes.len() > 50);
        assert_eq!(saved.require_inputs(&Inputs::of(&source, THREE)), Ok(()));
        assert_eq!(saved.require_nodes(&plan, &observed, false), Ok(()));
    }

    #[test]
    fn each_input_that_moved_is_named() {
        let before = source(THREE, Trust::settled("ca", "0"));
        let (mut saved, _) = saved(&before, &bare(&before));
        saved.inputs.functions = "another build's".into();
        let mut after = source(THREE, Trust::settled("other", "0"));
        after.library.templates.insert("base/hosts.j2".into(), "changed".into());
        after.secrets.insert("postgresql/new".into(), crate::secrets::Secret::new("x"));
        let Stale(moved) = saved.require_inputs(&Inputs::of(&after, "name: other")).unwrap_err();
        assert_eq!(
            moved,
            [
                concat!("deploy was another build of ", env!("CARGO_PKG_VERSION")),
                "the inventory has changed",
                "templates/base/hosts.j2 has changed",
                "the secret postgresql/new has changed",
                "the certificate authorities have changed"
            ]
        );
    }

    #[test]
    fn a_file_that_was_edited_since_refuses_the_plan() {
        let source = source(THREE, Trust::settled("ca", "0"));
        let before = edited(&bare(&source), "one");
        let (saved, _) = saved(&source, &before);
        let after = edited(&before, "two");
        let plan = build(&source, &after, NOW).unwrap();
        let Stale(moved) = saved.require_nodes(&plan, &after, false).unwrap_err();
        assert_eq!(moved, ["n1: file /etc/hosts is not what it was when the plan was made"]);
    }

    /// The same nodes with PostgreSQL on `n1`, whose role `app` may have so many connections.
    fn limited(observed: &Observed, limit: i32, etcd: &str) -> Observed {
        let app = serde_json::json!({ "login": true, "limit": limit, "password": null, "member_of": [] });
        let main = serde_json::json!({ "roles": { "app": app }, "databases": {} });
        let main = main.to_string();
        let mut observed = observed.clone();
        let fields = &mut observed.get_mut(&NodeName::from("n1")).unwrap().fields;
        fields.insert(Id::new("postgresql", "objects"), Fields::from([("main".into(), main)]));
        fields.insert(crate::live::etcd_id(), Fields::from([("status".into(), etcd.into())]));
        observed
    }

    #[test]
    fn live_state_that_was_changed_since_refuses_the_plan_and_what_moves_by_itself_does_not() {
        let source = source(THREE, Trust::settled("ca", "0"));
        let before = limited(&bare(&source), 5, "one");
        let (saved, _) = saved(&source, &before);
        let refused = |after: &Observed| {
            let plan = build(&source, after, NOW).unwrap();
            saved.require_nodes(&plan, after, false).err().map(|Stale(moved)| moved)
        };
        assert_eq!(refused(&limited(&before, 5, "another")), None);
        let moved = vec!["n1: role app is not what it was when the plan was made".to_owned()];
        assert_eq!(refused(&limited(&before, 6, "one")), Some(moved));
    }

    #[test]
    fn since_when_something_is_as_it_is_refuses_no_plan() {
        let source = source(THREE, Trust::settled("ca", "0"));
        let before = edited(&bare(&source), "one");
        let (saved, _) = saved(&source, &before);
        let mut after = before.clone();
        let node = after.get_mut(&NodeName::from("n1")).unwrap();
        let hosts = node.fields.get_mut(&Id::new("file", "/etc/hosts")).unwrap();
        hosts.extend(["mtime", "ctime", "since"].map(|key| (key.to_owned(), "1767225660".to_owned())));
        let plan = build(&source, &after, NOW).unwrap();
        assert_eq!(saved.require_nodes(&plan, &after, false), Ok(()));
        hosts_mode(&mut after, "600");
        let plan = build(&source, &after, NOW).unwrap();
        assert!(saved.require_nodes(&plan, &after, false).is_err());
    }

    fn hosts_mode(observed: &mut Observed, mode: &str) {
        let node = observed.get_mut(&NodeName::from("n1")).unwrap();
        let hosts = node.fields.get_mut(&Id::new("file", "/etc/hosts")).unwrap();
        hosts.insert("mode".into(), mode.into());
    }

    #[test]
    fn what_somebody_else_has_done_refuses_it_and_what_its_own_killed_run_has_done_does_not() {
        let source = source(THREE, Trust::settled("ca", "0"));
        let before = bare(&source);
        let (saved, _) = saved(&source, &before);
        let after = edited(&before, &hosts_of(&source, &before));
        let plan = build(&source, &after, NOW).unwrap();
        let Stale(moved) = saved.require_nodes(&plan, &after, false).unwrap_err();
        assert_eq!(moved, ["n1: file /etc/hosts was to be changed, and is as wanted by now"]);
        assert_eq!(saved.require_nodes(&plan, &after, true), Ok(()));
    }

    #[test]
    fn what_has_to_be_changed_only_now_is_refused_in_a_second_run_too() {
        let source = source(THREE, Trust::settled("ca", "0"));
        let bare = bare(&source);
        let before = edited(&bare, &hosts_of(&source, &bare));
        let (saved, _) = saved(&source, &before);
        let after = edited(&bare, "by hand");
        let plan = build(&source, &after, NOW).unwrap();
        for begun in [false, true] {
            let Stale(moved) = saved.require_nodes(&plan, &after, begun).unwrap_err();
            assert_eq!(
                moved,
                ["n1: file /etc/hosts has to be changed now, and was as wanted when the plan was made"]
            );
        }
    }
}
