//! Applications as every HAProxy sees them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cluster::NodeName;
use crate::live::{self, Observed, choices};
use crate::render::{AppPool, Application, Source};

/// An application.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// It gets the requests.
    pub live: bool,
    /// Its servers.
    pub servers: Vec<AppServerStatus>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
        for (node, _) in source.cluster.with_role("haproxy") {
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
