//! What the value of a secret may hold, by where it goes. Pure; errors never repeat the value.

use thiserror::Error;

use super::secret::Secret;

/// Fewer characters than this are worth a word of caution; a generated secret has [`super::SECRET_LENGTH`].
const SHORT: usize = 16;

/// Where a secret goes, from the least to the most demanding place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Into files of the user's own roles: any text.
    Text,
    /// A password of PostgreSQL: printable ASCII on one line. Of other characters, clients make different passwords
    /// (RFC 4013).
    Password,
    /// Between quotes in the files of built-in roles: as a password, without what ends or changes a quoted word there.
    Quoted,
    /// In the files that Redis and Sentinel keep, which lose quotes: as between quotes, and without a blank.
    Word,
}

/// Why a value cannot be that of a secret.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FormError {
    /// Nothing, or only blanks.
    #[error("it is empty")]
    Empty,
    /// No configuration file takes it.
    #[error("it holds a NUL")]
    Nul,
    /// More than one line.
    #[error("it has more than one line, and where it is used it must be one")]
    Lines,
    /// Beyond printable ASCII.
    #[error("it holds characters other than printable ASCII, which clients do not agree about")]
    Characters,
    /// Something that ends or changes a quoted word.
    #[error("it holds one of \" ' ` \\ $, which would break the configuration file that it is written to")]
    Quotes,
    /// Something that parts words.
    #[error("it holds a blank, which Sentinel's configuration file takes for the end of it")]
    Blank,
}

impl Form {
    /// Whether a value can go there.
    pub fn check(self, value: &Secret) -> Result<(), FormError> {
        let text = value.expose();
        if text.trim().is_empty() {
            return Err(FormError::Empty);
        }
        if text.contains('\0') {
            return Err(FormError::Nul);
        }
        if self >= Self::Password && text.contains(['\n', '\r']) {
            return Err(FormError::Lines);
        }
        if self >= Self::Password && !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(FormError::Characters);
        }
        if self >= Self::Quoted && text.contains(['"', '\'', '`', '\\', '$']) {
            return Err(FormError::Quotes);
        }
        if self == Self::Word && text.contains(' ') {
            return Err(FormError::Blank);
        }
        Ok(())
    }
}

/// Whether a value is so short that it could be guessed.
pub fn is_short(value: &Secret) -> bool {
    value.expose().chars().count() < SHORT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_takes_less_than_the_one_before() {
        let verdicts = |text: &str| {
            [Form::Text, Form::Password, Form::Quoted].map(|form| form.check(&Secret::new(text)).err())
        };
        assert_eq!(verdicts("correct horse-battery:!@#%^&*()[]{}<>|~"), [None; 3]);
        assert_eq!(verdicts("pa$$'word"), [None, None, Some(FormError::Quotes)]);
        assert_eq!(verdicts("pässword"), [None, Some(FormError::Characters), Some(FormError::Characters)]);
        assert_eq!(verdicts("a\nb"), [None, Some(FormError::Lines), Some(FormError::Lines)]);
        assert_eq!(verdicts(" \n"), [Some(FormError::Empty); 3]);
        assert_eq!(verdicts("a\0b"), [Some(FormError::Nul); 3]);
        assert!(is_short(&Secret::new("hunter2")) && !is_short(&Secret::new("correct horse battery")));
    }
}
