//! The names of all secrets of a cluster: those that templates ask for, and the passwords of PostgreSQL's roles.

use std::collections::BTreeSet;

use crate::cluster::Cluster;
use crate::role::Library;

use super::{login_roles, password_of};

/// Every secret that the roles in use need.
pub fn secret_names(cluster: &Cluster, library: &Library) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = login_roles(cluster).iter().map(|role| password_of(role)).collect();
    for manifest in
        library.roles.values().filter(|manifest| cluster.with_role(&manifest.role).next().is_some())
    {
        for text in manifest.files.iter().filter_map(|file| library.templates.get(&file.template)) {
            names.extend(asked_for(text));
        }
        for text in manifest.checks.iter().flat_map(|check| check.vars.values()) {
            names.extend(asked_for(text));
        }
    }
    names
}

/// The literal names in `secret('…')` of a template.
fn asked_for(template: &str) -> impl Iterator<Item = String> + '_ {
    template.split("secret(").skip(1).filter_map(|rest| {
        let quote = rest.chars().next().filter(|c| ['\'', '"'].contains(c))?;
        rest[1..].split_once(quote).map(|(name, _)| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn secrets_are_found_in_templates() {
        let names: Vec<_> =
            super::asked_for("a {{ secret('x/y') }} b {{ secret(\"z\") }} secret(name)").collect();
        assert_eq!(names, ["x/y", "z"]);
    }
}
