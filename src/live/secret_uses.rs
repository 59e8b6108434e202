//! The secrets of a cluster and what each is for: those that templates ask for, and the passwords of PostgreSQL's roles.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{Cluster, NodeName};
use crate::role::{Library, Manifest};
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
    let used = |manifest: &&Manifest| cluster.with_role(&manifest.role).next().is_some();
    for manifest in library.roles.values().filter(used) {
        for (name, place, form) in of_role(library, manifest) {
            add(&mut uses, name, place, form);
        }
    }
    uses
}

/// The names of the secrets that a node is given by its roles; `None` where it is in the inventory no more.
pub fn secrets_of(cluster: &Cluster, library: &Library, node: &NodeName) -> Option<BTreeSet<String>> {
    let roles = &cluster.nodes.get(node)?.roles;
    let own = library.roles.values().filter(|manifest| roles.contains(&manifest.role));
    Some(own.flat_map(|manifest| of_role(library, manifest)).map(|(name, ..)| name).collect())
}

/// What a role's files and checks ask for: secret, place, and what its value may hold there.
fn of_role(library: &Library, manifest: &Manifest) -> Vec<(String, String, Form)> {
    let role = &manifest.role;
    let form = match role.as_str() {
        "redis" | "sentinel" => Form::Word,
        role if Library::is_built_in(role) => Form::Quoted,
        _ => Form::Text,
    };
    let mut all = Vec::new();
    for file in &manifest.files {
        for name in library.templates.get(&file.template).into_iter().flat_map(|text| asked_for(text)) {
            all.push((name, format!("{role}: {}", file.path), form));
        }
    }
    if role == "sentinel" {
        // What Sentinel logs in to Redis with: it is told so, and keeps it in its own file.
        all.push((
            "redis/sentinel".to_owned(),
            "sentinel: /etc/redis/cluster/sentinel.conf".to_owned(),
            form,
        ));
    }
    // A check gets its values quoted, whatever they hold.
    for check in &manifest.checks {
        for name in check.vars.values().flat_map(|text| asked_for(text)) {
            all.push((name, format!("{role}: check {}", check.name), Form::Text));
        }
    }
    all
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
    fn a_node_is_given_what_its_roles_ask_for_and_nothing_else() {
        let library = Library::built_in().unwrap();
        let text = crate::live::fixture::MIXED;
        let cluster = Cluster::new(inventory::parse("test.yaml", text).unwrap().0, &library);
        let of = |node: &str| secrets_of(&cluster, &library, &node.into());
        let (app, worker) = (of("a1").unwrap(), of("w1").unwrap());
        assert!(app.contains("pgbouncer/auth") && !app.contains("patroni/rewind"), "{app:?}");
        assert!(worker.contains("patroni/rewind") && !worker.contains("pgbouncer/auth"), "{worker:?}");
        assert_eq!(of("w9"), None);
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
