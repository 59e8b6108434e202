//! Who holds the virtual addresses.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use super::attention::Notes;
use crate::cluster::NodeName;
use crate::live;

/// A virtual address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VirtualIpStatus {
    /// The address.
    pub address: IpAddr,
    /// The nodes that hold it: one, where all is well.
    pub holders: Vec<NodeName>,
}

pub fn read(view: &View<'_>, notes: &mut Notes) -> Vec<VirtualIpStatus> {
    let Some((first, _)) = view.source.cluster.with_role("keepalived").next() else { return Vec::new() };
    let deployed = view.source.cluster.with_role("keepalived").any(|(node, _)| view.speaks(node));
    let all = live::holders(view.source, &view.answers.observed);
    let mut found = Vec::new();
    for (address, nodes) in all {
        let holders: Vec<NodeName> = nodes.into_iter().collect();
        let journal = view.remedies.journal(holders.first().unwrap_or(first), "keepalived");
        match holders.as_slice() {
            [] if deployed => {
                notes.critical(None, format!("nobody holds the virtual address {address}"), journal);
            }
            [] | [_] => {}
            several => {
                let names: Vec<&str> = several.iter().map(NodeName::as_str).collect();
                let what =
                    format!("the virtual address {address} is held by {} at once", names.join(" and "));
                notes.critical(None, what, journal);
            }
        }
        found.push(VirtualIpStatus { address, holders });
    }
    found
}
