//! The next step behind an error.

use std::error::Error;

use crate::inventory::InventoryError;
use crate::plan::{PlanError, SelectionError};
use crate::render::RenderError;
use crate::role::RoleError;
use crate::secrets::{IdentityError, StoreError};

/// An error with a next step, printed behind `hint:`.
#[derive(Debug)]
pub struct Hint(pub String);

impl std::fmt::Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error with its causes in one text, and what to do about it: what was said where it arose, else what its kind says.
pub fn words(error: &anyhow::Error) -> (String, Option<String>) {
    let said = error.downcast_ref::<Hint>().map(|Hint(next)| next.clone());
    let mut text = String::new();
    for line in error.chain().map(ToString::to_string).filter(|line| said.as_ref() != Some(line)) {
        if !text.contains(&line) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&line);
        }
    }
    (text, said.or_else(|| of_kind(error)))
}

fn of_kind(error: &anyhow::Error) -> Option<String> {
    fn of<E: Error + Send + Sync + 'static, H: Into<String>>(
        error: &anyhow::Error,
        hint: impl Fn(&E) -> H,
    ) -> Option<String> {
        error.downcast_ref::<E>().map(|error| hint(error).into())
    }
    of(error, StoreError::hint)
        .or_else(|| of(error, IdentityError::hint))
        .or_else(|| of(error, SelectionError::hint))
        .or_else(|| of(error, PlanError::hint))
        .or_else(|| of(error, RenderError::hint))
        .or_else(|| of(error, RoleError::hint))
        .or_else(|| error.downcast_ref::<InventoryError>().and_then(InventoryError::hint))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn what_was_said_comes_before_what_the_kind_says() {
        let error = || StoreError::Changed("x".into());
        let kind = anyhow::Error::new(error());
        assert_eq!(words(&kind).1.as_deref(), Some("run this again"));
        let said = Err::<(), _>(error()).context("cannot save").context(Hint("look".into()));
        let (text, hint) = words(&said.unwrap_err());
        assert!(text.starts_with("cannot save: x changed"), "{text}");
        assert_eq!(hint.as_deref(), Some("look"));
        assert_eq!(words(&anyhow!("bare")), ("bare".into(), None));
    }
}
