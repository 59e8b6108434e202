//! Databases, roles, schemas and extensions of PostgreSQL: their names, and who refers to whom.

use std::collections::BTreeSet;

use super::Findings;
use super::names::{is_extension, is_identifier, is_taken_database, is_taken_role, is_taken_schema};
use crate::inventory::model::{Database, Inventory, Postgresql};
use crate::inventory::wording::{closest, quoted};

/// Roles that come with PostgreSQL and may be granted (its manual, "Predefined Roles").
const PREDEFINED: [&str; 14] = [
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_execute_server_program",
    "pg_maintain",
    "pg_monitor",
    "pg_read_all_data",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_read_server_files",
    "pg_signal_backend",
    "pg_stat_scan_tables",
    "pg_use_reserved_connections",
    "pg_write_all_data",
    "pg_write_server_files",
];

const NAME_HINT: &str = "use lower-case letters, digits and `_`, at most 63, not beginning with a digit";

/// PgBouncer offers each database a second time for reading, under its name and this ending.
const READ_ONLY_ENDING: &str = "_ro";

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    let postgresql = &inventory.postgresql;
    for name in postgresql.roles.keys() {
        named(found, &["postgresql", "roles", name], "role", name, is_taken_role(name));
        members(name, postgresql, found);
    }
    cycles(postgresql, found);
    for (name, database) in &postgresql.databases {
        named(found, &["postgresql", "databases", name], "database", name, is_taken_database(name));
        aliases(name, postgresql, found);
        contents(name, database, found);
        grants(name, database, postgresql, found);
    }
}

fn named(found: &mut Findings<'_>, path: &[&str], what: &str, name: &str, taken: bool) {
    if !is_identifier(name) {
        found.key(path, format!("{} cannot be the name of a {what}", quoted(name)), NAME_HINT);
    } else if taken {
        found.key(path, format!("the {what} name {} is reserved", quoted(name)), "choose another name");
    }
}

fn aliases(name: &str, postgresql: &Postgresql, found: &mut Findings<'_>) {
    let path = ["postgresql", "databases", name];
    if let Some(stem) = name.strip_suffix(READ_ONLY_ENDING)
        && postgresql.databases.contains_key(stem)
    {
        let message =
            format!("{} is what PgBouncer calls the read-only way to {}", quoted(name), quoted(stem));
        found.key(&path, message, "choose another name");
    }
    if is_identifier(name) && name.len() + READ_ONLY_ENDING.len() > 63 {
        let message = format!(
            "{} leaves no room for its read-only name, which ends in `{READ_ONLY_ENDING}`",
            quoted(name)
        );
        found.key(&path, message, "use at most 60 characters");
    }
}

fn contents(name: &str, database: &Database, found: &mut Findings<'_>) {
    for (index, schema) in database.schemas.iter().enumerate() {
        let path = ["postgresql", "databases", name, "schemas", &index.to_string()];
        if schema == "public" {
            found.value(&path, "the schema `public` is always there", "remove the line");
        } else {
            named(found, &path, "schema", schema, is_taken_schema(schema));
        }
    }
    for (index, extension) in database.extensions.iter().enumerate() {
        if !is_extension(extension) {
            let path = ["postgresql", "databases", name, "extensions", &index.to_string()];
            let message = format!("{} cannot be the name of an extension", quoted(extension));
            found.value(&path, message, "use lower-case letters, digits, `_` and `-`");
        }
    }
}

fn grants(name: &str, database: &Database, postgresql: &Postgresql, found: &mut Findings<'_>) {
    let base = ["postgresql", "databases", name];
    if let Some(owner) = &database.owner
        && owner != "postgres"
        && !postgresql.roles.contains_key(owner)
    {
        let (message, hint) = undeclared(owner, postgresql);
        let message = if found.places.has("/postgresql/databases") {
            message
        } else {
            format!(
                "the default database `{name}` belongs to {}, which `postgresql.roles` lacks",
                quoted(owner)
            )
        };
        found.value(&[&base[..], &["owner"]].concat(), message, hint);
    }
    for (field, roles) in [("read_write", &database.read_write), ("read_only", &database.read_only)] {
        for (index, role) in roles.iter().enumerate() {
            let index = index.to_string();
            let path = [&base[..], &[field, &index]].concat();
            if !postgresql.roles.contains_key(role) {
                let (message, hint) = undeclared(role, postgresql);
                found.value(&path, message, hint);
            } else if field == "read_only" && database.read_write.contains(role) {
                let message = format!("{} is in both `read_write` and `read_only`", quoted(role));
                found.value(&path, message, "keep one of them");
            }
        }
    }
}

fn undeclared(role: &str, postgresql: &Postgresql) -> (String, String) {
    let hint = closest(role, postgresql.roles.keys().map(String::as_str)).map_or_else(
        || format!("add `{role}: {{}}` under `postgresql.roles`"),
        |meant| format!("did you mean `{meant}`?"),
    );
    let hint = if is_identifier(role) { hint } else { NAME_HINT.into() };
    (format!("the role {} is not in `postgresql.roles`", quoted(role)), hint)
}

fn members(name: &str, postgresql: &Postgresql, found: &mut Findings<'_>) {
    let groups = postgresql.roles.get(name).map(|role| role.member_of.as_slice()).unwrap_or_default();
    for (index, group) in groups.iter().enumerate() {
        let path = ["postgresql", "roles", name, "member_of", &index.to_string()];
        if group.starts_with("pg_") {
            if !PREDEFINED.contains(&group.as_str()) {
                let hint = closest(group, PREDEFINED).map(|meant| format!("did you mean `{meant}`?"));
                let message =
                    format!("{} is not a role that PostgreSQL brings and that can be granted", quoted(group));
                found.value(&path, message, hint.unwrap_or_default());
            }
        } else if !postgresql.roles.contains_key(group) {
            let (message, hint) = undeclared(group, postgresql);
            found.value(&path, message, hint);
        }
    }
}

/// Reports each circle of memberships once, at its first role by name.
fn cycles(postgresql: &Postgresql, found: &mut Findings<'_>) {
    let mut told: BTreeSet<String> = BTreeSet::new();
    for start in postgresql.roles.keys() {
        let Some(circle) = circle(start, postgresql) else { continue };
        if circle.iter().any(|role| told.contains(role)) {
            continue;
        }
        let chain: Vec<String> = circle.iter().chain([start]).map(|role| quoted(role)).collect();
        let message = format!("membership goes in a circle: {}", chain.join(" → "));
        found.value(&["postgresql", "roles", start, "member_of"], message, "remove one of the memberships");
        told.extend(circle);
    }
}

/// The shortest way of memberships from a role back to itself.
fn circle(start: &str, postgresql: &Postgresql) -> Option<Vec<String>> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut ways: std::collections::VecDeque<Vec<&str>> = [vec![start]].into();
    while let Some(way) = ways.pop_front() {
        let here = way.last()?;
        for group in postgresql.roles.get(*here).into_iter().flat_map(|role| &role.member_of) {
            if group == start {
                return Some(way.iter().map(|role| (*role).to_owned()).collect());
            }
            if seen.insert(group) {
                ways.push_back(way.iter().copied().chain([group.as_str()]).collect());
            }
        }
    }
    None
}
