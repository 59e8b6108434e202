//! What is wanted, as digests, so that a plan made earlier can tell what has moved since. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::render::Source;
use crate::resource::sha256;
use crate::{live, resource};

/// What is wanted, as digests: one for the inventory and for each file beside it or built in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Version of the program.
    pub version: String,
    /// The functions that nodes are sent: programs of one version may differ in them.
    pub functions: String,
    /// The inventory's text.
    pub inventory: String,
    /// Manifests, templates and scripts of roles, by path.
    pub roles: BTreeMap<String, String>,
    /// Secrets, by name.
    pub secrets: BTreeMap<String, String>,
    /// The authorities, as the nodes are to see them.
    pub trust: String,
}

impl Inputs {
    /// The inputs of `source`, whose inventory is `text`.
    pub fn of(source: &Source, text: &str) -> Self {
        let hash = |text: &str| sha256(text.as_bytes());
        let library = &source.library;
        let manifests =
            library.manifests.iter().map(|(role, text)| (format!("roles/{role}.yaml"), hash(text)));
        let templates =
            library.templates.iter().map(|(path, text)| (format!("templates/{path}"), hash(text)));
        let scripts = library.scripts.iter().map(|(path, text)| (format!("roles/{path}"), hash(text)));
        let trust = &source.trust;
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            functions: hash(&[resource::SHELL, live::SHELL].concat()),
            inventory: hash(text),
            roles: manifests.chain(templates).chain(scripts).collect(),
            secrets: source
                .secrets
                .iter()
                .map(|(name, value)| (name.clone(), hash(value.expose())))
                .collect(),
            trust: hash(&format!("{}\0{}\0{}", trust.bundle, trust.issuers.join("\0"), trust.mark)),
        }
    }

    /// One digest of everything. Generated secrets are part of it, so it says nothing about a weak one.
    pub fn digest(&self) -> String {
        sha256(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// What differs from these inputs in `now`, in words.
    pub fn moved(&self, now: &Self) -> Vec<String> {
        let mut moved = Vec::new();
        if self.version != now.version {
            moved.push(format!("deploy was {}, and is {}", self.version, now.version));
        } else if self.functions != now.functions {
            moved.push(format!("deploy was another build of {}", self.version));
        }
        if self.inventory != now.inventory {
            moved.push("the inventory has changed".into());
        }
        moved.extend(differing(&self.roles, &now.roles).map(|path| format!("{path} has changed")));
        moved.extend(
            differing(&self.secrets, &now.secrets).map(|name| format!("the secret {name} has changed")),
        );
        if self.trust != now.trust {
            moved.push("the certificate authorities have changed".into());
        }
        moved
    }
}

/// Keys whose values differ, or that only one side has.
pub fn differing<'a>(
    old: &'a BTreeMap<String, String>,
    new: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a String> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(*key) != new.get(*key))
}
