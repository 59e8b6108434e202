//! Secrets and recipients as tables; never a value.

use serde::Serialize;

use super::table::{Cell, Tone, table};

/// One secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretRow {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// How long it is, where the store holds it.
    pub characters: Option<usize>,
    /// What needs it.
    pub used_by: Vec<String>,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum Origin {
    /// The store.
    Store,
    /// An environment variable.
    Env {
        /// Its name.
        variable: String,
        /// Whether it is set here and now.
        set: bool,
    },
    /// What a command prints.
    Command {
        /// The program.
        program: String,
    },
    /// Nowhere yet: the next apply makes it.
    Missing,
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecipientRow {
    /// The public key.
    pub recipient: String,
    /// Can open the store.
    pub store: bool,
    /// Should, by the inventory.
    pub inventory: bool,
    /// Belongs to the identity at hand.
    pub yours: bool,
}

/// Secrets as text.
pub fn secrets(rows: &[SecretRow]) -> String {
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            let from = match &row.origin {
                Origin::Store => "store".into(),
                Origin::Env { variable, set: true } => format!("env {variable}").into(),
                Origin::Env { variable, set: false } => Cell(format!("env {variable}, not set"), Tone::Bad),
                Origin::Command { program } => format!("command {program}").into(),
                Origin::Missing => Cell("not made yet".into(), Tone::Warn),
            };
            let length = row.characters.map_or_else(String::new, |count| count.to_string());
            let used = match row.used_by.as_slice() {
                [] => Cell("nothing uses it".into(), Tone::Warn),
                places => places.join(", ").into(),
            };
            vec![row.name.clone().into(), from, length.into(), used]
        })
        .collect();
    table(&["NAME", "FROM", "LENGTH", "USED BY"], &cells)
}

/// Recipients as text.
pub fn recipients(rows: &[RecipientRow]) -> String {
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            let word = |holds: bool| if holds { "yes" } else { "no" };
            let agreed = row.store == row.inventory;
            let tone = if agreed { Tone::Plain } else { Tone::Warn };
            vec![
                row.recipient.clone().into(),
                Cell(word(row.store).into(), tone),
                Cell(word(row.inventory).into(), tone),
                if row.yours { "yours".into() } else { "".into() },
            ]
        })
        .collect();
    table(&["RECIPIENT", "STORE", "INVENTORY", ""], &cells)
}
