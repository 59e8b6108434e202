//! What names may look like. They end up in files, in SQL and on command lines, so little is allowed.

/// Names of roles that PostgreSQL, Patroni or `deploy` use themselves.
const TAKEN_ROLES: [&str; 8] =
    ["all", "none", "pgbouncer", "postgres", "public", "replication", "replicator", "rewind"];

/// Names of databases that mean something to PostgreSQL, to `pg_hba.conf` or to PgBouncer.
const TAKEN_DATABASES: [&str; 9] = [
    "all",
    "pgbouncer",
    "postgres",
    "replication",
    "samegroup",
    "samerole",
    "sameuser",
    "template0",
    "template1",
];

/// A DNS label (RFC 1123) in lower case: the name of a machine.
pub fn is_label(name: &str) -> bool {
    let inner = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    inner && (1..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-')
}

/// A host name (RFC 1123) in lower case, of one label or more. Numbers alone are an address, or a part of one.
pub fn is_host_name(name: &str) -> bool {
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(is_label) && !name.split('.').all(is_number)
}

/// An SQL name that needs no quotes: the name of a database, a role or a schema.
pub fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.len() <= 63
}

/// The name of an extension.
pub fn is_extension(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    (1..=63).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-')
}

/// The name of a kernel parameter, with dots.
pub fn is_sysctl(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.');
    name.contains('.') && name.len() <= 255 && name.bytes().all(fits) && !name.split('.').any(str::is_empty)
}

/// The user of an SSH connection; never something that reads as an option.
pub fn is_user(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'\\' | b'@');
    (1..=128).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-')
}

/// What SSH connects to: a name, an address or an alias; never something that reads as an option.
pub fn is_host(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    (1..=253).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-')
}

/// Whether a role of this name would collide with one that is not the user's.
pub fn is_taken_role(name: &str) -> bool {
    name.starts_with("pg_") || is_ours(name) || TAKEN_ROLES.contains(&name)
}

/// Whether a database of this name would collide with one that is not the user's.
pub fn is_taken_database(name: &str) -> bool {
    is_ours(name) || TAKEN_DATABASES.contains(&name)
}

/// Whether a schema of this name would collide with one that is there.
pub fn is_taken_schema(name: &str) -> bool {
    name.starts_with("pg_") || is_ours(name) || matches!(name, "public" | "information_schema" | "pgbouncer")
}

fn is_ours(name: &str) -> bool {
    name == "deploy" || name.starts_with("deploy_")
}

/// Whether a text fits on one line of a file: no control character but the tab.
pub fn is_one_line(text: &str) -> bool {
    !text.chars().any(|c| (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_fit_nowhere() {
        let longest = "a".repeat(256);
        for name in [
            "",
            " ",
            "a b",
            "a'b",
            "a\"b",
            "a\nb",
            "a\0b",
            "$(id)",
            "`id`",
            "{{ x }}",
            "{% x %}",
            "a;b",
            "a/b",
            "../a",
            "-oProxyCommand=x",
            "a|b",
            "a&b",
            "é",
            "a\u{202e}b",
            "A B",
            &longest,
        ] {
            let fits = [
                is_label(name),
                is_host_name(name),
                is_identifier(name),
                is_extension(name),
                is_sysctl(name),
                is_user(name),
                is_host(name),
            ];
            assert_eq!(fits, [false; 7], "{name:?}");
        }
    }

    #[test]
    fn ordinary_names_fit() {
        assert!(["n1", "db-eu-1", "9a"].iter().all(|name| is_label(name) && is_host_name(name)));
        assert!(["1.example", "a.1"].iter().all(|name| is_host_name(name)));
        assert!(!["03", "10.1", "10.0.0.1"].iter().any(|name| is_host_name(name)));
        assert!(["app", "_x", "order_2"].iter().all(|name| is_identifier(name)));
        assert!(["uuid-ossp", "pg_trgm"].iter().all(|name| is_extension(name)));
        assert!(["net.core.somaxconn", "net.ipv4.conf.eth0.rp_filter"].iter().all(|name| is_sysctl(name)));
        assert!(["10.0.0.1", "fe80::1", "db1.example.org", "jump_1"].iter().all(|name| is_host(name)));
        assert!(["root", "jane.doe", "CORP\\jane"].iter().all(|name| is_user(name)));
    }
}
