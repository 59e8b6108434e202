//! PgBouncer's pools as its console shows them, and the command that makes it open its connections anew. Its
//! configuration is a file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::table::tables;
use super::{Observed, Placed, fields, text};
use crate::cluster::NodeName;
use crate::render::{Source, pools};
use crate::resource::{Call, Change, Effect, Id, Order, Payload, Verb};
use crate::secrets::Secret;

/// HAProxy's port that leads to the leader.
const LEADER: u16 = 5000;
/// Name of the console, which is no pool.
const CONSOLE: &str = "pgbouncer";

/// The connections of one database and role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ClientPool {
    /// Name that clients connect to.
    pub database: String,
    /// Their role.
    pub user: String,
    /// Clients that are linked to a server or idle.
    pub clients_active: u64,
    /// Clients that wait for a server.
    pub clients_waiting: u64,
    /// Servers that work for a client.
    pub servers_active: u64,
    /// Servers that are free.
    pub servers_idle: u64,
    /// Whole seconds that the first client in the queue has waited.
    pub max_wait_seconds: u64,
}

/// What PgBouncer says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Console {
    /// Pools that have been used.
    pub pools: Vec<ClientPool>,
    /// Databases that clients can ask for.
    pub databases: Vec<String>,
    /// Databases that are paused or disabled.
    pub paused: Vec<String>,
}

pub fn id() -> Id {
    Id::new("pgbouncer", "pools")
}

pub fn probe() -> Call {
    Call::new("pgbouncer_probe", Vec::<String>::new())
}

/// What `node`'s PgBouncer says; `None` where it does not answer.
pub fn console(observed: &Observed, node: &NodeName) -> Option<Console> {
    Some(parse(&text(fields(observed, node, &id())?, "console")?))
}

/// Moves every connection to HAProxy, where PgBouncer runs, as soon as no transaction uses it: when HAProxy has reloaded
/// everywhere, and every few seconds until then, because a worker of before may end earlier, or the run may die.
pub fn reconnects(source: &Source, observed: &Observed) -> Vec<Placed> {
    let nodes = source.cluster.with_role("pgbouncer").map(|(node, _)| node);
    let running = nodes.filter(|node| console(observed, node).is_some());
    running
        .flat_map(|node| {
            let change = |name: &str, function: &'static str| {
                let call = Call::new(function, Vec::<String>::new());
                Change::new(Id::new("pgbouncer", name), Verb::Run, "HAProxy reloads", Order::Activate, call)
            };
            let mut until = change("connections until then", "pgbouncer_reconnects");
            until.ahead = Some(Effect::Reload);
            let mut then = change("connections", "pgbouncer_reconnect");
            then.last = true;
            then.follows = true;
            [(node.clone(), until), (node.clone(), then)]
        })
        .collect()
}

/// Lets the clients of every pool that writes wait while the leadership moves, where PgBouncer runs.
pub fn holds(source: &Source, observed: &Observed) -> Vec<Placed> {
    let proxies: Vec<String> =
        source.cluster.with_role("haproxy").map(|(_, node)| node.address.to_string()).collect();
    let pools = pools(&source.cluster).into_iter().filter(|pool| pool.port == LEADER);
    let aliases: Vec<String> = pools.map(|pool| pool.alias).collect();
    let nodes = source.cluster.with_role("pgbouncer").map(|(node, _)| node);
    let running = nodes.filter(|node| console(observed, node).is_some());
    running
        .map(|node| {
            let words = std::iter::once(proxies.join(" ")).chain(aliases.iter().cloned());
            let call = Call::new("pgbouncer_hold", words);
            let id = Id::new("pgbouncer", "transactions");
            let reason = "wait while the leadership moves";
            let mut change = Change::new(id, Verb::Run, reason, Order::Prepare, call);
            change.ahead = Some(Effect::Switchover);
            (node.clone(), change)
        })
        .collect()
}

/// Logs in as a role to the pools named in `aliases`, wherever PgBouncer runs.
pub fn logins(
    source: &Source,
    observed: &Observed,
    role: &str,
    aliases: &str,
    password: &Secret,
) -> Vec<Placed> {
    let nodes = source.cluster.with_role("pgbouncer");
    let running = nodes.filter(|(node, _)| console(observed, node).is_some());
    running
        .map(|(name, node)| {
            let words = [node.address.to_string(), role.to_owned(), aliases.to_owned()];
            let call = Call::new("pgbouncer_login", words)
                .with(Payload::Bytes(password.expose().as_bytes().to_vec()));
            let id = Id::new("pgbouncer", format!("login of {role}"));
            let mut change = Change::new(id, Verb::Run, "its password changes", Order::Activate, call);
            change.last = true;
            (name.clone(), change)
        })
        .collect()
}

fn parse(text: &str) -> Console {
    let mut console = Console::default();
    for row in tables(text, &["database,user,", "name,host,"]).into_iter().flatten() {
        let word = |key: &str| row.get(key).cloned().unwrap_or_default();
        if row.contains_key("cl_active") {
            if word("database") != CONSOLE {
                console.pools.push(pool(&row));
            }
        } else if word("name") != CONSOLE {
            if word("paused") == "1" || word("disabled") == "1" {
                console.paused.push(word("name"));
            }
            console.databases.push(word("name"));
        }
    }
    console
}

fn pool(row: &BTreeMap<String, String>) -> ClientPool {
    let word = |key: &str| row.get(key).cloned().unwrap_or_default();
    let number = |key: &str| row.get(key).and_then(|value| value.parse().ok()).unwrap_or_default();
    ClientPool {
        database: word("database"),
        user: word("user"),
        clients_active: number("cl_active"),
        clients_waiting: number("cl_waiting"),
        servers_active: number("sv_active"),
        servers_idle: number("sv_idle"),
        max_wait_seconds: number("maxwait"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_and_databases_are_read_and_the_console_is_left_out() {
        let text = "database,user,cl_active,cl_waiting,cl_cancel_req,sv_active,sv_idle,sv_used,sv_tested,sv_login,maxwait,maxwait_us,pool_mode\n\
                    app,app,4,1,0,2,1,0,0,0,3,17,transaction\npgbouncer,pgbouncer,1,0,0,0,0,0,0,0,0,0,statement\n\
                    name,host,port,database,force_user,pool_size,paused,disabled\n\
                    app,10.0.0.1,5000,app,,20,1,0\npgbouncer,,6432,pgbouncer,pgbouncer,2,0,0\n";
        let console = parse(text);
        assert_eq!(console.paused, ["app"]);
        assert_eq!(console.databases, ["app"]);
        assert_eq!(console.pools.len(), 1);
        assert_eq!((console.pools[0].clients_waiting, console.pools[0].max_wait_seconds), (1, 3));
    }

    /// What the console is told by `script`, where a pool may have `size` servers; of its looks, the second finds a log-in.
    fn told(root: &std::path::Path, size: u32, script: &str) -> Vec<String> {
        let at = root.to_string_lossy();
        std::fs::create_dir_all(root.join("run")).unwrap();
        let console = format!(
            "case $* in
            *'SHOW CONFIG') printf 'default_pool_size={size}=20=yes\\nmin_pool_size=0=0=yes\\nreserve_pool_size=3=0=yes\\n' ;;
            *'SHOW POOLS') echo look >>{at}/told
                echo database,user,sv_login
                [ $(grep -c look {at}/told) != 2 ] || echo app,app,1
                echo other,app,1 ;;
            *) cat >>{at}/told ;;
            esac\n"
        );
        crate::stand_in::program(&root.join("timeout"), &console);
        let script = format!("{}\nPATH={at}:$PATH\n{script}", crate::live::SHELL)
            .replace("/run/deploy", &format!("{at}/run"));
        assert!(std::process::Command::new("sh").arg("-ec").arg(script).status().unwrap().success());
        let told = std::fs::read_to_string(root.join("told")).unwrap();
        std::fs::remove_file(root.join("told")).unwrap();
        told.lines().map(str::to_owned).collect()
    }

    #[test]
    fn pools_do_not_grow_while_log_ins_end_and_then_have_the_size_that_they_had() {
        let root = tempfile::tempdir().unwrap();
        let held = ["SET default_pool_size=1;", "SET reserve_pool_size=0;", "look", "look", "look", "look"];
        let back = ["SET default_pool_size=7;", "SET reserve_pool_size=3;"];
        let settles = "pgbouncer_settles app reports\n";
        assert_eq!(told(root.path(), 7, &format!("{settles}pgbouncer_grows\n")), [&held[..], &back].concat());
        assert_eq!(told(root.path(), 7, settles), held);
        // That run was killed, and the next one finds the sizes that it has left.
        assert_eq!(told(root.path(), 1, &format!("{settles}pgbouncer_grows\n")), [&held[..], &back].concat());
    }
}
