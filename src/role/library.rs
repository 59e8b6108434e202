//! Where manifests, templates and scripts come from: the built-in ones, under those of a folder beside the inventory.

use std::collections::BTreeMap;
use std::path::Path;

use include_dir::{Dir, include_dir};

use super::{KindOrAll, Manifest, When};
use crate::inventory::model::Kind;
use crate::inventory::{Inventory, KnownRoles};

static ROLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/roles");
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// All roles, templates and scripts of a run, read once.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// Manifests by role.
    pub roles: BTreeMap<String, Manifest>,
    /// Texts of the manifests, by role.
    pub manifests: BTreeMap<String, String>,
    /// Templates by path below `templates/`.
    pub templates: BTreeMap<String, String>,
    /// Scripts by path below `roles/`.
    pub scripts: BTreeMap<String, String>,
    /// What lies over the built-in ones, by path: `roles/…` and `templates/…`.
    pub own: BTreeMap<String, String>,
}

/// A manifest or template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// A file of the user's folder could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A manifest is not what [`Manifest`] describes.
    #[error("roles/{role}.yaml is not a role manifest: {reason}")]
    Manifest {
        /// The role.
        role: String,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A manifest names something that is not there.
    #[error("role {role} names {what}, which does not exist")]
    Missing {
        /// The role.
        role: String,
        /// A template, script, or role.
        what: String,
    },
}

impl RoleError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "let whoever runs this read it, as UTF-8 text",
            Self::Manifest { .. } => "`role` is the name of the file; examples/own-role has one that works",
            Self::Missing { .. } => {
                "put it beside the inventory, or correct the name; `from` takes roles, `admin` and `clients`"
            }
        }
    }
}

impl Library {
    /// The roles that come with the program.
    pub fn built_in() -> Result<Self, RoleError> {
        let mut library = Self::default();
        let mut manifests = BTreeMap::new();
        each_file(&ROLES, &mut |path, text| library.sort_in(&mut manifests, path, text));
        each_file(&TEMPLATES, &mut |path, text| {
            library.templates.insert(path.to_owned(), text.to_owned());
        });
        library.add_manifests(manifests)?;
        library.check()?;
        Ok(library)
    }

    /// Whether a role of this name comes with the program.
    pub fn is_built_in(role: &str) -> bool {
        ROLES.get_file(format!("{role}.yaml")).is_some()
    }

    /// The roles that an inventory may place. Of a role of the user's own, those ports count that it has in every cluster.
    pub fn known_roles(&self) -> KnownRoles {
        let own = self.roles.values().filter(|manifest| !Self::is_built_in(&manifest.role));
        own.fold(KnownRoles::built_in(), |known, manifest| {
            let always = manifest.ports.iter().filter(|port| port.with.is_none() && port.when.is_none());
            let ports: Vec<u16> = always.map(|port| port.port).collect();
            let kinds = manifest.kinds.iter().flat_map(|kind| match kind {
                KindOrAll::Kind(kind) => vec![*kind],
                KindOrAll::All(_) => vec![Kind::Manager, Kind::Worker, Kind::App],
            });
            known.and(&manifest.role, &kinds.collect::<Vec<Kind>>(), &ports)
        })
    }

    /// The built-in roles with those of `dir/roles` and `dir/templates` over them.
    pub fn with_folder(dir: &Path) -> Result<Self, RoleError> {
        let mut own = BTreeMap::new();
        for part in ["roles", "templates"] {
            let files = read_tree(&dir.join(part))?;
            own.extend(files.into_iter().map(|(path, text)| (format!("{part}/{path}"), text)));
        }
        Self::with(own)
    }

    /// The built-in roles with these files over them, by path: `roles/…` and `templates/…`.
    pub fn with(own: BTreeMap<String, String>) -> Result<Self, RoleError> {
        let mut library = Self::built_in()?;
        let mut manifests = BTreeMap::new();
        for (path, text) in &own {
            if let Some(path) = path.strip_prefix("roles/") {
                library.sort_in(&mut manifests, path, text);
            } else if let Some(path) = path.strip_prefix("templates/") {
                library.templates.insert(path.to_owned(), text.clone());
            }
        }
        library.add_manifests(manifests)?;
        library.check()?;
        library.own = own;
        Ok(library)
    }

    /// Without the ports and certificates that are for something that the inventory does not have.
    #[must_use]
    pub fn wanted_by(mut self, inventory: &Inventory) -> Self {
        let wanted = |when: Option<When>| when.is_none_or(|when| when.holds(inventory));
        for manifest in self.roles.values_mut() {
            manifest.ports.retain(|port| wanted(port.when));
            manifest.certificates.retain(|certificate| wanted(certificate.when));
        }
        self
    }

    fn sort_in(&mut self, manifests: &mut BTreeMap<String, String>, path: &str, text: &str) {
        match path.strip_suffix(".yaml") {
            Some(role) if !role.contains('/') => manifests.insert(role.to_owned(), text.to_owned()),
            _ => self.scripts.insert(path.to_owned(), text.to_owned()),
        };
    }

    fn add_manifests(&mut self, manifests: BTreeMap<String, String>) -> Result<(), RoleError> {
        for (role, text) in manifests {
            let fail = |reason: String| RoleError::Manifest { role: role.clone(), reason };
            let manifest: Manifest =
                serde_saphyr::from_str(&text).map_err(|error| fail(error.without_snippet().to_string()))?;
            if manifest.role != role {
                return Err(fail(format!("it calls itself `{}`", manifest.role)));
            }
            self.manifests.insert(role.clone(), text);
            self.roles.insert(role, manifest);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), RoleError> {
        for (role, manifest) in &self.roles {
            let missing = |what: String| RoleError::Missing { role: role.clone(), what };
            for file in &manifest.files {
                if !self.templates.contains_key(&file.template) {
                    return Err(missing(format!("templates/{}", file.template)));
                }
            }
            for check in &manifest.checks {
                if !self.scripts.contains_key(&check.script) {
                    return Err(missing(format!("roles/{}", check.script)));
                }
            }
            let spoken = manifest.protocols.iter().flat_map(|protocol| &protocol.from);
            for peer in manifest.ports.iter().flat_map(|port| &port.from).chain(spoken) {
                if !["admin", "clients"].contains(&peer.as_str()) && !self.roles.contains_key(peer) {
                    return Err(missing(format!("the role {peer} in `from`")));
                }
            }
        }
        Ok(())
    }
}

fn each_file(dir: &Dir<'_>, sink: &mut impl FnMut(&str, &str)) {
    for file in dir.files() {
        if let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8()) {
            sink(path, text);
        }
    }
    for sub in dir.dirs() {
        each_file(sub, sink);
    }
}

fn read_tree(root: &Path) -> Result<BTreeMap<String, String>, RoleError> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        let fail = |path: &Path, source| RoleError::Read { path: path.display().to_string(), source };
        for entry in std::fs::read_dir(&folder).map_err(|error| fail(&folder, error))? {
            let path = entry.map_err(|error| fail(&folder, error))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
                files.insert(
                    name.to_owned(),
                    std::fs::read_to_string(&path).map_err(|error| fail(&path, error))?,
                );
            }
        }
    }
    Ok(files)
}
