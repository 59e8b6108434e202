//! Secrets from outside the store: one place for each, and only for secrets that something uses.

use super::Findings;
use crate::inventory::model::Inventory;
use crate::inventory::places::Places;
use crate::inventory::problem::Problem;
use crate::inventory::wording::{closest, listed, quoted};

const SHAPES: &str = "write `{ env: NAME }` or `{ command: [PROGRAM, ARGUMENT, …] }`";

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    for (name, source) in &inventory.secrets {
        let path = ["secrets", name.as_str()];
        match (&source.env, &source.command) {
            (None, None) => found.value(&path, format!("{} has no source", quoted(name)), SHAPES),
            (Some(_), Some(_)) => {
                found.key(&path, format!("{} has two sources", quoted(name)), format!("keep one: {SHAPES}"));
            }
            (None, Some(words)) if words.first().is_none_or(|program| program.trim().is_empty()) => {
                found.value(&["secrets", name, "command"], "the command names no program", SHAPES);
            }
            (None, Some(words)) if words.iter().any(|word| word.contains('\0')) => {
                found.value(&["secrets", name, "command"], "a word of the command holds a NUL", "");
            }
            _ => {}
        }
    }
}

/// The problems of sources for secrets that nothing uses; `known` are the names of those that something does.
pub fn check_secrets(inventory: &Inventory, places: &Places, known: &[&str]) -> Vec<Problem> {
    let mut found = Findings { places, problems: Vec::new() };
    for name in inventory.secrets.keys().filter(|name| !known.contains(&name.as_str())) {
        let all = format!("used here: {}", listed(known, "and"));
        let hint = closest(name, known.iter().copied())
            .map_or_else(|| all.clone(), |meant| format!("did you mean `{meant}`? {all}"));
        found.key(&["secrets", name], format!("nothing uses a secret {}", quoted(name)), hint);
    }
    found.problems
}
