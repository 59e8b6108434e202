//! Why a certificate on a node has to be made anew.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One reason, in the words of a plan: a sentence that begins with "the certificate".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "flaw")]
pub enum Flaw {
    /// There is none.
    Missing,
    /// There is a certificate, and no key that could be read.
    KeyMissing,
    /// It cannot be parsed.
    Unreadable {
        /// What was noticed.
        detail: String,
    },
    /// None of our CAs signed it.
    NotOurs {
        /// The issuer that it names.
        issuer: String,
    },
    /// The key beside it is of another pair.
    KeyMismatch,
    /// It is of someone else.
    SubjectDiffers {
        /// The common name that is wanted.
        wanted: String,
        /// The one that it has.
        found: String,
    },
    /// It vouches for other names.
    NamesDiffer {
        /// Wanted, and not in it.
        missing: Vec<String>,
        /// In it, and not wanted.
        extra: Vec<String>,
    },
    /// It is for other uses.
    UsagesDiffer {
        /// The usages that are wanted.
        wanted: Vec<String>,
        /// Those that it has.
        found: Vec<String>,
    },
    /// It is over.
    Expired {
        /// The day of its end.
        on: String,
    },
    /// Its time has not come.
    NotYetValid {
        /// The day of its beginning.
        from: String,
    },
    /// It ends soon.
    RenewalDue {
        /// Whole days until then.
        days_left: i64,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::KeyMissing => f.write_str("has no key beside it"),
            Self::Unreadable { detail } => write!(f, "is unreadable ({detail})"),
            Self::NotOurs { issuer } => write!(f, "was not issued by this cluster's CA, but by `{issuer}`"),
            Self::KeyMismatch => f.write_str("does not belong to the key beside it"),
            Self::SubjectDiffers { wanted, found } => write!(f, "is of `{found}` instead of `{wanted}`"),
            Self::NamesDiffer { missing, extra } => {
                let part = |word: &str, names: &[String]| match names {
                    [] => None,
                    names => Some(format!("{word} {}", names.join(", "))),
                };
                let parts = [part("lacks", missing), part("has no reason to name", extra)];
                f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(" and "))
            }
            Self::UsagesDiffer { wanted, found } => {
                let list = |usages: &[String]| match usages {
                    [] => "nothing".to_owned(),
                    usages => usages.join(" and "),
                };
                write!(f, "is for {} instead of {}", list(found), list(wanted))
            }
            Self::Expired { on } => write!(f, "expired on {on}"),
            Self::NotYetValid { from } => write!(f, "is not valid before {from}"),
            Self::RenewalDue { days_left: 0 } => f.write_str("expires within a day"),
            Self::RenewalDue { days_left: 1 } => f.write_str("expires in 1 day"),
            Self::RenewalDue { days_left } => write!(f, "expires in {days_left} days"),
        }
    }
}
