//! One Redis: its data, its directives and its users.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use serde_json::json;

use super::text::{self, directives, quoted};
use super::users::{self, User};
use super::{at_home, primary, tell};
use crate::cluster::NodeName;
use crate::inventory::model::Redis;
use crate::live::{LiveError, Observed, Placed, fields, text as decoded, token};
use crate::render::Source;
use crate::resource::{Call, Change, Diff, Fields, Id, Order, Refusal, Verb, sha256};

/// Directives that only a start reads.
const FIXED: [&str; 4] = ["dir", "pidfile", "unixsocket", "unixsocketperm"];
/// The directive that holds a password: it is compared by its hash.
const PASSWORD: &str = "masterauth";

/// One Redis as it describes itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Instance {
    /// It takes writes.
    pub primary: bool,
    /// Whom it follows, and whether that link is up.
    pub follows: Option<(IpAddr, bool)>,
    /// Bytes of the stream of writes that it has.
    pub offset: u64,
    /// Those that follow it.
    pub replicas: Vec<Link>,
    /// Version.
    pub version: String,
    /// Bytes of data.
    pub used: u64,
    /// Directives that `deploy` owns.
    pub directives: BTreeMap<String, String>,
    /// Its users.
    pub users: BTreeMap<String, User>,
    /// The last write of the append-only file went well.
    pub durable: bool,
}

/// A replica as its primary sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Its address.
    pub address: IpAddr,
    /// It gets the stream of writes.
    pub online: bool,
    /// Bytes that it has acknowledged.
    pub offset: u64,
}

pub fn id() -> Id {
    Id::new("redis", "instance")
}

pub fn probe(source: &Source) -> Call {
    let manifest = source.library.roles.get("redis");
    let seed = manifest.and_then(|manifest| manifest.files.iter().find(|file| file.seed));
    let template = seed.and_then(|file| source.library.templates.get(&file.template));
    let names = directives(template.map_or("", String::as_str), &FIXED).into_iter().map(|(name, _)| name);
    let names: Vec<String> = names.filter(|name| name != PASSWORD).collect();
    Call::new("redis_probe", [names.join(" ")])
}

/// What `node`'s Redis says; none where it does not answer.
pub fn instance(observed: &Observed, node: &NodeName) -> Option<Instance> {
    let seen = fields(observed, node, &id())?;
    let reply = decoded(seen, "said")?;
    let parts = text::parts(&reply);
    parts.get("end")?;
    let info = text::info(parts.get("info")?);
    let number = |key: &str| info.get(key).and_then(|value| value.parse().ok()).unwrap_or_default();
    let primary = info.get("role").is_some_and(|role| role == "master");
    let follows = info.get("master_host").and_then(|host| host.parse().ok());
    let up = info.get("master_link_status").is_some_and(|status| status == "up");
    let mut directives = text::pairs(parts.get("config")?);
    directives.insert(PASSWORD.into(), seen.get(PASSWORD).cloned().unwrap_or_default());
    Some(Instance {
        primary,
        follows: follows.map(|host| (host, up)),
        offset: if primary { number("master_repl_offset") } else { number("slave_repl_offset") },
        replicas: info.iter().filter_map(|(key, value)| link(key, value)).collect(),
        version: info.get("redis_version").cloned().unwrap_or_default(),
        used: number("used_memory"),
        directives,
        users: parts.get("users")?.iter().filter_map(|line| User::parse(line)).collect(),
        durable: info.get("aof_last_write_status").is_none_or(|status| status == "ok"),
    })
}

/// `slave0:ip=10.0.0.1,port=6379,state=online,offset=14,lag=0`
fn link(key: &str, value: &str) -> Option<Link> {
    key.strip_prefix("slave")?.parse::<usize>().ok()?;
    let fields: BTreeMap<&str, &str> = value.split(',').filter_map(|field| field.split_once('=')).collect();
    Some(Link {
        address: fields.get("ip")?.parse().ok()?,
        online: fields.get("state").is_some_and(|state| *state == "online"),
        offset: fields.get("offset").and_then(|offset| offset.parse().ok()).unwrap_or_default(),
    })
}

/// The data on a node that this cluster did not make.
pub fn foreign(source: &Source, observed: &Observed) -> Result<(), Refusal> {
    let token = token(source);
    for (node, _) in source.cluster.with_role("redis") {
        let Some(seen) = fields(observed, node, &id()) else { continue };
        let (Some(data), owner) = (seen.get("data"), seen.get("owner")) else { continue };
        if owner == Some(&token) {
            continue;
        }
        let what = match owner {
            Some(owner) => format!("{node}: {data} belongs to another cluster ({owner}, not {token})"),
            None => format!("{node}: {data} holds the data of a Redis that this cluster did not make"),
        };
        let hint = format!(
            "if nothing needs it, stop Redis on {node} and move what is in {data} away; then run the same command again"
        );
        return Err(Refusal { what, hint });
    }
    Ok(())
}

pub fn changes(source: &Source, observed: &Observed) -> Result<Vec<Placed>, LiveError> {
    foreign(source, observed)?;
    at_home(source, observed)?;
    let Some(primary) = primary(source, observed) else { return Ok(Vec::new()) };
    not_empty(source, observed, &primary)?;
    let mut all = Vec::new();
    for (node, _) in source.cluster.with_role("redis") {
        let empty = Fields::new();
        let seen = fields(observed, node, &id()).unwrap_or(&empty);
        all.extend(begin(source, node, &primary, seen).map(|change| (node.clone(), change)));
        let Some(instance) = instance(observed, node) else { continue };
        same_port(source, node, &instance)?;
        for change in differences(source, observed, node, &instance)? {
            all.push((node.clone(), change));
        }
    }
    Ok(all)
}

/// Whether a node has data of this cluster, or has begun with it.
pub fn has_begun(source: &Source, observed: &Observed, node: &NodeName) -> bool {
    fields(observed, node, &id()).is_some_and(|seen| seen.get("owner") == Some(&token(source)))
}

/// Refuses to begin with nothing in the place of a primary that the others still copy from: they would drop what they have.
fn not_empty(source: &Source, observed: &Observed, primary: &NodeName) -> Result<(), Refusal> {
    if has_begun(source, observed, primary) || !observed.contains_key(primary) {
        return Ok(());
    }
    let nodes = source.cluster.with_role("redis").map(|(node, _)| node);
    match nodes.into_iter().find(|node| has_begun(source, observed, node)) {
        None => Ok(()),
        Some(other) => Err(Refusal {
            what: format!(
                "{primary} is new, and the Sentinels still have it for the primary of Redis: {other} would copy it and lose its data"
            ),
            hint: format!(
                "tell the Redis that has the newest data, as {other}, `REPLICAOF NO ONE`; on every node with a Sentinel \
                 `systemctl stop redis-sentinel` and remove /etc/redis/cluster/sentinel.conf; then run the same command again"
            ),
        }),
    }
}

/// A first start: it follows the primary where it is not the first of all, and its data is marked as ours. The mark comes last: a
/// file without it may be of a run that was cut off before it said whom to follow, and one that is missing of a role that was lost.
fn begin(source: &Source, node: &NodeName, primary: &NodeName, seen: &Fields) -> Option<Change> {
    let token = token(source);
    let marked = seen.get("owner") == Some(&token);
    let follows = node != primary && !(marked && seen.contains_key("configured"));
    let mut calls = Vec::new();
    if let Some(leader) = source.cluster.nodes.get(primary).filter(|_| follows) {
        let args = [leader.address.to_string(), source.cluster.redis_port().to_string()];
        calls.push((Order::Settle, Call::new("redis_follow", args)));
    }
    if !marked {
        calls.push((Order::Settle, Call::new("owned_claim", ["redis", token.as_str()])));
    }
    let (first, rest) = calls.split_first()?;
    let reason = if follows { format!("no data yet; follows {primary}") } else { "no data yet".to_owned() };
    let mut change = Change::new(Id::new("redis", "data"), Verb::Create, reason, first.0, first.1.clone());
    change.calls.extend_from_slice(rest);
    Some(change)
}

/// A Redis is not given less memory than it has data: it would refuse every write, or throw keys away.
fn holds_its_data(node: &NodeName, instance: &Instance, maxmemory: &str) -> Result<(), Refusal> {
    match maxmemory.parse::<u64>() {
        Ok(bytes) if bytes > 0 && bytes < instance.used => Err(Refusal {
            what: format!(
                "{node}: Redis has {} MB in use, and `maxmemory` would be {} MB",
                instance.used >> 20,
                bytes >> 20
            ),
            hint: "set `redis.maxmemory` to more, or delete keys first".into(),
        }),
        _ => Ok(()),
    }
}

/// A running Redis keeps its port: replicas, Sentinels and clients know it by that.
fn same_port(source: &Source, node: &NodeName, instance: &Instance) -> Result<(), Refusal> {
    let wanted = source.cluster.redis_port().to_string();
    match instance.directives.get("tls-port") {
        Some(port) if *port != wanted => Err(Refusal {
            what: format!("{node}: Redis listens on port {port}, and the inventory leads to {wanted}"),
            hint: format!("set `redis.port: {port}`: a cluster keeps the port that it began with"),
        }),
        _ => Ok(()),
    }
}

fn differences(
    source: &Source,
    observed: &Observed,
    node: &NodeName,
    instance: &Instance,
) -> Result<Vec<Change>, LiveError> {
    let Some(seed) = text::seed(source, observed, node, "redis")? else { return Ok(Vec::new()) };
    let mut changes = Vec::new();
    // With the password that Redis knows, which may not be the one that comes with this step.
    let (commands, reasons) = users::given(&text::users(&seed.content), &instance.users);
    if !commands.is_empty() {
        let id = Id::new("redis", "users");
        changes.push(tell(id, Verb::Update, reasons.join("; "), Order::Stage, "redis", &commands));
    }
    let wanted = directives(&seed.content, &FIXED);
    let shown: BTreeMap<String, String> = directives(&seed.masked, &FIXED).into_iter().collect();
    let (mut words, mut reasons, mut old, mut new) = (Vec::new(), Vec::new(), String::new(), String::new());
    let mut kept = Vec::new();
    for (name, value) in &wanted {
        let seen = instance.directives.get(name).map_or("", String::as_str);
        let secret = name == PASSWORD;
        if if secret { seen == sha256(value.as_bytes()) } else { seen == value } {
            continue;
        }
        if name == "maxmemory" {
            holds_its_data(node, instance, value)?;
        }
        words.push(format!("{name} {}", quoted(value)));
        kept.extend(adopt(&source.cluster.inventory.redis, name, seen));
        let was = if secret { "another one" } else { seen };
        let masked = shown.get(name).map_or("", String::as_str);
        reasons.push(if secret {
            format!("{name} is another one")
        } else {
            format!("{name} is {seen}, not {masked}")
        });
        let _ = writeln!(old, "{name} {was}");
        let _ = writeln!(new, "{name} {masked}");
    }
    if !words.is_empty() {
        let commands = [format!("CONFIG SET {}", words.join(" "))];
        let id = Id::new("redis", "directives");
        let mut change = tell(id, Verb::Update, reasons.join("; "), Order::Settle, "redis", &commands);
        change.diff = Some(Diff { old: Some(old), new, secret: false });
        change.adopt = (!kept.is_empty()).then(|| format!("redis: {{ {} }}", kept.join(", ")));
        changes.push(change);
    }
    Ok(changes)
}

/// What `redis` of the inventory would have to say to keep a directive as it is; none where it has no key for it, or
/// says otherwise by itself.
fn adopt(redis: &Redis, directive: &str, seen: &str) -> Option<String> {
    let key = directive.replace('-', "_");
    let value = match directive {
        "maxmemory" => {
            let bytes: u64 = seen.parse().ok()?;
            let whole = bytes > 0 && bytes.is_multiple_of(1_048_576);
            whole.then(|| json!(format!("{}MB", bytes / 1_048_576)))?
        }
        "appendonly" => json!(seen == "yes"),
        _ => seen.parse::<u64>().map_or_else(|_| json!(seen), |number| json!(number)),
    };
    let said = |redis: &Redis| serde_json::to_value(redis).ok()?.get(&key).cloned();
    let silent = said(redis) == said(&Redis::default());
    let valid = serde_json::from_value::<Redis>(json!({ &key: value })).is_ok();
    (silent && valid).then(|| format!("{key}: {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_can_be_adopted_where_the_inventory_has_a_key_and_says_nothing() {
        let silent = Redis::default();
        let adopt = |directive: &str, seen: &str| adopt(&silent, directive, seen).unwrap_or_default();
        assert_eq!(adopt("maxmemory", "536870912"), "maxmemory: \"512MB\"");
        assert_eq!(adopt("maxmemory-policy", "allkeys-lru"), "maxmemory_policy: \"allkeys-lru\"");
        assert_eq!(adopt("appendonly", "no"), "appendonly: false");
        assert_eq!(adopt("min-replicas-to-write", "1"), "min_replicas_to_write: 1");
        assert_eq!(adopt("maxmemory", "1000"), "", "no whole MB");
        assert_eq!(adopt("maxmemory-policy", "unheard-of"), "");
        assert_eq!(adopt("repl-backlog-size", "1"), "", "no key");
        assert_eq!(adopt("masterauth", "x"), "");
        let named = Redis { min_replicas_to_write: 2, ..Redis::default() };
        assert_eq!(super::adopt(&named, "min-replicas-to-write", "1"), None);
    }
}
