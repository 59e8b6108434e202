//! A name that a certificate vouches for: a host name or an IP address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::PkiError;

/// A subject alternative name. Written as it is read: `db1.example.com`, `*.example.com`, `10.0.0.1`, `fd00::1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum San {
    /// A host name in lower case; made by [`San::from_str`], which checks it.
    Dns(String),
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
}

impl FromStr for San {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let name = text.to_ascii_lowercase();
        let labels = name.strip_prefix("*.").unwrap_or(&name);
        if name.len() <= 253 && labels.split('.').all(is_label) && !labels.split('.').all(is_number) {
            return Ok(Self::Dns(name));
        }
        Err(PkiError::BadName(text.chars().take(80).collect()))
    }
}

/// Underscores are no part of a host name by RFC 1123, but node names have them, and TLS libraries take them.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A name of nothing but numbers is an address that was mistyped.
fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
}

impl From<IpAddr> for San {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl TryFrom<String> for San {
    type Error = PkiError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<San> for String {
    fn from(name: San) -> Self {
        name.to_string()
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart_and_written_as_read() {
        assert_eq!("10.0.0.1".parse(), Ok(San::Ip([10, 0, 0, 1].into())));
        assert!(matches!("fd00::1".parse(), Ok(San::Ip(IpAddr::V6(_)))));
        assert_eq!("DB_1.Example.com".parse(), Ok(San::Dns("db_1.example.com".into())));
        for text in ["10.0.0.1", "fd00::1", "localhost", "*.example.com", "1.pool.ntp.org"] {
            assert_eq!(text.parse::<San>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_no_client_could_ask_for_is_refused() {
        let long = "a".repeat(64);
        for text in [
            "",
            ".",
            "a..b",
            "a.",
            "-a",
            "a b",
            "$(id)",
            "a\nb",
            "ü.example",
            "10.0.0.300",
            "*",
            "a.*.b",
            &long,
        ] {
            assert!(text.parse::<San>().is_err(), "{text}");
        }
    }
}
