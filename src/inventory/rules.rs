//! The rules that span fields, and those that a schema cannot say. Each file holds one subject; all problems are
//! gathered before any is reported.

mod access;
mod applications;
mod databases;
mod hba;
mod names;
mod nodes;
mod parameters;
mod placement;
mod redis;
mod secrets;
mod sizes;
mod timing;
mod virtual_ip;

pub use parameters::check_release;
pub use secrets::check_secrets;
pub use sizes::check_memory;

use super::known_roles::KnownRoles;
use super::model::Inventory;
use super::places::{Place, Places, pointer};
use super::problem::Problem;

/// All broken rules of an inventory whose values have the right types.
pub(super) fn check(inventory: &Inventory, places: &Places, roles: &KnownRoles) -> Vec<Problem> {
    let mut found = Findings { places, problems: Vec::new() };
    nodes::check(inventory, &mut found);
    placement::check(inventory, roles, &mut found);
    redis::check(inventory, &mut found);
    virtual_ip::check(inventory, &mut found);
    applications::check(inventory, &mut found);
    timing::check(inventory, &mut found);
    access::check(inventory, &mut found);
    databases::check(inventory, &mut found);
    parameters::check(inventory, &mut found);
    secrets::check(inventory, &mut found);
    sizes::check(inventory, &mut found);
    found.problems
}

/// Problems that show outside of the inventory's text: the path of the value, what is wrong, what to do.
pub fn placed(places: &Places, found_elsewhere: Vec<(Vec<String>, String, String)>) -> Vec<Problem> {
    let mut found = Findings { places, problems: Vec::new() };
    for (path, message, hint) in found_elsewhere {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        found.value(&path, message, hint);
    }
    found.problems
}

/// Gathers problems and finds their places.
struct Findings<'a> {
    places: &'a Places,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    /// A problem with the value at a path.
    fn value(&mut self, path: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        self.push(self.places.value(&pointer(path)), message.into(), hint.into());
    }

    /// A problem with the key at a path.
    fn key(&mut self, path: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        self.push(self.places.key(&pointer(path)), message.into(), hint.into());
    }

    /// A problem that several values share, shown at the first of them that the file holds.
    fn first(&mut self, paths: &[&[&str]], message: impl Into<String>, hint: impl Into<String>) {
        let given = paths.iter().map(|path| pointer(path)).find(|pointer| self.places.has(pointer));
        let shown = given.or_else(|| paths.first().map(|path| pointer(path)));
        self.push(shown.and_then(|pointer| self.places.value(&pointer)), message.into(), hint.into());
    }

    fn push(&mut self, place: Option<Place>, message: String, hint: String) {
        self.problems.push(Problem { place, message, hint: (!hint.is_empty()).then_some(hint) });
    }

    /// The line of a value in the file, for messages that point at a second place.
    fn line(&self, path: &[&str]) -> String {
        self.places.value(&pointer(path)).map_or_else(String::new, |place| format!(" (line {})", place.line))
    }
}
