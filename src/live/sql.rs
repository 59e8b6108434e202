//! Statements of SQL as text, and the change that has them carried out. Whatever stands in a name or a text stays in it.

use crate::resource::{Call, Change, Id, Order, Payload, Verb};

/// A change by statements of SQL in `database`.
pub fn change(
    kind: &str,
    name: &str,
    verb: Verb,
    reason: impl Into<String>,
    database: &str,
    sql: &str,
) -> Change {
    // Nothing of a role's verifier may reach the server's log or its statistics.
    let quiet = format!(
        "SET log_statement = 'none';\nSET log_min_duration_statement = -1;\nSET pg_stat_statements.track_utility = off;\n{sql}"
    );
    let call = Call::new("objects_apply", [database]).with(Payload::Bytes(quiet.into_bytes()));
    let mut change = Change::new(Id::new(kind, name), verb, reason, Order::Activate, call);
    change.cluster_wide = true;
    change
}

/// Statements of which all are carried out or none.
pub fn whole(sql: &str) -> String {
    format!("BEGIN;\n{sql}COMMIT;\n")
}

/// What a role of a database may do in one schema of it, with what its owner makes there later.
pub fn grant(database: &str, owner: &str, role: &str, schema: &str, writes: bool) -> String {
    let (database, owner, role, schema) =
        (identifier(database), identifier(owner), identifier(role), identifier(schema));
    let tables = if writes { "SELECT, INSERT, UPDATE, DELETE" } else { "SELECT" };
    let sequences = if writes { "USAGE, SELECT, UPDATE" } else { "SELECT" };
    format!(
        "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role};\n\
         GRANT USAGE ON SCHEMA {schema} TO {role};\n\
         GRANT {tables} ON ALL TABLES IN SCHEMA {schema} TO {role};\n\
         GRANT {sequences} ON ALL SEQUENCES IN SCHEMA {schema} TO {role};\n\
         ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT {tables} ON TABLES TO {role};\n\
         ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT {sequences} ON SEQUENCES TO {role};\n"
    )
}

/// Takes from a role that only reads whatever else it may do with the tables and sequences of a schema, now and later,
/// and from those that it has let do the same.
pub fn only_reads(owner: &str, role: &str, schema: &str) -> String {
    let (owner, role, schema) = (identifier(owner), identifier(role), identifier(schema));
    let (tables, sequences) = ("INSERT, UPDATE, DELETE, TRUNCATE", "USAGE, UPDATE");
    let later = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} REVOKE");
    format!(
        "REVOKE {tables} ON ALL TABLES IN SCHEMA {schema} FROM {role} CASCADE;\n\
         REVOKE {sequences} ON ALL SEQUENCES IN SCHEMA {schema} FROM {role} CASCADE;\n\
         {later} {tables} ON TABLES FROM {role};\n\
         {later} {sequences} ON SEQUENCES FROM {role};\n"
    )
}

/// A statement of psql that creates something unless the catalog has it: the run that follows a killed one, or one
/// that could not look, finds its work done.
pub fn unless_there(create: &str, catalog: &str, column: &str, name: &str) -> String {
    format!(
        "SELECT {} WHERE NOT EXISTS (SELECT FROM {catalog} WHERE {column} = {}) \\gexec\n",
        literal(create),
        literal(name)
    )
}

/// A name as SQL reads it, whatever is in it.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL reads it, whatever is in it.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
