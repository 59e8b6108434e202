//! Roles and databases of PostgreSQL, read and changed on the leader through its own socket.
//!
//! What is declared is made and kept; what is not declared is never dropped. Passwords travel as SCRAM verifiers, so
//! that no log of the server can hold one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Deserialize;

use super::database::{self, LOOKUP_ROLE, SeenDatabase, grants};
use super::{ClusterView, Observed, Placed, fields, json, members, pgbouncer, sql};
use crate::cluster::{Cluster, NodeName};
use crate::inventory::model::{Database, DatabaseRole};
use crate::render::{CHECK_DATABASE, CHECK_ROLE, Source, pools};
use crate::resource::{Call, Change, Fields, Id, Verb};
use crate::secrets::{Secret, scram_matches, scram_salt, scram_verifier};

/// Password of the role that Patroni runs `pg_rewind` with.
pub const REWIND: &str = "patroni/rewind";
/// That role.
pub const REWIND_ROLE: &str = "rewind";
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
    /// Its password has changed, and not every pooler has logged in with it since.
    #[serde(default)]
    log_in_due: bool,
    member_of: BTreeSet<String>,
}

impl SeenRole {
    /// It logs in, with another password than this one.
    fn has_other(&self, password: &Secret) -> bool {
        self.password.as_deref().is_some_and(|verifier| !scram_matches(verifier, password))
    }
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
    let answer = |key: &str, query: &str| format!("SELECT {} || ({query}\n)::text;\n", sql::literal(key));
    let mut script = answer("main=", include_str!("objects.sql"));
    for (name, database) in &databases {
        let inside = answer(&format!("database.{name}="), &database::query(database));
        // A connection that fails would end psql, and hide those that follow.
        script = format!(
            "{script}SELECT EXISTS (SELECT FROM pg_database WHERE datname = {} AND datallowconn) AS there \\gset\n\
             \\if :there\n\\connect {}\n{inside}\\endif\n",
            sql::literal(name),
            sql::identifier(name)
        );
    }
    Call::new("objects_probe", [script])
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
        changes.extend(role_change(
            source,
            name,
            role,
            seen.roles.get(name),
            password.filter(|one| !later(one)),
        ));
    }
    changes.extend(rewind_change(source, &seen));
    // Memberships come after all roles exist.
    for (name, role) in &roles {
        let has = seen.roles.get(name).map(|role| role.member_of.clone()).unwrap_or_default();
        let missing: Vec<&String> = role.member_of.iter().filter(|group| !has.contains(*group)).collect();
        if !missing.is_empty() {
            let groups = missing.iter().map(|group| sql::identifier(group)).collect::<Vec<_>>().join(", ");
            let sql = format!("GRANT {groups} TO {};\n", sql::identifier(name));
            changes.push(sql::change(
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
        let owner = seen.databases.get(name);
        changes.extend(database::changes(name, database, owner, inside.unwrap_or_default()));
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

/// The roles whose password is to change, or has changed and is not known to every pooler.
fn renewed<'a>(
    source: &'a Source,
    seen: &'a Seen,
    roles: &'a BTreeMap<String, DatabaseRole>,
) -> impl Iterator<Item = (&'a String, &'a Secret)> {
    let logging_in = roles.iter().filter(|(name, role)| role.login && *name != LOOKUP_ROLE);
    logging_in.filter_map(|(name, _)| {
        let (password, seen) = (source.secrets.get(&password_of(name))?, seen.roles.get(name)?);
        (seen.log_in_due || seen.has_other(password)).then_some((name, password))
    })
}

/// Behind the log-ins of all poolers the note that they are due goes: a run that was killed before is finished by the next.
pub fn logged_in(source: &Source, observed: &Observed) -> Vec<Placed> {
    let Some((node, seen)) = leader(source, observed) else { return Vec::new() };
    let (roles, _) = wanted(&source.cluster);
    let done = renewed(source, &seen, &roles).map(|(name, _)| {
        let sql = format!("ALTER ROLE {} RESET deploy.log_in;\n", sql::identifier(name));
        let reason = "its poolers have logged in with its new password";
        (node.clone(), sql::change("logins", name, Verb::Run, reason, "postgres", &sql))
    });
    done.collect()
}

/// The node that takes writes, and what it says.
fn leader(source: &Source, observed: &Observed) -> Option<(NodeName, Seen)> {
    let (node, main) = source
        .cluster
        .with_role("patroni")
        .find_map(|(node, _)| Some((node, json(fields(observed, node, &id())?, "main")?)))?;
    Some((node.clone(), serde_json::from_value(main).ok()?))
}

/// PgBouncer's own password changes just before PgBouncer hears of it: in between it could not look up who comes anew.
pub fn lookup_change(source: &Source, observed: &Observed) -> Option<Placed> {
    let password = source.secrets.get(&password_of(LOOKUP_ROLE))?;
    let (node, reason) = match leader(source, observed) {
        Some((node, seen)) => {
            (seen.roles.get(LOOKUP_ROLE)?.has_other(password)).then_some((node, OTHER_PASSWORD))?
        }
        None if members::has_data(source, observed) => {
            // Who takes no writes yet may well lead by then.
            let leader =
                ClusterView::read(source, observed).and_then(|view| Some(view.leader()?.name.clone()));
            let workers = || source.cluster.with_role("patroni").map(|(node, _)| node);
            let leads = workers().find(|node| leader.as_deref() == Some(node.as_str()));
            (leads.or_else(|| workers().find(|node| observed.contains_key(*node)))?.clone(), UNSEEN)
        }
        None => return None,
    };
    Some((node, password_change(source, LOOKUP_ROLE, password, reason)))
}

/// Patroni makes its role for `pg_rewind` when it makes the cluster, and never looks at its password again.
fn rewind_change(source: &Source, seen: &Seen) -> Option<Change> {
    let password = source.secrets.get(REWIND)?;
    if !seen.roles.get(REWIND_ROLE)?.has_other(password) {
        return None;
    }
    Some(password_change(source, REWIND_ROLE, password, OTHER_PASSWORD))
}

fn password_change(source: &Source, role: &str, password: &Secret, reason: &str) -> Change {
    let verifier = verifier(source, role, password);
    let sql = format!("ALTER ROLE {} PASSWORD {};\n", sql::identifier(role), sql::literal(&verifier));
    sql::change("role", role, Verb::Update, reason, "postgres", &sql)
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
    for (name, password) in renewed(source, seen, roles) {
        let is = with_groups(roles, name);
        let may_connect = |database: &String| {
            databases.get(database).is_some_and(|wanted| {
                wanted.owner.as_ref().is_some_and(|owner| is.contains(owner))
                    || grants(wanted).any(|(granted, ..)| is.contains(&granted))
            })
        };
        let pools = pools(&source.cluster).into_iter().filter(|pool| may_connect(&pool.database));
        let aliases: Vec<String> = pools.map(|pool| pool.alias).collect();
        all.extend(pgbouncer::logins(source, observed, name, &aliases.join(" "), password));
    }
    all
}

/// A role, and all that it is a member of.
fn with_groups<'a>(roles: &'a BTreeMap<String, DatabaseRole>, name: &'a String) -> BTreeSet<&'a String> {
    let mut all = BTreeSet::from([name]);
    let mut left = vec![name];
    while let Some(role) = left.pop() {
        let groups = roles.get(role).into_iter().flat_map(|role| &role.member_of);
        left.extend(groups.filter(|group| all.insert(*group)));
    }
    all
}

fn role_change(
    source: &Source,
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
        if seen.is_some_and(|seen| seen.has_other(password)) {
            // In front of it: whatever becomes of this run, the next one knows that poolers have to log in.
            let _ = writeln!(sql, "ALTER ROLE {} SET deploy.log_in = 'due';", sql::identifier(name));
        }
        let verifier = verifier(source, name, password);
        let _ = writeln!(sql, "ALTER ROLE {} PASSWORD {};", sql::identifier(name), sql::literal(&verifier));
    }
    let verb = if seen.is_some() { Verb::Update } else { Verb::Create };
    Some(sql::change("role", name, verb, reasons.join("; "), "postgres", &sql))
}

/// What PostgreSQL is to keep of a password.
fn verifier(source: &Source, role: &str, password: &Secret) -> String {
    // Generated, and typed by nobody.
    let key = source.secrets.get(REWIND).unwrap_or(password);
    scram_verifier(password, &scram_salt(key, role, password), 4096)
}
