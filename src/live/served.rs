//! Whether applications have servers: which groups are live, held against what every HAProxy sees. Read only.

use std::collections::BTreeSet;

use super::{Observed, applications as chosen, choices, haproxy, proxy_servers};
use crate::cluster::NodeName;
use crate::render::{Source, applications};
use crate::resource::{Call, Id};
use crate::verdict::{Outcome, Verdict};

/// What tells which group of each application is live, and which servers HAProxy sees well.
pub fn probes() -> [(Id, Call); 2] {
    [(chosen::id(), chosen::probe()), (haproxy::id(), haproxy::probe())]
}

/// The backends of groups that are not live.
pub fn resting_groups(source: &Source, observed: &Observed) -> BTreeSet<String> {
    let choices = choices(source, observed);
    let all = applications(&source.cluster);
    let resting = all.iter().filter(|application| application.grouped).flat_map(|application| {
        let live = choices.live(&application.name);
        application.pools.iter().filter(move |pool| live != Some(pool.group.as_str()))
    });
    resting.map(|pool| pool.backend.clone()).collect()
}

/// One verdict for each application: every HAProxy that answers sees a server that is well where its requests go. Who
/// brings the application may not be there yet, so it warns at most.
pub fn served(source: &Source, observed: &Observed) -> Vec<Verdict> {
    let Some(first) = observed.keys().next() else { return Vec::new() };
    let choices = choices(source, observed);
    let all = applications(&source.cluster);
    let each = all.iter().filter_map(|application| {
        let live = choices.live(&application.name).unwrap_or_default();
        let pool = application.pools.iter().find(|pool| pool.group == live)?;
        let bare = without_server(source, observed, &pool.backend);
        let names: Vec<&str> = bare.iter().map(|node| node.as_str()).collect();
        let group = if live.is_empty() { String::new() } else { format!(", whose live group is {live}") };
        Some(Verdict {
            name: "haproxy/application".into(),
            title: format!("{}{group}, has a server that is well", application.name),
            node: bare.first().map_or(first, |node| *node).clone(),
            outcome: if bare.is_empty() { Outcome::Pass } else { Outcome::Warn },
            reason: if bare.is_empty() { String::new() } else { format!("none by {}", names.join(", ")) },
        })
    });
    each.collect()
}

/// The nodes of HAProxy, of those that answer, on which a backend has no server that is well.
pub fn without_server<'a>(source: &'a Source, observed: &'a Observed, backend: &'a str) -> Vec<&'a NodeName> {
    let nodes = source.cluster.with_role("haproxy").map(|(node, _)| node);
    let nodes = nodes.filter(|node| observed.contains_key(*node));
    let bare = nodes.filter(|node| {
        let servers = proxy_servers(observed, node).unwrap_or_default();
        !servers.iter().any(|server| server.proxy == backend && server.up)
    });
    bare.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{Observation, fixture};
    use crate::pki::Trust;
    use crate::resource::Fields;

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

    /// A node on which green is live, and whose HAProxy sees the servers as these lines of `backend,server,status` say.
    fn sees(node: &str, lines: &str) -> (NodeName, Observation) {
        let state = Fields::from([("state".to_owned(), STANDARD.encode("live shop green 7\n"))]);
        let table = STANDARD.encode(format!("# pxname,svname,status\n{lines}\n"));
        let servers = Fields::from([("servers".to_owned(), table)]);
        let fields = [(chosen::id(), state), (haproxy::id(), servers)].into();
        (NodeName::from(node), Observation { facts: fixture::facts(13), fields })
    }

    #[test]
    fn an_application_without_a_server_in_its_live_group_is_warned_of() {
        let source = fixture::source(&format!("{}{APP}", fixture::THREE), Trust::settled("", "0"));
        let well = "app.shop.blue,n1,DOWN\napp.shop.green,n2,UP";
        let ill = "app.shop.blue,n1,UP\napp.shop.green,n2,DOWN";
        let verdict = |second: &str| {
            let verdict = served(&source, &[sees("n1", well), sees("n2", second)].into()).remove(0);
            (verdict.outcome, verdict.reason)
        };
        assert_eq!(verdict(ill), (Outcome::Warn, "none by n2".to_owned()));
        // n3 does not answer, and says nothing of it.
        assert_eq!(verdict(well), (Outcome::Pass, String::new()));
    }
}
