//! Applications as every HAProxy sees them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::cluster::NodeName;
use crate::live::{self, Observed, choices};
use crate::render::{AppPool, Application, Source};

/// An application.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ApplicationStatus {
    /// Its name.
    pub name: String,
    /// The host names that it answers to.
    pub hosts: Vec<String>,
    /// The group that is live, where it has groups.
    pub live: Option<String>,
    /// Its groups; one without a name where it has none.
    pub groups: Vec<GroupStatus>,
}

/// One group of servers.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// It gets the requests.
    pub live: bool,
    /// Its servers.
    pub servers: Vec<AppServerStatus>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AppServerStatus {
    /// Its name.
    pub name: String,
    /// Address and port.
    pub target: String,
    /// It is there only for when no other server is well.
    pub backup: bool,
    /// It gets no new clients.
    pub drained: bool,
    /// The nodes whose HAProxy sees it well.
    pub up_on: Vec<NodeName>,
    /// The nodes whose HAProxy does not, each with HAProxy's own word.
    pub down_on: BTreeMap<NodeName, String>,
    /// Requests that it answers now.
    pub sessions: u64,
}

impl ApplicationStatus {
    /// From what the nodes said.
    pub fn read(source: &Source, observed: &Observed, application: &Application) -> Self {
        let choices = choices(source, observed);
        let live = choices.live(&application.name).map(str::to_owned);
        let groups = application.pools.iter().map(|pool| GroupStatus {
            name: pool.group.clone(),
            live: live.as_ref().is_none_or(|live| *live == pool.group),
            servers: servers(source, observed, pool, |server| choices.is_drained(&application.name, server)),
        });
        let groups = groups.collect();
        Self { name: application.name.clone(), hosts: application.hosts.clone(), live, groups }
    }

    /// Whether nothing else answers where requests go.
    pub fn is_last(&self, server: &str) -> bool {
        let serving = self.groups.iter().filter(|group| group.live).flat_map(|group| &group.servers);
        let mut well = serving.filter(|one| !one.drained && !one.backup && one.down_on.is_empty()).peekable();
        well.peek().is_some() && well.all(|one| one.name == server)
    }
}

fn servers(
    source: &Source,
    observed: &Observed,
    pool: &AppPool,
    drained: impl Fn(&str) -> bool,
) -> Vec<AppServerStatus> {
    let each = pool.servers.iter().map(|server| {
        let (mut up_on, mut down_on, mut sessions) = (Vec::new(), BTreeMap::new(), 0);
        // Who does not answer says nothing of the server.
        for (node, _) in source.cluster.with_role("haproxy").filter(|(node, _)| observed.contains_key(*node))
        {
            let all = live::proxy_servers(observed, node).unwrap_or_default();
            match all.into_iter().find(|seen| seen.proxy == pool.backend && seen.name == server.name) {
                Some(seen) => {
                    sessions += seen.sessions;
                    if seen.up || seen.status.starts_with("DRAIN") {
                        up_on.push(node.clone());
                    } else {
                        down_on.insert(node.clone(), seen.status);
                    }
                }
                None => {
                    down_on.insert(node.clone(), "unknown".into());
                }
            }
        }
        AppServerStatus {
            name: server.name.clone(),
            target: server.target.clone(),
            backup: server.backup,
            drained: drained(&server.name),
            up_on,
            down_on,
            sessions,
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{Observation, fixture};
    use crate::pki::Trust;
    use crate::render::applications;
    use crate::resource::{Fields, Id};

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn the_last_server_is_known_though_a_haproxy_does_not_answer() {
        let text = "applications: { shop: { hosts: [shop.example.org], nodes: [n1, n2], port: 8080 } }\n";
        let source = fixture::source(&format!("{}{text}", fixture::THREE), Trust::settled("", "0"));
        let is_last = |second: &str| {
            let table = format!("# pxname,svname,status\napp.shop,n1,UP\napp.shop,n2,{second}\n");
            let servers = Fields::from([("servers".to_owned(), STANDARD.encode(table))]);
            let seen = Observation {
                facts: fixture::facts(13),
                fields: [(Id::new("haproxy", "servers"), servers)].into(),
            };
            let observed = [(NodeName::from("n1"), seen.clone()), (NodeName::from("n2"), seen)].into();
            ApplicationStatus::read(&source, &observed, &applications(&source.cluster)[0]).is_last("n1")
        };
        assert!(is_last("DOWN"));
        assert!(!is_last("UP"));
    }
}
