//! PostgreSQL parameters: known, settable, of the right type; at load for any supported version, later for one.

use std::collections::BTreeMap;

use super::Findings;
use super::names::is_one_line;
use crate::inventory::model::{Inventory, Scalar};
use crate::inventory::parameters::{self, Context, EXTENSIONS, Parameters, VERSIONS, reject};
use crate::inventory::places::Places;
use crate::inventory::problem::Problem;
use crate::inventory::wording::{closest, listed, quoted};

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    let mut spelled: BTreeMap<String, &str> = BTreeMap::new();
    for (name, value) in &inventory.postgresql.parameters {
        let path = ["postgresql", "parameters", name];
        if let Some(other) = spelled.insert(name.to_ascii_lowercase(), name) {
            let message = format!("{} and {} are the same parameter", quoted(other), quoted(name));
            found.key(&path, message, "keep one of them");
        }
        if !is_one_line(&value.to_string()) {
            found.value(&path, "a parameter's value must be one line of text", "");
        } else if let Some((prefix, rest)) = name.split_once('.') {
            extension(inventory, name, prefix, rest, found);
        } else {
            plain(name, value, found);
        }
    }
}

fn plain(name: &str, value: &Scalar, found: &mut Findings<'_>) {
    let path = ["postgresql", "parameters", name];
    if let Some(owner) = parameters::owned(name) {
        found.key(&path, format!("{} {}", quoted(name), owner.why), owner.instead);
        return;
    }
    let Some((newest, versions)) = parameters::find(name) else {
        let hint = parameters::closest(name).map(|meant| format!("did you mean `{meant}`?"));
        let hint =
            hint.unwrap_or_else(|| "a parameter of an extension is written `extension.parameter`".into());
        found.key(&path, format!("PostgreSQL has no parameter {}", quoted(name)), hint);
        return;
    };
    if newest.context == Context::Internal {
        found.key(
            &path,
            format!("{} is built into the server and cannot be set", quoted(name)),
            "remove the line",
        );
        return;
    }
    let fits = |version: &u32| {
        Parameters::of(*version).get(name).is_some_and(|parameter| reject(parameter, value).is_none())
    };
    if !versions.iter().any(fits)
        && let Some(message) = reject(newest, value)
    {
        found.value(&path, message, "");
    }
}

fn extension(inventory: &Inventory, name: &str, prefix: &str, rest: &str, found: &mut Findings<'_>) {
    let path = ["postgresql", "parameters", name];
    let declared = inventory
        .postgresql
        .databases
        .values()
        .any(|database| database.extensions.iter().any(|e| e == prefix));
    if !EXTENSIONS.contains(&prefix) && !declared {
        let hint = closest(prefix, EXTENSIONS).map_or_else(
            || {
                format!(
                    "known extensions: {}; or list it in a database's `extensions`",
                    listed(EXTENSIONS, "and")
                )
            },
            |meant| format!("did you mean `{meant}.{rest}`?"),
        );
        found.key(
            &path,
            format!("unknown extension {} of the parameter {}", quoted(prefix), quoted(name)),
            hint,
        );
    } else if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
    {
        found.key(
            &path,
            format!("{} cannot be the name of a parameter", quoted(name)),
            "use letters, digits and `_`",
        );
    }
}

/// What a cluster of one major version of PostgreSQL would refuse, although another one takes it. For use once the
/// nodes have told their release.
pub fn check_release(inventory: &Inventory, places: &Places, version: u32) -> Vec<Problem> {
    let mut found = Findings { places, problems: Vec::new() };
    let table = Parameters::of(version);
    for (name, value) in inventory.postgresql.parameters.iter().filter(|(name, _)| !name.contains('.')) {
        let path = ["postgresql", "parameters", name];
        if let Some(parameter) = table.get(name) {
            if let Some(message) = reject(parameter, value) {
                found.value(&path, format!("{message} (PostgreSQL {version})"), "");
            }
            continue;
        }
        let others: Vec<String> = VERSIONS
            .iter()
            .filter(|other| Parameters::of(**other).get(name).is_some())
            .map(|other| format!("PostgreSQL {other} has it"))
            .collect();
        found.key(
            &path,
            format!("PostgreSQL {version} has no parameter {}", quoted(name)),
            others.join("; "),
        );
    }
    for (name, role) in &inventory.postgresql.roles {
        for (index, group) in role.member_of.iter().enumerate() {
            let since = match group.as_str() {
                "pg_create_subscription" | "pg_use_reserved_connections" => 16,
                "pg_maintain" => 17,
                _ => continue,
            };
            if version < since {
                let path = ["postgresql", "roles", name, "member_of", &index.to_string()];
                found.value(
                    &path,
                    format!("PostgreSQL {version} has no role {}", quoted(group)),
                    format!("it came with {since}"),
                );
            }
        }
    }
    found.problems
}
