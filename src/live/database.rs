//! What a database of PostgreSQL holds and who may do what in it. What is declared is made and kept; of rights, those
//! to write go where a role is declared to read.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Deserialize;

use super::sql;
use crate::inventory::model::Database;
use crate::render::{CHECK_DATABASE, CHECK_ROLE};
use crate::resource::{Change, Verb, sha256};

/// Role that PgBouncer looks up its clients with.
pub const LOOKUP_ROLE: &str = "pgbouncer";

/// What is in a database.
#[derive(Debug, Default, Deserialize)]
pub struct SeenDatabase {
    extensions: BTreeSet<String>,
    schemas: BTreeSet<String>,
    /// MD5 of the body of `pgbouncer.user_lookup`.
    lookup: Option<String>,
    /// Grants that are wanted and not there, as `role schema`.
    missing: BTreeSet<String>,
    /// Grants to read whose role may write, as `role schema`.
    excess: BTreeSet<String>,
    heartbeat: bool,
}

/// The query that tells what is in a database, as JSON of [`SeenDatabase`].
pub fn query(database: &Database) -> String {
    let owner = sql::literal(owner(database));
    let query = include_str!("database.sql").replace("/*owner*/", &owner);
    query.replace("/*grants*/", &grant_rows(database))
}

fn owner(database: &Database) -> &str {
    database.owner.as_deref().unwrap_or("postgres")
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

/// The roles that may do something in a database: role, schema, whether it may write.
pub fn grants(database: &Database) -> impl Iterator<Item = (String, String, bool)> {
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

/// What has to change in a database, which belongs to `seen_owner` where it is there.
pub fn changes(
    name: &str,
    database: &Database,
    seen_owner: Option<&String>,
    inside: SeenDatabase,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let wanted_owner = owner(database);
    if seen_owner.is_none() {
        // Nobody gets in before it is closed to everybody: a run that is killed in between leaves one that is not there.
        let (database, owner) = (sql::identifier(name), sql::identifier(wanted_owner));
        let create = format!("CREATE DATABASE {database} OWNER {owner} ALLOW_CONNECTIONS false");
        let open = format!(
            "REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC;\n\
             ALTER DATABASE {database} ALLOW_CONNECTIONS true;\n"
        );
        let sql = sql::unless_there(&create, "pg_database", "datname", name) + &sql::whole(&open);
        changes.push(sql::change("database", name, Verb::Create, "does not exist", "postgres", &sql));
    } else if seen_owner.is_some_and(|owner| owner != wanted_owner) {
        let sql =
            format!("ALTER DATABASE {} OWNER TO {};\n", sql::identifier(name), sql::identifier(wanted_owner));
        changes.push(sql::change("database", name, Verb::Update, "its owner differs", "postgres", &sql));
    }
    let (mut missing, mut sql) = (Vec::new(), String::new());
    for schema in database.schemas.iter().filter(|schema| !inside.schemas.contains(*schema)) {
        missing.push(format!("schema {schema}"));
        let _ = writeln!(
            sql,
            "CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {};",
            sql::identifier(schema),
            sql::identifier(wanted_owner)
        );
    }
    for extension in database.extensions.iter().filter(|extension| !inside.extensions.contains(*extension)) {
        missing.push(format!("extension {extension}"));
        let extension = sql::identifier(extension);
        // Where it says no schema of its own, it goes into the first of the path, which elsewhere is the catalog alone.
        let _ = writeln!(
            sql,
            "SET LOCAL search_path = public, pg_temp;\n\
             CREATE EXTENSION IF NOT EXISTS {extension} CASCADE;\n\
             SET LOCAL search_path = pg_catalog, pg_temp;"
        );
    }
    let lookup = include_str!("lookup.sql");
    if inside.lookup.as_deref() != Some(&sha256(lookup.as_bytes())) {
        missing.push("the look-up of PgBouncer".to_owned());
        sql.push_str(&lookup.replace("/*version*/", &sha256(lookup.as_bytes())));
        let _ = writeln!(sql, "GRANT CONNECT ON DATABASE {} TO {LOOKUP_ROLE};", sql::identifier(name));
    }
    if name == CHECK_DATABASE && !inside.heartbeat {
        missing.push("the table of the checks".to_owned());
        let _ = writeln!(
            sql,
            "CREATE TABLE IF NOT EXISTS public.heartbeat (node text PRIMARY KEY, at timestamptz NOT NULL);\n\
             ALTER TABLE public.heartbeat OWNER TO {CHECK_ROLE};"
        );
    }
    let mut excess = Vec::new();
    for (role, schema, writes) in grants(database) {
        let place = format!("{role} {schema}");
        if seen_owner.is_none() || inside.missing.contains(&place) {
            missing
                .push(format!("{} for {role} in {schema}", if writes { "read and write" } else { "read" }));
            sql.push_str(&sql::grant(name, wanted_owner, &role, &schema, writes));
        }
        if inside.excess.contains(&place) {
            excess.push(format!("{role} in {schema}"));
            sql.push_str(&sql::only_reads(wanted_owner, &role, &schema));
        }
    }
    let all = [("missing", missing), ("may only read, and can write", excess)];
    let reasons: Vec<String> = all
        .iter()
        .filter(|(_, what)| !what.is_empty())
        .map(|(why, what)| format!("{why}: {}", what.join(", ")))
        .collect();
    if !reasons.is_empty() {
        let verb = if seen_owner.is_none() { Verb::Create } else { Verb::Update };
        changes.push(sql::change("contents", name, verb, reasons.join("; "), name, &sql::whole(&sql)));
    }
    changes
}
