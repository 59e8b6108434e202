//! What the store holds once it is open: a small YAML text that a person can read and edit. Pure.
//!
//! Reading never repeats what stands in the text, because an error is shown and a secret is not. Writing is exact: the
//! same content, the same bytes. Comments are not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use super::recipient::{Recipient, RecipientError};
use super::secret::Secret;

/// The one version of the text that this program writes and reads.
const VERSION: u32 = 1;

/// The cluster's certificate authority as it is kept: both parts in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaMaterial {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PKCS #8 in PEM.
    pub key: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub cluster: String,
    pub recipients: BTreeSet<Recipient>,
    pub ca: Option<CaMaterial>,
    pub next_ca: Option<CaMaterial>,
    pub mark: Option<String>,
    pub secrets: BTreeMap<String, Secret>,
}

/// Why a decrypted text is not the content of a store.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// Not YAML, or not of the right shape.
    #[error(
        "line {line}, column {column} is not what is expected there: a field that is unknown, missing or given twice, a value of another type, or a wrong indentation"
    )]
    Shape {
        /// Counted from one; 0 where it is not known.
        line: u64,
        /// Counted from one; 0 where it is not known.
        column: u64,
    },
    /// Written by a later version of this program.
    #[error("it is of version {0}, and this program reads version {VERSION}")]
    Version(u32),
    /// A secret without a value.
    #[error("the secret `{0}` is empty; give it a value, or delete its line and let the next apply make one")]
    Empty(String),
    /// A recipient that is none.
    #[error("one of its recipients cannot be used")]
    Recipient(#[from] RecipientError),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "version")]
    _version: u32,
    cluster: String,
    #[serde(default)]
    recipients: Vec<String>,
    ca: Option<CaMaterial>,
    next_ca: Option<CaMaterial>,
    mark: Option<String>,
    #[serde(default)]
    secrets: BTreeMap<String, Secret>,
}

impl Body {
    pub fn parse(text: &str) -> Result<Self, BodyError> {
        // The version first, alone: a later one may have fields that this program does not know.
        let Versioned { version } = serde_saphyr::from_str(text).map_err(|error| shape(&error))?;
        if version != VERSION {
            return Err(BodyError::Version(version));
        }
        let written: Written = serde_saphyr::from_str(text).map_err(|error| shape(&error))?;
        if let Some((name, _)) = written.secrets.iter().find(|(_, secret)| secret.is_empty()) {
            return Err(BodyError::Empty(name.clone()));
        }
        let recipients = written.recipients.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        Ok(Self {
            cluster: written.cluster,
            recipients,
            ca: written.ca,
            next_ca: written.next_ca,
            mark: written.mark,
            secrets: written.secrets,
        })
    }

    pub fn write(&self) -> Zeroizing<String> {
        let size: usize = self.secrets.iter().map(|(name, value)| name.len() + value.expose().len()).sum();
        // Room for all of it: a text that grows leaves copies behind that are not wiped.
        let mut out =
            Zeroizing::new(String::with_capacity(16 * 1024 + 8 * size + 128 * self.recipients.len()));
        let _ = writeln!(out, "version: {VERSION}\ncluster: {}", quoted(&self.cluster).as_str());
        if !self.recipients.is_empty() {
            out.push_str("recipients:\n");
        }
        for recipient in &self.recipients {
            let _ = writeln!(out, "  - {recipient}");
        }
        if let Some(mark) = &self.mark {
            let _ = writeln!(out, "mark: {}", quoted(mark).as_str());
        }
        for (field, ca) in [("ca", &self.ca), ("next_ca", &self.next_ca)] {
            let Some(ca) = ca else { continue };
            let _ = writeln!(out, "{field}:\n  certificate: {}", block(&ca.certificate).as_str());
            let _ = writeln!(out, "  key: {}", block(ca.key.expose()).as_str());
        }
        out.push_str(if self.secrets.is_empty() { "secrets: {}\n" } else { "secrets:\n" });
        for (name, secret) in &self.secrets {
            let _ = writeln!(out, "  {}: {}", quoted(name).as_str(), quoted(secret.expose()).as_str());
        }
        out
    }
}

pub(super) fn shape(error: &serde_saphyr::Error) -> BodyError {
    let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
    BodyError::Shape { line, column }
}

/// A PEM text as a block, which is how a person would paste one; anything unusual as a quoted line.
fn block(text: &str) -> Zeroizing<String> {
    let plain = |line: &str| !line.starts_with(' ') && line.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !text.starts_with("-----BEGIN")
        || !text.ends_with("-----\n")
        || !text.lines().all(plain)
        || text.contains('\r')
    {
        return quoted(text);
    }
    let mut out = Zeroizing::new(String::with_capacity(2 * text.len() + 16));
    out.push('|');
    for line in text.lines() {
        out.push_str("\n    ");
        out.push_str(line);
    }
    out
}

/// A YAML double-quoted scalar on one line, whatever the text holds.
pub(super) fn quoted(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(10 * text.len() + 2));
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            ' '..='~' => out.push(character),
            _ if character.is_alphabetic() => out.push(character),
            _ => {
                let _ = write!(out, "\\U{:08X}", u32::from(character));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secrets::NewIdentity;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----\n";

    fn body() -> Body {
        Body {
            cluster: "lab".into(),
            recipients: [NewIdentity::generate().recipient().clone()].into(),
            ca: Some(CaMaterial { certificate: PEM.into(), key: Secret::new(PEM) }),
            next_ca: Some(CaMaterial { certificate: PEM.into(), key: Secret::new("other") }),
            mark: Some("0123456789ab".into()),
            secrets: [("postgres".to_owned(), Secret::new("x'y\"z\\ ${a} {{b}}"))].into(),
        }
    }

    #[test]
    fn what_is_written_reads_back_and_is_pleasant_to_edit() {
        let body = body();
        let text = body.write();
        assert_eq!(Body::parse(&text).unwrap(), body);
        assert!(text.contains("  key: |\n    -----BEGIN PRIVATE KEY-----\n    MIGHAgEA\n"));
        let bare = Body {
            recipients: BTreeSet::new(),
            ca: None,
            next_ca: None,
            mark: None,
            secrets: BTreeMap::new(),
            ..body
        };
        assert_eq!(Body::parse(&bare.write()).unwrap(), bare);
    }

    #[test]
    fn a_value_that_looks_like_a_number_is_still_a_text() {
        let text = "version: 1\ncluster: lab\nsecrets:\n  pin: 0123\n  flag: true\n";
        let body = Body::parse(text).unwrap();
        assert_eq!(body.secrets["pin"].expose(), "0123");
        assert_eq!(body.secrets["flag"].expose(), "true");
    }

    #[test]
    fn errors_say_where_and_never_what() {
        let hidden = |text: &str| {
            let message = Body::parse(text).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
            message
        };
        assert!(hidden("version: 1\ncluster: lab\nsecrets: hunter2\n").contains("line 3"));
        assert!(hidden("version: 1\ncluster: lab\nhunter2: x\n").contains("line 3"));
        assert!(
            hidden("version: 1\ncluster: lab\nsecrets:\n  a: hunter2\n  a: hunter2\n").contains("line 5")
        );
        hidden("version: hunter2\n");
        hidden("hunter2");
        hidden("");
        assert_eq!(Body::parse("version: 7\nnew: x\n"), Err(BodyError::Version(7)));
        let empty = "version: 1\ncluster: lab\nsecrets: {a: ''}\n";
        assert_eq!(Body::parse(empty), Err(BodyError::Empty("a".into())));
    }

    proptest! {
        #[test]
        fn any_name_and_value_survive(name in ".{0,20}", value in "(?s).{1,40}") {
            let mut body = body();
            body.secrets.insert(name, Secret::new(value.clone()));
            body.ca = Some(CaMaterial { certificate: value.clone(), key: Secret::new(value) });
            prop_assert_eq!(Body::parse(&body.write()).unwrap(), body);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,200}") {
            let _ = Body::parse(&text);
        }
    }
}
