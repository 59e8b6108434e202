//! One Sentinel: whom it watches, by which settings, and whom it knows. The primary's address, the others and the
//! replicas are its own; what is gone for good it is told to forget.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use super::text::{self, quoted, records};
use super::users::{self, User};
use super::{SENTINEL, SENTINEL_PORT, SERVER, at_home, primary, tell};
use crate::cluster::NodeName;
use crate::live::{LiveError, Observed, Placed, fields, text as decoded};
use crate::render::{RenderError, Source};
use crate::resource::{Call, Change, Diff, Fields, Id, Order, Payload, Refusal, Retired, Verb, sha256};

/// The user and the secret that a Sentinel logs in to Redis with.
const USER: &str = "sentinel";
const PASSWORD: &str = "redis/sentinel";
/// The same towards other Sentinels.
const PEER_PASSWORD: &str = "sentinel/admin";

/// For so long may a primary that was started anew read its data before another one takes its place. `SENTINEL MASTER` does not
/// show it.
const LOADING: &str = "master-reboot-down-after-period";

/// One Sentinel as it describes itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watch {
    /// The address of the primary that it names.
    pub primary: Option<IpAddr>,
    /// Its view of the primary, with its settings.
    pub master: BTreeMap<String, String>,
    /// The replicas that it knows.
    pub replicas: Vec<Known>,
    /// The other Sentinels that it knows.
    pub others: Vec<Known>,
    /// Why no failover could be decided and carried out now; none where one could.
    pub trouble: Option<String>,
    /// Its users.
    pub users: BTreeMap<String, User>,
    /// Version.
    pub version: String,
}

/// Somebody whom a Sentinel knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The address.
    pub address: IpAddr,
    /// It does not answer this Sentinel.
    pub down: bool,
}

pub fn id() -> Id {
    Id::new("sentinel", "watch")
}

pub fn probe(source: &Source) -> Call {
    Call::new("sentinel_probe", [source.cluster.name().to_owned()])
}

/// What `node`'s Sentinel says; none where it does not answer.
pub fn watch(observed: &Observed, node: &NodeName) -> Option<Watch> {
    let reply = decoded(fields(observed, node, &id())?, "said")?;
    let parts = text::parts(&reply);
    parts.get("end")?;
    let known = |part: &str| -> Vec<Known> {
        let lines = parts.get(part).map(Vec::as_slice).unwrap_or_default();
        let each = records(lines).into_iter().filter_map(|record| {
            let flagged = record
                .get("flags")
                .is_some_and(|flags| flags.contains("s_down") || flags.contains("disconnected"));
            // A Sentinel takes a connection that is being tried for a sign of life.
            let number = |key: &str| record.get(key)?.parse::<u64>().ok();
            let silent = number("last-ok-ping-reply")
                .zip(number("down-after-milliseconds"))
                .is_some_and(|(silent, patience)| silent > patience);
            let down = flagged || silent;
            Some(Known { address: record.get("ip")?.parse().ok()?, down })
        });
        each.collect()
    };
    let master = records(parts.get("master")?).pop().unwrap_or_default();
    let said = parts.get("ckquorum").map(|lines| lines.join(" ")).unwrap_or_default();
    Some(Watch {
        primary: master.get("ip").and_then(|ip| ip.parse().ok()),
        master,
        replicas: known("replicas"),
        others: known("sentinels"),
        trouble: (!said.starts_with("OK")).then(|| said.trim().to_owned()),
        users: parts.get("users")?.iter().filter_map(|line| User::parse(line)).collect(),
        version: text::info(parts.get("info")?).remove("redis_version").unwrap_or_default(),
    })
}

/// The settings that `deploy` owns, by the name that `SENTINEL MASTER` gives them.
fn settings(source: &Source) -> Vec<(&'static str, String)> {
    let redis = &source.cluster.inventory.redis;
    let majority = source.cluster.with_role("sentinel").count() / 2 + 1;
    vec![
        ("quorum", majority.to_string()),
        ("down-after-milliseconds", redis.down_after.to_string()),
        ("failover-timeout", redis.failover_timeout.to_string()),
        ("parallel-syncs", redis.parallel_syncs.to_string()),
    ]
}

fn secret<'a>(source: &'a Source, name: &str) -> &'a str {
    source.secrets.get(name).map_or("", |secret| secret.expose())
}

pub fn changes(source: &Source, observed: &Observed) -> Result<(Vec<Placed>, Vec<String>), LiveError> {
    at_home(source, observed)?;
    majority_stays(source, observed)?;
    let Some(primary) = primary(source, observed) else { return Ok((Vec::new(), Vec::new())) };
    let Some(leader) = source.cluster.nodes.get(&primary) else { return Ok((Vec::new(), Vec::new())) };
    let mut all = Vec::new();
    for (node, _) in source.cluster.with_role("sentinel") {
        let empty = Fields::new();
        let seen = fields(observed, node, &id()).unwrap_or(&empty);
        if !seen.contains_key("configured") {
            all.push((node.clone(), begin(source, &primary, leader.address)));
            continue;
        }
        let Some(watch) = watch(observed, node) else { continue };
        all.extend(differences(source, seen, &watch, leader.address).map(|change| (node.clone(), change)));
    }
    let (forgotten, notes) = forget(source, observed);
    all.extend(forgotten);
    Ok((all, notes))
}

/// Of the Sentinels that run, more must stay than leave: else nobody could replace a primary that is lost meanwhile.
fn majority_stays(source: &Source, observed: &Observed) -> Result<(), Refusal> {
    let watches = source.cluster.nodes.iter().filter_map(|(name, node)| Some((node, watch(observed, name)?)));
    let running: BTreeSet<IpAddr> = watches
        .flat_map(|(node, watch)| {
            let others = watch.others.into_iter().filter(|known| !known.down).map(|known| known.address);
            others.chain([node.address])
        })
        .collect();
    let staying = running.iter().filter(|address| has(source, "sentinel", **address)).count();
    if running.is_empty() || staying * 2 > running.len() {
        return Ok(());
    }
    Err(Refusal {
        what: format!(
            "of the {} Sentinels that run, only {staying} would stay: too few to replace a lost primary of Redis",
            running.len()
        ),
        hint: "bring the others up, or move them one at a time".into(),
    })
}

/// Whether a node with this address has the role.
fn has(source: &Source, role: &str, address: IpAddr) -> bool {
    source.cluster.with_role(role).any(|(_, node)| node.address == address)
}

/// The users of the Sentinels that run, in a phase before that in which they use each other's passwords, or restart.
pub fn user_changes(source: &Source, observed: &Observed) -> Result<Vec<Placed>, RenderError> {
    let mut all = Vec::new();
    for (node, _) in source.cluster.with_role("sentinel") {
        let Some(watch) = watch(observed, node) else { continue };
        let Some(seed) = text::seed(source, observed, node, "sentinel")? else { continue };
        let (commands, reasons) = users::given(&text::users(&seed.content), &watch.users);
        if !commands.is_empty() {
            let (id, reason) = (Id::new("sentinel", "users"), reasons.join("; "));
            let change = tell(id, Verb::Update, reason, Order::Stage, "sentinel", &commands);
            all.push((node.clone(), change));
        }
    }
    Ok(all)
}

/// A first start: the primary to watch, and how.
fn begin(source: &Source, primary: &NodeName, address: IpAddr) -> Change {
    let name = source.cluster.name();
    let mut lines = String::new();
    for (number, (key, value)) in settings(source).into_iter().enumerate() {
        if number == 0 {
            let port = source.cluster.redis_port();
            let _ = writeln!(lines, "sentinel monitor {name} {address} {port} {value}");
        } else {
            let _ = writeln!(lines, "sentinel {key} {name} {value}");
        }
    }
    let _ = writeln!(lines, "sentinel {LOADING} {name} {}", source.cluster.inventory.redis.down_after);
    let password = quoted(secret(source, PASSWORD));
    let _ = writeln!(lines, "sentinel auth-user {name} {USER}\nsentinel auth-pass {name} {password}");
    let call = Call::new("sentinel_watch", Vec::<String>::new()).with(Payload::Bytes(lines.into_bytes()));
    let reason = format!("watches nothing yet; begins with {primary}");
    Change::new(Id::new("sentinel", "primary"), Verb::Create, reason, Order::Settle, call)
}

/// What differs in a Sentinel that runs.
fn differences(source: &Source, seen: &Fields, watch: &Watch, primary: IpAddr) -> Option<Change> {
    let name = source.cluster.name();
    let hash = |secret_name: &str| sha256(secret(source, secret_name).as_bytes());
    let differs = |key: &str, wanted: String| seen.get(key) != Some(&wanted);
    let (mut words, mut reasons, mut old, mut new) = (Vec::new(), Vec::new(), String::new(), String::new());
    for (key, value) in settings(source) {
        let has = watch.master.get(key).map_or("", String::as_str);
        if has != value {
            reasons.push(format!("{key} is {has}, not {value}"));
            let _ = writeln!(old, "{key} {has}");
            let _ = writeln!(new, "{key} {value}");
            words.push(format!("{key} {value}"));
        }
    }
    let patience = source.cluster.inventory.redis.down_after.to_string();
    if watch.master.is_empty() || differs(LOADING, patience.clone()) {
        let has = seen.get(LOADING).map_or("0", String::as_str);
        reasons.push(format!("{LOADING} is {has}, not {patience}"));
        let _ = writeln!(old, "{LOADING} {has}");
        let _ = writeln!(new, "{LOADING} {patience}");
        words.push(format!("{LOADING} {patience}"));
    }
    let mut commands = Vec::new();
    if watch.master.is_empty() {
        reasons = vec!["watches nothing".into()];
        let majority = settings(source).swap_remove(0).1;
        commands
            .push(format!("SENTINEL MONITOR {name} {primary} {} {majority}", source.cluster.redis_port()));
    }
    if watch.master.is_empty() || differs("auth-user", USER.into()) || differs("auth-pass", hash(PASSWORD)) {
        words.push(format!("auth-user {USER} auth-pass {}", quoted(secret(source, PASSWORD))));
        reasons.push("logs in to Redis by another password".into());
    }
    if !words.is_empty() {
        commands.push(format!("SENTINEL SET {name} {}", words.join(" ")));
    }
    if differs("sentinel-user", "admin".into()) || differs("sentinel-pass", hash(PEER_PASSWORD)) {
        // One option at a time: Debian 12's takes no more.
        commands.push("SENTINEL CONFIG SET sentinel-user admin".into());
        commands.push(format!("SENTINEL CONFIG SET sentinel-pass {}", quoted(secret(source, PEER_PASSWORD))));
        reasons.push("logs in to the others by another password".into());
    }
    if commands.is_empty() {
        return None;
    }
    let (id, reason) = (Id::new("sentinel", "settings"), reasons.join("; "));
    let mut change = tell(id, Verb::Update, reason, Order::Settle, "sentinel", &commands);
    change.diff = (!new.is_empty()).then_some(Diff { old: Some(old), new, secret: false });
    Some(change)
}

/// Sentinels and replicas that are gone from the inventory, which every Sentinel is told to forget, one after the other.
/// Only what no longer runs: Sentinels find the others again at once.
fn forget(source: &Source, observed: &Observed) -> (Vec<Placed>, Vec<String>) {
    let watches: Vec<(&NodeName, Watch)> = source
        .cluster
        .with_role("sentinel")
        .filter_map(|(node, _)| Some((node, watch(observed, node)?)))
        .collect();
    // What this run stops, in the same phase and before this, is gone by then.
    let stops = |role: &str, address: IpAddr| {
        let unit = Id::new("unit", if role == "redis" { SERVER } else { SENTINEL });
        let mut nodes = source.cluster.nodes.iter().filter(|(_, node)| node.address == address);
        nodes.any(|(node, _)| fields(observed, node, &unit).is_some_and(Retired::lingers))
    };
    let mut gone: BTreeMap<IpAddr, (&str, bool)> = BTreeMap::new();
    for (_, watch) in &watches {
        let sentinels = watch.others.iter().map(|known| ("sentinel", known));
        for (role, known) in sentinels.chain(watch.replicas.iter().map(|known| ("redis", known))) {
            if !has(source, role, known.address) {
                let runs = gone.entry(known.address).or_insert((role, false));
                runs.1 |= !known.down && !stops(role, known.address);
            }
        }
    }
    let Some((asked, _)) = watches.first().filter(|_| !gone.is_empty()) else {
        return (Vec::new(), Vec::new());
    };
    let running: Vec<String> = gone
        .iter()
        .filter(|(_, (_, runs))| *runs)
        .map(|(address, (role, _))| {
            format!(
                "{role}: {address} is no longer in the inventory and still runs; stop {} there, and the Sentinels \
                 forget it at the next apply",
                if *role == "redis" { SERVER } else { SENTINEL }
            )
        })
        .collect();
    if !running.is_empty() {
        return (Vec::new(), running);
    }
    let addresses: Vec<String> = gone.keys().map(ToString::to_string).collect();
    // One that this run starts has joined when the gate in front of this holds, which asks all of them anew.
    let unit = Id::new("unit", SENTINEL);
    let runs = |node: &NodeName| {
        fields(observed, node, &unit)
            .and_then(|seen| seen.get("active"))
            .is_some_and(|state| state == "active")
    };
    let silent = || source.cluster.with_role("sentinel").filter(|(node, _)| watch(observed, node).is_none());
    let missing = silent().any(|(node, _)| runs(node));
    let unsure = silent().next().is_none() && watches.iter().any(|(_, watch)| watch.trouble.is_some());
    if missing || unsure {
        let note = format!(
            "sentinel: {} is not forgotten while a Sentinel is missing: the others would be too few to agree",
            addresses.join(", ")
        );
        return (Vec::new(), vec![note]);
    }
    let others = source.cluster.with_role("sentinel").count() - 1;
    let replicas = source.cluster.with_role("redis").count().saturating_sub(1);
    let args = [
        SENTINEL_PORT.to_string(),
        source.cluster.name().to_owned(),
        others.to_string(),
        replicas.to_string(),
    ];
    let sentinels = source.cluster.with_role("sentinel").map(|(_, node)| node.address.to_string());
    let call = Call::new("sentinel_forget", args.into_iter().chain(sentinels));
    let reason = format!("no longer in the inventory: {}", addresses.join(", "));
    let mut change =
        Change::new(Id::new("sentinel", "known nodes"), Verb::Delete, reason, Order::Activate, call);
    change.last = true;
    (vec![((*asked).clone(), change)], Vec::new())
}
