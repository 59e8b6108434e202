//! What was chosen for applications while they run: which group is live, and which servers are drained.
//!
//! The choice lives on the nodes of HAProxy, in a file of ours (`state`) from which those that HAProxy reads are made,
//! and in HAProxy itself, which is told through its administration socket: no request is lost, and no reload is needed.
//! The inventory's `live` counts only until a group has been chosen. Every choice has its time, so that a node that was
//! away takes over what the others were told meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Observed, Placed, fields, text};
use crate::render::{Application, Choice, Chosen, Source, applications};
use crate::resource::{Call, Change, Fields, Id, Order, Payload, Verb};

/// Everything that was chosen, each with its time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    live: BTreeMap<String, (i64, String)>,
    drained: BTreeMap<(String, String), (i64, bool)>,
}

impl Choices {
    fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            let [word, application, what, at] = words[..] else { continue };
            let (what, at) = (what.to_owned(), at.parse().unwrap_or_default());
            let chosen = match word {
                "live" => Chosen::Live(what),
                "drained" => Chosen::Drained(what),
                "ready" => Chosen::Ready(what),
                _ => continue,
            };
            all.take(&Choice { application: application.to_owned(), what: chosen, at });
        }
        all
    }

    /// Takes a choice, unless there is a later one.
    fn take(&mut self, choice: &Choice) {
        let Choice { application, what, at } = choice.clone();
        match what {
            Chosen::Live(group) => {
                let known = self.live.entry(application).or_insert((i64::MIN, String::new()));
                *known = known.clone().max((at, group));
            }
            Chosen::Drained(server) | Chosen::Ready(server) => {
                let drained = matches!(choice.what, Chosen::Drained(_));
                let known = self.drained.entry((application, server)).or_insert((i64::MIN, false));
                *known = (*known).max((at, drained));
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "# managed by deploy (role haproxy): `deploy app` chooses which group is live, and drains servers\n",
        );
        for (application, (at, group)) in &self.live {
            let _ = writeln!(text, "live {application} {group} {at}");
        }
        for ((application, server), (at, drained)) in &self.drained {
            let word = if *drained { "drained" } else { "ready" };
            let _ = writeln!(text, "{word} {application} {server} {at}");
        }
        text
    }

    /// The live group of an application.
    pub fn live(&self, application: &str) -> Option<&str> {
        self.live.get(application).map(|(_, group)| group.as_str())
    }

    /// Whether a server of an application is drained.
    pub fn is_drained(&self, application: &str, server: &str) -> bool {
        self.drained.get(&(application.to_owned(), server.to_owned())).is_some_and(|(_, drained)| *drained)
    }
}

pub fn id() -> Id {
    Id::new("applications", "choices")
}

/// Whether a change is one of this file's.
pub fn is_choice(change: &Change) -> bool {
    change.id == id()
}

pub fn probe() -> Call {
    Call::new("applications_probe", Vec::<String>::new())
}

/// What holds by all that the nodes know, and by what is chosen now; for groups that nobody has chosen, the inventory's.
pub fn choices(source: &Source, observed: &Observed) -> Choices {
    let mut known = Choices::default();
    for (node, _) in source.cluster.with_role("haproxy") {
        let seen = fields(observed, node, &id()).and_then(|fields| text(fields, "state"));
        let seen = Choices::parse(&seen.unwrap_or_default());
        for (application, (at, group)) in seen.live {
            known.take(&Choice { application, what: Chosen::Live(group), at });
        }
        for ((application, server), (at, drained)) in seen.drained {
            let what = if drained { Chosen::Drained(server) } else { Chosen::Ready(server) };
            known.take(&Choice { application, what, at });
        }
    }
    if let Some(choice) = &source.choice {
        let last =
            known.live.values().map(|(at, _)| *at).chain(known.drained.values().map(|(at, _)| *at)).max();
        // Later than all others, whatever the clocks of those who chose before.
        let at = choice.at.max(last.unwrap_or_default() + 1);
        known.take(&Choice { at, ..choice.clone() });
    }
    let all = applications(&source.cluster);
    let mut wanted = Choices::default();
    for application in &all {
        if application.grouped {
            let chosen = known.live.get(&application.name).filter(|(_, group)| has_group(application, group));
            let first = source.cluster.inventory.applications.get(&application.name);
            let first = first.and_then(|first| first.live.clone()).unwrap_or_default();
            wanted.live.insert(application.name.clone(), chosen.cloned().unwrap_or((0, first)));
        }
        let servers: BTreeSet<&String> = servers(application).collect();
        let kept = known
            .drained
            .iter()
            .filter(|((name, server), _)| *name == application.name && servers.contains(server));
        wanted.drained.extend(kept.map(|(key, value)| (key.clone(), *value)));
    }
    wanted
}

/// Whether an application has a group.
pub fn has_group(application: &Application, group: &str) -> bool {
    application.grouped && application.pools.iter().any(|pool| pool.group == group)
}

/// The names of an application's servers.
pub fn servers(application: &Application) -> impl Iterator<Item = &String> {
    application.pools.iter().flat_map(|pool| pool.servers.iter().map(|server| &server.name))
}

/// What the nodes have to be told.
pub fn changes(source: &Source, observed: &Observed) -> Vec<Placed> {
    if source.cluster.inventory.applications.is_empty() {
        return Vec::new();
    }
    let wanted = choices(source, observed);
    let nodes = source.cluster.with_role("haproxy").filter(|(node, _)| observed.contains_key(*node));
    let changes = nodes.filter_map(|(node, _)| {
        let none = Fields::new();
        let seen = fields(observed, node, &id()).unwrap_or(&none);
        Some((node.clone(), change(source, &wanted, seen)?))
    });
    changes.collect()
}

fn change(source: &Source, wanted: &Choices, seen: &Fields) -> Option<Change> {
    let state = text(seen, "state");
    let before = Choices::parse(state.as_deref().unwrap_or_default());
    let reasons = match (&state, differences(source, wanted, seen)) {
        (None, _) => vec!["nothing chosen yet".to_owned()],
        (Some(state), told) if *state == wanted.text() => told,
        _ => moved(&before, wanted),
    };
    if reasons.is_empty() {
        return None;
    }
    let verb = if state.is_none() { Verb::Create } else { Verb::Update };
    let call = Call::new("applications_apply", Vec::<String>::new())
        .with(Payload::Bytes(wanted.text().into_bytes()));
    // In place before HAProxy's own configuration is validated, which reads what this makes.
    Some(Change::new(id(), verb, reasons.join("; "), Order::Stage, call))
}

/// In words, what is chosen otherwise than before.
fn moved(before: &Choices, wanted: &Choices) -> Vec<String> {
    let mut words = Vec::new();
    for (application, (_, group)) in &wanted.live {
        match before.live(application) {
            Some(old) if old == group => {}
            Some(old) => words.push(format!("{application}: {group} is live instead of {old}")),
            None => words.push(format!("{application}: {group} is live")),
        }
    }
    for (application, server) in wanted.drained.keys() {
        let drained = wanted.is_drained(application, server);
        if drained != before.is_drained(application, server) {
            let what = if drained { "is drained" } else { "is ready again" };
            words.push(format!("{application}: {server} {what}"));
        }
    }
    if words.is_empty() {
        words.push("its record differs from the other nodes'".into());
    }
    words
}

/// What a running HAProxy does otherwise than its files say.
fn differences(source: &Source, wanted: &Choices, seen: &Fields) -> Vec<String> {
    let mut words = Vec::new();
    let (Some(map), Some(drained)) = (text(seen, "map"), text(seen, "drained")) else { return words };
    for (application, (_, group)) in &wanted.live {
        if !map.lines().any(|line| line == format!("{application} {group}")) {
            words.push(format!("{application}: HAProxy was told otherwise than {group}"));
        }
    }
    for application in applications(&source.cluster) {
        for pool in &application.pools {
            for server in &pool.servers {
                let now = drained.lines().any(|line| line == format!("{}/{}", pool.backend, server.name));
                if now != wanted.is_drained(&application.name, &server.name) {
                    let what = if now { "is drained by hand" } else { "is not drained" };
                    words.push(format!("{}: {} {what}", application.name, server.name));
                }
            }
        }
    }
    words
}

/// Whether everything is so already, as a choice wants it.
pub fn is_chosen(source: &Source, observed: &Observed, choice: &Choice) -> bool {
    let known = choices(source, observed);
    let so = match &choice.what {
        Chosen::Live(group) => known.live(&choice.application) == Some(group),
        Chosen::Drained(server) => known.is_drained(&choice.application, server),
        Chosen::Ready(server) => !known.is_drained(&choice.application, server),
    };
    so && changes(source, observed).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::NodeName;
    use crate::live::fixture;
    use crate::live::{Observation, Observed};
    use crate::pki::Trust;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    const APP: &str = "
applications:
  shop:
    hosts: [shop.example.org]
    port: 8080
    groups: { blue: { nodes: [n1] }, green: { nodes: [n2] } }
    live: blue
";

    fn source() -> Source {
        fixture::source(&format!("{}{APP}", fixture::THREE), Trust::settled("", "0"))
    }

    /// What the nodes say whose state is given, HAProxy running as it says.
    fn said(states: &[(&str, &str)]) -> Observed {
        let each = states.iter().map(|(node, state)| {
            let facts = fixture::facts(13);
            let choices = Choices::parse(state);
            let lines = choices.live.iter().map(|(name, (_, group))| format!("{name} {group}"));
            let map = lines.collect::<Vec<_>>().join("\n");
            let mut fields = Fields::new();
            if !state.is_empty() {
                fields.insert("state".into(), STANDARD.encode(choices.text()));
                fields.insert("map".into(), STANDARD.encode(map));
                fields.insert("drained".into(), String::new());
            }
            (NodeName::from(*node), Observation { facts, fields: BTreeMap::from([(id(), fields)]) })
        });
        each.collect()
    }

    fn reasons(source: &Source, observed: &Observed) -> Vec<String> {
        let changes = changes(source, observed).into_iter();
        changes.map(|(node, change)| format!("{node}: {}", change.reason)).collect()
    }

    #[test]
    fn the_inventory_names_the_first_live_group_and_no_later_one() {
        let source = source();
        let fresh = said(&[("n1", ""), ("n2", ""), ("n3", "")]);
        assert_eq!(choices(&source, &fresh).live("shop"), Some("blue"));
        assert_eq!(reasons(&source, &fresh).len(), 3);
        let moved = "live shop green 7\n";
        let later = said(&[("n1", moved), ("n2", moved), ("n3", moved)]);
        assert_eq!(choices(&source, &later).live("shop"), Some("green"));
        assert_eq!(reasons(&source, &later), Vec::<String>::new());
    }

    #[test]
    fn a_node_that_was_away_takes_over_what_was_chosen_last() {
        let states =
            [("n1", "live shop green 7\n"), ("n2", "live shop green 7\n"), ("n3", "live shop blue 0\n")];
        assert_eq!(reasons(&source(), &said(&states)), ["n3: shop: green is live instead of blue"]);
    }

    #[test]
    fn a_choice_counts_against_clocks_that_ran_ahead() {
        let mut source = source();
        let what = Chosen::Live("blue".into());
        source.choice = Some(Choice { application: "shop".into(), what, at: 3 });
        let state = "live shop green 7\n";
        let observed = said(&[("n1", state), ("n2", state), ("n3", state)]);
        assert_eq!(choices(&source, &observed).live("shop"), Some("blue"));
    }

    #[test]
    fn what_haproxy_was_told_by_hand_is_found() {
        let state = "live shop green 7\n";
        let mut observed = said(&[("n1", state), ("n2", state), ("n3", state)]);
        let fields = observed.get_mut(&NodeName::from("n2")).unwrap().fields.get_mut(&id()).unwrap();
        fields.insert("map".into(), STANDARD.encode("shop blue\n"));
        fields.insert("drained".into(), STANDARD.encode("app.shop.blue/n1\n"));
        assert_eq!(
            reasons(&source(), &observed),
            ["n2: shop: HAProxy was told otherwise than green; shop: n1 is drained by hand"]
        );
    }

    #[test]
    fn a_group_that_is_gone_gives_way_to_the_inventory_s() {
        let state = "live shop red 7\n";
        let observed = said(&[("n1", state), ("n2", state), ("n3", state)]);
        assert_eq!(choices(&source(), &observed).live("shop"), Some("blue"));
    }
}
