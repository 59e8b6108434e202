//! All secrets of a store as the text that `deploy secrets edit` opens: a line for each, `name: value`. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use zeroize::Zeroizing;

use super::body::{BodyError, quoted, shape};
use super::secret::Secret;

/// The secrets as text, below `heading`, whose lines become comments.
pub fn write_secrets(secrets: &BTreeMap<String, Secret>, heading: &str) -> Zeroizing<String> {
    let size: usize = secrets.iter().map(|(name, value)| name.len() + value.expose().len()).sum();
    // Room for all of it: a text that grows leaves copies behind that are not wiped.
    let mut out = Zeroizing::new(String::with_capacity(1024 + 2 * heading.len() + 10 * size));
    for line in heading.lines() {
        let _ = writeln!(out, "# {line}");
    }
    for (name, secret) in secrets {
        let _ = writeln!(out, "{}: {}", quoted(name).as_str(), quoted(secret.expose()).as_str());
    }
    out
}

/// Reads such a text; none where it holds nothing but comments.
pub fn read_secrets(text: &str) -> Result<Option<BTreeMap<String, Secret>>, BodyError> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(None);
    }
    let secrets: BTreeMap<String, Secret> = serde_saphyr::from_str(text).map_err(|error| shape(&error))?;
    match secrets.iter().find(|(_, secret)| secret.is_empty()) {
        Some((name, _)) => Err(BodyError::Empty(name.clone())),
        None => Ok(Some(secrets)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_person_writes_is_read_and_what_is_wrong_has_its_place() {
        let read = |text: &str| read_secrets(text).unwrap().unwrap();
        assert_eq!(read("a/b: plain # a comment\nc: 'it''s'\n")["a/b"].expose(), "plain");
        assert_eq!(read("pem: |\n  one\n  two\n")["pem"].expose(), "one\ntwo\n");
        assert_eq!(read_secrets("# only\n\n  # comments\n"), Ok(None));
        assert_eq!(read_secrets("a: ''\n"), Err(BodyError::Empty("a".into())));
        for (wrong, line) in [("a: x\na: y\n", 2), ("a: x\nb: [y]\n", 2), ("a: x\nhunter2\n", 2)] {
            let error = read_secrets(wrong).unwrap_err();
            assert!(matches!(&error, BodyError::Shape { line: at, .. } if *at == line), "{wrong}: {error:?}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    proptest! {
        #[test]
        fn any_name_and_value_survive(name in ".{0,20}", value in "(?s).{1,40}") {
            let secrets = BTreeMap::from([(name, Secret::new(value))]);
            prop_assert_eq!(read_secrets(&write_secrets(&secrets, "two\nlines")), Ok(Some(secrets)));
        }
    }
}
