//! Statements of SQL as text. Whatever stands in a name or a text stays in it.

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
