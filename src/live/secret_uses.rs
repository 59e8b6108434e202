//! The secrets of a cluster and what each is for: those that templates ask for, and the passwords of PostgreSQL's roles.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Cluster;
use crate::role::Library;
use crate::secrets::Form;

use super::objects::REWIND;
use super::{login_roles, password_of};

/// What one secret is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUse {
    /// In words: `PostgreSQL role app`, `pgbouncer: /etc/pgbouncer/userlist.txt`.
    pub places: BTreeSet<String>,
    /// What its value may hold: the most demanding of all places counts.
    pub form: Form,
}

/// Every secret that the roles in use need.
pub fn secret_uses(cluster: &Cluster, library: &Library) -> BTreeMap<String, SecretUse> {
    let mut uses = BTreeMap::new();
    for role in login_roles(cluster) {
        add(&mut uses, password_of(&role), format!("PostgreSQL role {role}"), Form::Password);
    }
    for manifest in
        library.roles.values().filter(|manifest| cluster.with_role(&manifest.role).next().is_some())
    {
        let role = &manifest.role;
        let form = match role.as_str() {
            "redis" | "sentinel" => Form::Word,
            role if Library::is_built_in(role) => Form::Quoted,
            _ => Form::Text,
        };
        for file in &manifest.files {
            for name in library.templates.get(&file.template).into_iter().flat_map(|text| asked_for(text)) {
                add(&mut uses, name, format!("{role}: {}", file.path), form);
            }
        }
        // A check gets its values quoted, whatever they hold.
        for check in &manifest.checks {
            for name in check.vars.values().flat_map(|text| asked_for(text)) {
                add(&mut uses, name, format!("{role}: check {}", check.name), Form::Text);
            }
        }
    }
    uses
}

/// The names of every secret that the roles in use need.
pub fn secret_names(cluster: &Cluster, library: &Library) -> BTreeSet<String> {
    secret_uses(cluster, library).into_keys().collect()
}

/// What to know before a secret is changed: what `apply` then does with it, and what it does not.
pub fn on_change(name: &str) -> &'static str {
    match name {
        REWIND => "apply writes it to Patroni's configuration and changes the role in PostgreSQL",
        "redis/app" | "sentinel/app" => {
            "apply makes it known beside the old one, and takes the old one back at its end: open connections stay, new \
             ones need the new password"
        }
        _ if name.starts_with("redis/") || name.starts_with("sentinel/") => {
            "apply makes it known beside the old one, changes whoever uses it, and takes the old one back at its end"
        }
        _ if name.starts_with("postgresql/") => {
            "PostgreSQL knows one password for each role: open connections stay, whoever connects anew needs the new one"
        }
        _ => "apply writes it to the nodes and reloads what uses it",
    }
}

fn add(uses: &mut BTreeMap<String, SecretUse>, name: String, place: String, form: Form) {
    let found = uses.entry(name).or_insert_with(|| SecretUse { places: BTreeSet::new(), form });
    found.places.insert(place);
    found.form = found.form.max(form);
}

/// The literal names in `secret('…')` and `secret_start('…')` of a template.
fn asked_for(template: &str) -> impl Iterator<Item = String> + '_ {
    let calls = ["secret(", "secret_start("].into_iter().flat_map(|call| template.split(call).skip(1));
    calls.filter_map(|rest| {
        let quote = rest.chars().next().filter(|c| ['\'', '"'].contains(c))?;
        rest[1..].split_once(quote).map(|(name, _)| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    #[test]
    fn secrets_are_found_in_templates() {
        let names: Vec<_> = asked_for("a {{ secret('x/y') }} b {{ secret(\"z\") }} secret(name)").collect();
        assert_eq!(names, ["x/y", "z"]);
    }

    #[test]
    fn each_has_its_places_and_the_strictest_of_their_forms() {
        let library = Library::built_in().unwrap();
        let text = include_str!("../../examples/minimal.yaml");
        let cluster = Cluster::new(inventory::parse("minimal.yaml", text).unwrap().0, &library);
        let uses = secret_uses(&cluster, &library);
        assert_eq!(uses["postgresql/app"].form, Form::Password);
        let auth = &uses["pgbouncer/auth"];
        assert_eq!(auth.form, Form::Quoted);
        assert_eq!(
            auth.places.iter().collect::<Vec<_>>(),
            ["PostgreSQL role pgbouncer", "pgbouncer: /etc/pgbouncer/userlist.txt"]
        );
    }
}
