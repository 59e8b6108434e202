//! What no single node can tell of itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Verdict, exposure, run};
use crate::live;
use crate::observe::{self, Hosts};
use crate::plan::CheckRun;
use crate::render::{RenderError, Source};

/// How long a virtual address may take to find its holder.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(15);

/// Runs `checks`; meanwhile it tries the ports from here, and looks for the virtual addresses and the servers of applications.
pub async fn everything(
    source: &Source,
    hosts: &Hosts,
    checks: &[CheckRun],
) -> Result<Vec<Verdict>, RenderError> {
    let exposed = async {
        if !source.cluster.inventory.firewall.enabled {
            return Vec::new();
        }
        exposure::exposure(&source.cluster, &source.library).await
    };
    let (mut verdicts, exposed, holders, served) =
        tokio::join!(run(hosts, checks), exposed, held_once(source, hosts), applications(source, hosts));
    verdicts.extend(exposed);
    verdicts.extend(holders?);
    verdicts.extend(served?);
    Ok(verdicts)
}

/// Whether each application has a server where its requests go. Applications are made by others: it warns at most.
pub async fn applications(source: &Source, hosts: &Hosts) -> Result<Vec<Verdict>, RenderError> {
    if source.cluster.inventory.applications.is_empty() {
        return Ok(Vec::new());
    }
    let nodes = source.cluster.with_role("haproxy").filter_map(|(node, _)| hosts.get_key_value(node));
    let proxies: Hosts = nodes.map(|(node, host)| (node.clone(), Arc::clone(host))).collect();
    let answers = observe::observe_only(&proxies, &live::application_probes()).await?;
    Ok(live::served_applications(source, &answers.observed))
}

/// Whether each virtual address has one holder, which only all nodes together can tell: one that has lost the role may
/// have kept it.
async fn held_once(source: &Source, hosts: &Hosts) -> Result<Vec<Verdict>, RenderError> {
    if source.cluster.inventory.virtual_ip.is_none() {
        return Ok(Vec::new());
    }
    let asked = [live::holder_probe(source)];
    let end = Instant::now() + ADDRESSES_WITHIN;
    loop {
        let answers = observe::observe_only(hosts, &asked).await?;
        let verdicts = live::held_once(source, &answers.observed);
        if Instant::now() >= end || !verdicts.iter().any(Verdict::fails) {
            return Ok(verdicts);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
