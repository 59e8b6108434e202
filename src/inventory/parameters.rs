//! What PostgreSQL knows of its parameters, for each version that is supported.
//!
//! The tables `parameters/<version>.tsv` are the rows of `pg_settings` of a fresh cluster of that version, without the
//! settings of extensions: `COPY (SELECT name, context, vartype, coalesce(unit, ''), coalesce(min_val, ''),
//! coalesce(max_val, ''), coalesce(array_to_string(enumvals, ','), '') FROM pg_settings WHERE name NOT LIKE '%.%'
//! ORDER BY name COLLATE "C") TO …`.

mod owned;
mod value;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use owned::{Owned, owned};
pub use value::{base_value, reject};

use super::wording;

/// The versions of PostgreSQL whose parameters are known, oldest first.
pub const VERSIONS: [u32; 2] = [15, 17];

/// When a changed parameter takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// Never: built into the server.
    Internal,
    /// At a restart.
    Postmaster,
    /// At a reload.
    Sighup,
    /// At a reload, for new connections only.
    Backend,
    /// At a reload; a session may change it too.
    Session,
}

/// What a parameter takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// On or off.
    Bool,
    /// A whole number between two others, in the unit of the parameter.
    Integer { min: i64, max: i64 },
    /// A number between two others, in the unit of the parameter.
    Real { min: f64, max: f64 },
    /// One of some words.
    Enum(Vec<String>),
    /// Text.
    Text,
}

/// One parameter of PostgreSQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name as PostgreSQL spells it.
    pub name: String,
    /// When a change takes effect.
    pub context: Context,
    /// What it takes.
    pub kind: Type,
    /// The unit of a bare number: `ms`, `s`, `min`, `B`, `kB`, `8kB` or `MB`.
    pub unit: Option<String>,
}

impl Parameter {
    /// Whether a change waits for a restart of PostgreSQL.
    pub fn needs_restart(&self) -> bool {
        self.context == Context::Postmaster
    }
}

/// The parameters of one version, by name in lower case: PostgreSQL does not tell case apart.
#[derive(Debug)]
pub struct Parameters(BTreeMap<String, Parameter>);

static FIFTEEN: LazyLock<Parameters> = LazyLock::new(|| Parameters::read(include_str!("parameters/15.tsv")));
static SEVENTEEN: LazyLock<Parameters> =
    LazyLock::new(|| Parameters::read(include_str!("parameters/17.tsv")));

impl Parameters {
    /// The parameters of a major version; for one that is not known, those of the nearest older one (or the oldest).
    pub fn of(version: u32) -> &'static Self {
        if version >= 17 { &SEVENTEEN } else { &FIFTEEN }
    }

    /// The parameter of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.get(&name.to_ascii_lowercase())
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.0.values()
    }

    fn read(table: &str) -> Self {
        let rows = table.lines().skip(1).filter_map(row);
        Self(rows.map(|parameter| (parameter.name.to_ascii_lowercase(), parameter)).collect())
    }
}

fn row(line: &str) -> Option<Parameter> {
    let mut columns = line.split('\t');
    let mut next = || columns.next();
    let (name, context, kind, unit, min, max, values) =
        (next()?, next()?, next()?, next()?, next()?, next()?, next()?);
    let context = match context {
        "internal" => Context::Internal,
        "postmaster" => Context::Postmaster,
        "sighup" => Context::Sighup,
        "backend" | "superuser-backend" => Context::Backend,
        "superuser" | "user" => Context::Session,
        _ => return None,
    };
    let kind = match kind {
        "bool" => Type::Bool,
        "integer" => Type::Integer { min: min.parse().ok()?, max: max.parse().ok()? },
        "real" => Type::Real { min: min.parse().ok()?, max: max.parse().ok()? },
        "enum" => Type::Enum(values.split(',').map(str::to_owned).collect()),
        "string" => Type::Text,
        _ => return None,
    };
    Some(Parameter { name: name.into(), context, kind, unit: (!unit.is_empty()).then(|| unit.into()) })
}

/// The newest description of a parameter that any supported version has, and the versions that have it.
pub fn find(name: &str) -> Option<(&'static Parameter, Vec<u32>)> {
    let versions: Vec<u32> =
        VERSIONS.into_iter().filter(|version| Parameters::of(*version).get(name).is_some()).collect();
    let newest = versions.last()?;
    Some((Parameters::of(*newest).get(name)?, versions))
}

/// The parameter of any version that `name` is most likely a misspelling of.
pub fn closest(name: &str) -> Option<&'static str> {
    let all = VERSIONS.into_iter().rev().flat_map(|version| Parameters::of(version).iter());
    let settable = all.filter(|parameter| parameter.context != Context::Internal);
    wording::closest(name, settable.map(|parameter| parameter.name.as_str()))
}

/// Extensions whose parameters (`pg_stat_statements.max`) are taken as they are: their tables come with the extension.
pub const EXTENSIONS: [&str; 24] = [
    "anon",
    "auth_delay",
    "auto_explain",
    "autoprewarm",
    "basic_archive",
    "citus",
    "cron",
    "orafce",
    "passwordcheck",
    "pg_hint_plan",
    "pg_partman_bgw",
    "pg_prewarm",
    "pg_qualstats",
    "pg_squeeze",
    "pg_stat_kcache",
    "pg_stat_monitor",
    "pg_stat_statements",
    "pg_trgm",
    "pg_wait_sampling",
    "pgaudit",
    "pglogical",
    "plpgsql",
    "postgres_fdw",
    "timescaledb",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_tables_is_understood() {
        for (version, table) in
            [(15, include_str!("parameters/15.tsv")), (17, include_str!("parameters/17.tsv"))]
        {
            let names: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
            assert_eq!(Parameters::of(version).iter().count(), names.len(), "PostgreSQL {version}");
            for name in names {
                assert!(Parameters::of(version).get(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn restarts_are_told_from_reloads() {
        let known = |name| Parameters::of(17).get(name).unwrap();
        assert!(known("shared_buffers").needs_restart());
        assert!(!known("work_mem").needs_restart());
        assert_eq!(known("archive_command").context, Context::Sighup);
        assert_eq!(known("timezone").name, "TimeZone");
    }

    #[test]
    fn versions_differ() {
        assert_eq!(find("vacuum_defer_cleanup_age").unwrap().1, [15]);
        assert_eq!(find("transaction_timeout").unwrap().1, [17]);
        assert_eq!(find("work_mem").unwrap().1, [15, 17]);
        assert_eq!(find("no_such"), None);
    }
}
