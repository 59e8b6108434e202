//! Roles and databases of PostgreSQL, read and changed on the leader through its own socket.
//!
//! What is declared is made and kept; what is not declared is never dropped. Passwords travel as SCRAM verifiers, so
//! that no log of the server can hold one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Deserialize;

use super::{ClusterView, Observed, Placed, fields, json, members, pgbouncer, sql};
use crate::cluster::{Cluster, NodeName};
use crate::inventory::model::{Database, DatabaseRole};
use crate::render::{CHECK_DATABASE, CHECK_ROLE, Source, pools};
use crate::resource::{Call, Change, Fields, Id, Order, Payload, Verb, sha256};
use crate::secrets::{Secret, scram_matches, scram_verifier};

/// Role that PgBouncer looks up its clients with.
const LOOKUP_ROLE: &str = "pgbouncer";
/// Password of the role that Patroni runs `pg_rewind` with.
pub const REWIND: &str = "patroni/rewind";
const REWIND_ROLE: &str = "rewind";
const UNSEEN: &str = "cannot be seen: no leader answers";
const OTHER_PASSWORD: &str = "its password is not the one in the store";

#[derive(Debug, Default, Deserialize)]
struct Seen {
    #[serde(default)]
    roles: BTreeMap<String, SeenRole>,
    #[serde(default)]
    databases: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct SeenRole {
    login: bool,
    limit: i32,
    password: Option<String>,
    member_of: BTreeSet<String>,
}

impl SeenRole {
    /// It logs in, with another password than this one.
    fn has_other(&self, password: &Secret) -> bool {
        self.password.as_deref().is_some_and(|verifier| !scram_matches(verifier, password))
    }
}

#[derive(Debug, Default, Deserialize)]
struct SeenDatabase {
    extensions: BTreeSet<String>,
    schemas: BTreeSet<String>,
    /// MD5 of the body of `pgbouncer.user_lookup`.
    lookup: Option<String>,
    /// Grants that are wanted and not there, as `role schema`.
    missing: BTreeSet<String>,
    heartbeat: bool,
}

pub fn id() -> Id {
    Id::new("postgresql", "objects")
}

/// The parameters that wait for a restart of the leader, with the values that it runs with.
pub fn pending(source: &Source, observed: &Observed) -> BTreeMap<String, String> {
    let said = source
        .cluster
        .with_role("patroni")
        .find_map(|(node, _)| json(fields(observed, node, &id())?, "main"));
    let pending = said.map(|mut said| said["pending"].take()).unwrap_or_default();
    serde_json::from_value(pending).unwrap_or_default()
}

/// Declared roles and databases, with those that PgBouncer and the checks need.
fn wanted(cluster: &Cluster) -> (BTreeMap<String, DatabaseRole>, BTreeMap<String, Database>) {
    let mut roles = cluster.inventory.postgresql.roles.clone();
    let mut databases = cluster.inventory.postgresql.databases.clone();
    roles.insert(LOOKUP_ROLE.into(), DatabaseRole::default());
    roles.insert(CHECK_ROLE.into(), DatabaseRole { connection_limit: 20, ..DatabaseRole::default() });
    databases
        .insert(CHECK_DATABASE.into(), Database { owner: Some(CHECK_ROLE.into()), ..Database::default() });
    (roles, databases)
}

/// Names of all secrets that are passwords of PostgreSQL roles.
pub fn password_of(role: &str) -> String {
    if role == LOOKUP_ROLE { "pgbouncer/auth".into() } else { format!("postgresql/{role}") }
}

/// The roles of a cluster that log in with a password from the store.
pub fn login_roles(cluster: &Cluster) -> Vec<String> {
    wanted(cluster).0.into_iter().filter(|(_, role)| role.login).map(|(name, _)| name).collect()
}

pub fn probe(source: &Source) -> Call {
    let (_, databases) = wanted(&source.cluster);
    let mut args = vec![include_str!("objects.sql").to_owned()];
    for (name, database) in &databases {
        args.push(name.clone());
        args.push(include_str!("database.sql").replace("/*grants*/", &grant_rows(database)));
    }
    Call::new("objects_probe", args)
}

/// The grants of a database as rows of a VALUES list: role, schema, whether it may write.
fn grant_rows(database: &Database) -> String {
    let rows: Vec<String> = grants(database)
        .map(|(role, schema, writes)| {
            format!("({}, {}, {writes})", sql::literal(&role), sql::literal(&schema))
        })
        .collect();
    if rows.is_empty() {
        "SELECT NULL::text, NULL::text, NULL::bool WHERE false".into()
    } else {
        format!("VALUES {}", rows.join(", "))
    }
}

fn grants(database: &Database) -> impl Iterator<Item = (String, String, bool)> {
    let schemas: Vec<&String> = database.schemas.iter().collect();
    let roles = database
        .read_write
        .iter()
        .map(|role| (role, true))
        .chain(database.read_only.iter().map(|role| (role, false)));
    roles
        .flat_map(move |(role, writes)| {
            let public = "public".to_owned();
            let all: Vec<String> =
                std::iter::once(public).chain(schemas.iter().map(|schema| (*schema).clone())).collect();
            all.into_iter().map(move |schema| (role.clone(), schema, writes))
        })
        .collect::<Vec<_>>()
        .into_iter()
}

pub fn changes(source: &Source, observed: &Observed) -> Vec<Placed> {
    let leader = ClusterView::read(source, observed)
        .and_then(|view| view.leader().map(|leader| NodeName::from(leader.name.as_str())));
    let first = source.cluster.with_role("patroni").next().map(|(node, _)| node.clone());
    let Some(node) = leader.or(first) else { return Vec::new() };
    let empty = Fields::new();
    let said = fields(observed, &node, &id()).unwrap_or(&empty);
    let seen: Seen =
        json(said, "main").and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let (roles, databases) = wanted(&source.cluster);
    let mut changes = Vec::new();
    for (name, role) in &roles {
        let password = role.login.then(|| source.secrets.get(&password_of(name))).flatten();
        let later = |password: &&Secret| {
            name == LOOKUP_ROLE && seen.roles.get(name).is_some_and(|seen| seen.has_other(password))
        };
        changes.extend(role_change(name, role, seen.roles.get(name), password.filter(|one| !later(one))));
    }
    changes.extend(rewind_change(source, &seen));
    // Memberships come after all roles exist.
    for (name, role) in &roles {
        let has = seen.roles.get(name).map(|role| role.member_of.clone()).unwrap_or_default();
        let missing: Vec<&String> = role.member_of.iter().filter(|group| !has.contains(*group)).collect();
        if !missing.is_empty() {
            let groups = missing.iter().map(|group| sql::identifier(group)).collect::<Vec<_>>().join(", ");
            let sql = format!("GRANT {groups} TO {};\n", sql::identifier(name));
            changes.push(change(
                "membership",
                name,
                Verb::Update,
                format!("not a member of {groups}"),
                "postgres",
                &sql,
            ));
        }
    }
    for (name, database) in &databases {
        let inside: Option<SeenDatabase> =
            json(said, &format!("database.{name}")).and_then(|value| serde_json::from_value(value).ok());
        changes.extend(database_changes(
            name,
            database,
            seen.databases.get(name),
            inside.unwrap_or_default(),
        ));
    }
    let logins = logins(source, observed, &seen, &roles, &databases);
    let unseen = !said.contains_key("main") && members::has_data(source, observed);
    let place = |mut change: Change| {
        if unseen {
            change.reason = UNSEEN.into();
        }
        (node.clone(), change)
    };
    changes.into_iter().map(place).chain(logins).collect()
}

/// PgBouncer's own password changes just before PgBouncer hears of it: in between it could not look up who comes anew.
pub fn lookup_change(source: &Source, observed: &Observed) -> Option<Placed> {
    let password = source.secrets.get(&password_of(LOOKUP_ROLE))?;
    let mut workers = source.cluster.with_role("patroni").map(|(node, _)| node);
    let leader = workers.find_map(|node| Some((node, json(fields(observed, node, &id())?, "main")?)));
    let (node, reason) = match leader {
        Some((node, main)) => {
            let seen: Seen = serde_json::from_value(main).ok()?;
            (seen.roles.get(LOOKUP_ROLE)?.has_other(password)).then_some((node, OTHER_PASSWORD))?
        }
        None if members::has_data(source, observed) => {
            let mut workers = source.cluster.with_role("patroni").map(|(node, _)| node);
            (workers.find(|node| observed.contains_key(*node))?, UNSEEN)
        }
        None => return None,
    };
    Some((node.clone(), password_change(LOOKUP_ROLE, password, reason)))
}

/// Patroni makes its role for `pg_rewind` when it makes the cluster, and never looks at its password again.
fn rewind_change(source: &Source, seen: &Seen) -> Option<Change> {
    let password = source.secrets.get(REWIND)?;
    if !seen.roles.get(REWIND_ROLE)?.has_other(password) {
        return None;
    }
    Some(password_change(REWIND_ROLE, password, OTHER_PASSWORD))
}

fn password_change(role: &str, password: &Secret, reason: &str) -> Change {
    let verifier = scram_verifier(password, &salt(role, password), 4096);
    let sql = format!("ALTER ROLE {} PASSWORD {};\n", sql::identifier(role), sql::literal(&verifier));
    change("role", role, Verb::Update, reason, "postgres", &sql)
}

/// PgBouncer logs in to the servers with what it learned when a client last logged in. Where a role's password changes,
/// `deploy` is that client, at once: whoever is connected need not notice.
fn logins(
    source: &Source,
    observed: &Observed,
    seen: &Seen,
    roles: &BTreeMap<String, DatabaseRole>,
    databases: &BTreeMap<String, Database>,
) -> Vec<Placed> {
    let mut all = Vec::new();
    for (name, _) in roles.iter().filter(|(name, role)| role.login && *name != LOOKUP_ROLE) {
        let Some(password) = source.secrets.get(&password_of(name)) else { continue };
        if !seen.roles.get(name).is_some_and(|seen| seen.has_other(password)) {
            continue;
        }
        let may_connect = |database: &String| {
            databases.get(database).is_some_and(|wanted| {
                wanted.owner.as_ref() == Some(name) || grants(wanted).any(|(granted, ..)| &granted == name)
            })
        };
        let pools = pools(&source.cluster).into_iter().filter(|pool| may_connect(&pool.database));
        let aliases: Vec<String> = pools.map(|pool| pool.alias).collect();
        all.extend(pgbouncer::logins(source, observed, name, &aliases.join(" "), password));
    }
    all
}

fn change(
    kind: &str,
    name: &str,
    verb: Verb,
    reason: impl Into<String>,
    database: &str,
    sql: &str,
) -> Change {
    // Nothing of a role's verifier may reach the server's log.
    let quiet = format!("SET log_statement = 'none';\nSET log_min_duration_statement = -1;\n{sql}");
    let call = Call::new("objects_apply", [database]).with(Payload::Bytes(quiet.into_bytes()));
    let mut change = Change::new(Id::new(kind, name), verb, reason, Order::Activate, call);
    change.cluster_wide = true;
    change
}

fn role_change(
    name: &str,
    role: &DatabaseRole,
    seen: Option<&SeenRole>,
    password: Option<&Secret>,
) -> Option<Change> {
    let mut reasons = Vec::new();
    let mut sql = String::new();
    match seen {
        None => {
            reasons.push("does not exist".to_owned());
            let create = format!("CREATE ROLE {}", sql::identifier(name));
            sql.push_str(&sql::unless_there(&create, "pg_roles", "rolname", name));
        }
        Some(seen) => {
            if seen.login != role.login {
                reasons.push(format!("login is {}, not {}", seen.login, role.login));
            }
            if seen.limit != role.connection_limit {
                reasons.push(format!("connection limit is {}, not {}", seen.limit, role.connection_limit));
            }
        }
    }
    let right = |password: &Secret| {
        seen.and_then(|seen| seen.password.as_deref())
            .is_some_and(|verifier| scram_matches(verifier, password))
    };
    let password = password.filter(|password| !right(password));
    if seen.is_some() && password.is_some() {
        reasons.push(format!("{OTHER_PASSWORD}: the old one ends at once, open connections stay"));
    }
    if reasons.is_empty() {
        return None;
    }
    let login = if role.login { "LOGIN" } else { "NOLOGIN" };
    let _ = writeln!(
        sql,
        "ALTER ROLE {} {login} CONNECTION LIMIT {};",
        sql::identifier(name),
        role.connection_limit
    );
    if let Some(password) = password {
        let verifier = scram_verifier(password, &salt(name, password), 4096);
        let _ = writeln!(sql, "ALTER ROLE {} PASSWORD {};", sql::identifier(name), sql::literal(&verifier));
    }
    let verb = if seen.is_some() { Verb::Update } else { Verb::Create };
    Some(change("role", name, verb, reasons.join("; "), "postgres", &sql))
}

/// A salt of its own for each role and password, and the same one each time: a plan is a pure function.
fn salt(role: &str, password: &Secret) -> [u8; 16] {
    let hash = sha256(format!("deploy scram salt\0{role}\0{}", password.expose()).as_bytes());
    let mut salt = [0; 16];
    salt.copy_from_slice(&hash.as_bytes()[..16]);
    salt
}

fn database_changes(
    name: &str,
    database: &Database,
    owner: Option<&String>,
    inside: SeenDatabase,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let wanted_owner = database.owner.as_deref().unwrap_or("postgres");
    if owner.is_none() {
        let create =
            format!("CREATE DATABASE {} OWNER {}", sql::identifier(name), sql::identifier(wanted_owner));
        let mut sql = sql::unless_there(&create, "pg_database", "datname", name);
        let _ = writeln!(sql, "REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC;", sql::identifier(name));
        changes.push(change("database", name, Verb::Create, "does not exist", "postgres", &sql));
    } else if owner.is_some_and(|owner| owner != wanted_owner) {
        let sql =
            format!("ALTER DATABASE {} OWNER TO {};\n", sql::identifier(name), sql::identifier(wanted_owner));
        changes.push(change("database", name, Verb::Update, "its owner differs", "postgres", &sql));
    }
    let (mut reasons, mut sql) = (Vec::new(), String::new());
    for schema in database.schemas.iter().filter(|schema| !inside.schemas.contains(*schema)) {
        reasons.push(format!("schema {schema}"));
        let _ = writeln!(
            sql,
            "CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {};",
            sql::identifier(schema),
            sql::identifier(wanted_owner)
        );
    }
    for extension in database.extensions.iter().filter(|extension| !inside.extensions.contains(*extension)) {
        reasons.push(format!("extension {extension}"));
        let _ = writeln!(sql, "CREATE EXTENSION IF NOT EXISTS {} CASCADE;", sql::identifier(extension));
    }
    let lookup = include_str!("lookup.sql");
    if inside.lookup.as_deref() != Some(&sha256(lookup.as_bytes())) {
        reasons.push("the look-up of PgBouncer".to_owned());
        sql.push_str(&lookup.replace("/*version*/", &sha256(lookup.as_bytes())));
        let _ = writeln!(sql, "GRANT CONNECT ON DATABASE {} TO {LOOKUP_ROLE};", sql::identifier(name));
    }
    if name == CHECK_DATABASE && !inside.heartbeat {
        reasons.push("the table of the checks".to_owned());
        let _ = writeln!(
            sql,
            "CREATE TABLE IF NOT EXISTS public.heartbeat (node text PRIMARY KEY, at timestamptz NOT NULL);\n\
             ALTER TABLE public.heartbeat OWNER TO {CHECK_ROLE};"
        );
    }
    let unfit = owner.is_none() || !inside.missing.is_empty();
    for (role, schema, writes) in grants(database).filter(|(role, schema, _)| {
        unfit && (owner.is_none() || inside.missing.contains(&format!("{role} {schema}")))
    }) {
        reasons.push(format!("{} for {role} in {schema}", if writes { "read and write" } else { "read" }));
        sql.push_str(&sql::grant(name, wanted_owner, &role, &schema, writes));
    }
    if !reasons.is_empty() {
        let verb = if owner.is_none() { Verb::Create } else { Verb::Update };
        let reason = format!("missing: {}", reasons.join(", "));
        changes.push(change("contents", name, verb, reason, name, &sql));
    }
    changes
}
