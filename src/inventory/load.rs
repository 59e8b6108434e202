//! From a path or a text to a validated inventory. `load` reads files; `parse` is pure.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::document;
use super::known_roles::KnownRoles;
use super::model::Inventory;
use super::places::Places;
use super::problem::{Problem, Problems};
use super::{rules, shape};

/// Largest inventory that is read, in bytes; a thousand nodes take a tenth of it.
pub const MAX_SIZE: u64 = 1024 * 1024;

/// The name of the inventory inside a folder.
pub const FILE_NAME: &str = "cluster.yaml";

/// An inventory and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The inventory, valid by every rule.
    pub inventory: Inventory,
    /// The folder of the file: `secrets.age`, `roles/` and relative paths are found here.
    pub dir: PathBuf,
    /// The file itself.
    pub file: PathBuf,
    /// Its text.
    pub source: String,
    /// Where each of its values stands.
    pub places: Places,
}

/// Why there is no inventory.
#[derive(Debug, Error)]
pub enum InventoryError {
    /// The path does not exist.
    #[error("no inventory at {}", .0.display())]
    Missing(PathBuf),
    /// The file or its folder could not be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path is a device, a pipe or a socket.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The file is beyond [`MAX_SIZE`].
    #[error("{} is larger than 1 MiB, the most that an inventory may take", .0.display())]
    TooLarge(PathBuf),
    /// The file is not UTF-8.
    #[error("{} is not UTF-8 text (line {line})", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line of the first bad byte.
        line: usize,
    },
    /// The text is not a valid inventory.
    #[error("{0}")]
    Invalid(Problems),
}

impl InventoryError {
    /// What to do about it; an invalid text says it at each place.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) => Some(format!(
                "name a file or a folder that holds `{FILE_NAME}`; `deploy init` writes a first one"
            )),
            Self::Unreadable { .. } => Some("let whoever runs this read it".into()),
            Self::NotAFile(_) | Self::TooLarge(_) | Self::NotText { .. } => {
                Some(format!("name an inventory, or a folder that holds `{FILE_NAME}`"))
            }
            Self::Invalid(_) => None,
        }
    }
}

/// Reads and validates the inventory at `path`: a file, or a folder that holds `cluster.yaml`. `roles` are those that it
/// may place.
pub fn load(path: &Path, roles: &KnownRoles) -> Result<Loaded, InventoryError> {
    let file = file(path);
    let source = read(&file)?;
    load_text(path, &file.to_string_lossy(), source, roles)
}

/// Validates a text in the place of the inventory at `path`; `name` is how messages call the text.
pub fn load_text(
    path: &Path,
    name: &str,
    source: String,
    roles: &KnownRoles,
) -> Result<Loaded, InventoryError> {
    let (inventory, places) = parse_with(name, &source, roles).map_err(InventoryError::Invalid)?;
    Ok(Loaded { inventory, dir: folder(path), file: file(path), source, places })
}

/// The folder of the inventory at `path`.
pub fn folder(path: &Path) -> PathBuf {
    match file(path).parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The file of the inventory at `path`.
pub fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE_NAME) } else { path.to_path_buf() }
}

/// Validates the text of an inventory against the built-in roles. `name` is how messages call the text.
pub fn parse(name: &str, text: &str) -> Result<(Inventory, Places), Problems> {
    parse_with(name, text, &KnownRoles::built_in())
}

/// Validates the text of an inventory. All errors of one stage are reported at once: syntax, then shape, then the
/// rules across fields, which need every value to have its type.
pub fn parse_with(name: &str, text: &str, roles: &KnownRoles) -> Result<(Inventory, Places), Problems> {
    let refuse = |list| Problems::new(name, text, list);
    let whole = |message| Problem { place: None, message, hint: None };
    if text.len() as u64 > MAX_SIZE {
        return Err(refuse(vec![whole("larger than 1 MiB, the most that an inventory may take".into())]));
    }
    let (document, places, mut problems) = document::read(text).map_err(|problem| refuse(vec![problem]))?;
    problems.extend(shape::check(&document, &places));
    if !problems.is_empty() {
        return Err(refuse(problems));
    }
    let inventory: Inventory =
        serde_json::from_value(document).map_err(|error| refuse(vec![whole(error.to_string())]))?;
    let problems = rules::check(&inventory, &places, roles);
    if problems.is_empty() { Ok((inventory, places)) } else { Err(refuse(problems)) }
}

fn read(file: &Path) -> Result<String, InventoryError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => InventoryError::Missing(file.into()),
        _ => InventoryError::Unreadable { path: file.into(), source },
    };
    if !fs::metadata(file).map_err(failed)?.is_file() {
        return Err(InventoryError::NotAFile(file.into()));
    }
    let mut bytes = Vec::new();
    fs::File::open(file).and_then(|open| open.take(MAX_SIZE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(InventoryError::TooLarge(file.into()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        InventoryError::NotText { path: file.into(), line: good.split(|byte| *byte == b'\n').count() }
    })
}
