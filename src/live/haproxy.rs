//! HAProxy's servers as it sees them itself. Read only: its configuration is a file.

use schemars::JsonSchema;
use serde::Serialize;

use super::table::tables;
use super::{Observed, fields, text};
use crate::cluster::NodeName;
use crate::resource::{Call, Change, Effect, Id};

/// One server behind HAProxy.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ProxyServer {
    /// The proxy that leads to it.
    #[serde(skip)]
    pub proxy: String,
    /// Its name.
    pub name: String,
    /// `UP`, `DOWN`, `MAINT` and the like, in HAProxy's words.
    pub status: String,
    /// It gets connections.
    pub up: bool,
    /// It is there only for when no other server is up.
    pub backup: bool,
    /// Sessions now.
    pub sessions: u64,
}

pub fn id() -> Id {
    Id::new("haproxy", "servers")
}

pub fn probe() -> Call {
    Call::new("haproxy_probe", Vec::<String>::new())
}

/// A reload leaves the connections of before with a worker that no longer checks the servers behind them, and that ends
/// them all after `hard-stop-after`.
pub fn leaves_old_worker(change: &Change) -> bool {
    change.id == Id::new("unit", "haproxy") && change.effect == Effect::Reload
}

/// The servers that `node`'s HAProxy knows, in its order; `None` where it does not answer.
pub fn proxy_servers(observed: &Observed, node: &NodeName) -> Option<Vec<ProxyServer>> {
    Some(parse(&text(fields(observed, node, &id())?, "servers")?))
}

fn parse(text: &str) -> Vec<ProxyServer> {
    let rows = tables(text, &["# pxname,"]).into_iter().flatten();
    rows.map(|mut row| {
        let status = row.remove("status").unwrap_or_default();
        ProxyServer {
            proxy: row.remove("pxname").unwrap_or_default(),
            name: row.remove("svname").unwrap_or_default(),
            // `UP 1/2` is still up, on its way down; `no check` is taken for up.
            up: status.starts_with("UP") || status == "no check",
            status,
            backup: row.get("bck").is_some_and(|count| count == "1"),
            sessions: row.get("scur").and_then(|count| count.parse().ok()).unwrap_or_default(),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_are_read_by_the_names_of_their_columns() {
        let text = "# pxname,svname,qcur,qmax,scur,smax,status,weight,act,bck,\n\
                    leader,w1,0,0,3,9,UP,1,1,0,\nleader,w2,0,0,0,1,DOWN,1,1,0,\nreplicas,w1-as-leader,0,0,0,0,UP 1/2,1,0,1,\n\n";
        let servers = parse(text);
        let short: Vec<_> =
            servers.iter().map(|s| (s.proxy.as_str(), s.name.as_str(), s.up, s.backup)).collect();
        assert_eq!(
            short,
            [
                ("leader", "w1", true, false),
                ("leader", "w2", false, false),
                ("replicas", "w1-as-leader", true, true)
            ]
        );
        assert_eq!(servers[0].sessions, 3);
    }
}
