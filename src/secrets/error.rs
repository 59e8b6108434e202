//! What can be wrong with the store, in words that lead to the remedy.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::body::BodyError;
use super::recipient::Recipient;

/// Why the store could not be opened or saved.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No store at all.
    #[error("there is no {0}")]
    Missing(PathBuf),
    /// A store where a new one was to be made.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// The file, or its folder, cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The store.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file, its lock or its folder cannot be written.
    #[error("{path} cannot be written; the store is as it was before")]
    Write {
        /// The store or its lock.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// More than a store ever is.
    #[error("{0} is larger than 16 MiB, which nothing sealed by `deploy` is")]
    TooLarge(PathBuf),
    /// Two branches changed it.
    #[error(
        "{0} holds git's merge conflict markers: two branches changed it, and encrypted text cannot be merged"
    )]
    MergeConflict(PathBuf),
    /// Not an age file but readable text.
    #[error("{0} is not encrypted; if there are secrets in it, they are exposed")]
    NotEncrypted(PathBuf),
    /// Cut short, changed, or something else altogether.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What was noticed.
        detail: String,
    },
    /// Keys, but not one of its own.
    #[error("the identity from {origin} ({}) cannot open {path}", list(own))]
    WrongIdentity {
        /// The store.
        path: PathBuf,
        /// Where the identity came from.
        origin: String,
        /// The recipients that the identity belongs to.
        own: BTreeSet<Recipient>,
        /// The recipients that could, as far as that is known.
        known: BTreeSet<Recipient>,
    },
    /// Keys, where a passphrase is asked for.
    #[error("{path} was sealed by a passphrase, and {origin} is a key")]
    NeedsPassphrase {
        /// The store.
        path: PathBuf,
        /// Where the identity came from.
        origin: String,
    },
    /// A passphrase, where a key is asked for.
    #[error("{path} was sealed to recipients, and {origin} is a passphrase")]
    NeedsIdentity {
        /// The store.
        path: PathBuf,
        /// Where the passphrase came from.
        origin: String,
        /// The recipients that could open it, as far as that is known.
        known: BTreeSet<Recipient>,
    },
    /// Not the passphrase.
    #[error("the passphrase from {origin} does not open {path}")]
    WrongPassphrase {
        /// The store.
        path: PathBuf,
        /// Where the passphrase came from.
        origin: String,
    },
    /// A file made to keep a machine busy.
    #[error(
        "{path} asks for 2^{required} steps to try a passphrase, more than is accepted: it was not written by `deploy`"
    )]
    TooMuchWork {
        /// The store.
        path: PathBuf,
        /// The exponent that it asks for.
        required: u8,
    },
    /// It opens, but its text is not one of a store.
    #[error("{path} opens, but the text in it is not a store's")]
    Contents {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        source: BodyError,
    },
    /// It was opened by a key, and says nothing of whom to seal it to.
    #[error("{0} names no recipients, so it could not be sealed again")]
    NoRecipients(PathBuf),
    /// Sealing it anew would lock out whoever asks for it.
    #[error("{path} was left as it is: {origin} could not open it afterwards")]
    LockedOut {
        /// The store.
        path: PathBuf,
        /// Where the identity came from.
        origin: String,
        /// The recipients that the identity belongs to.
        own: BTreeSet<Recipient>,
    },
    /// Nobody could open it, or anybody.
    #[error("the store needs at least one recipient, or a passphrase of 12 characters or more")]
    WeakSeal,
    /// age could not encrypt.
    #[error("the store could not be sealed: {0}")]
    Sealing(String),
    /// The store of something else.
    #[error("{path} belongs to the cluster `{found}`, and the inventory names `{wanted}`")]
    OtherCluster {
        /// The store.
        path: PathBuf,
        /// The cluster it was made for.
        found: String,
        /// The cluster of the inventory.
        wanted: String,
    },
    /// Another process is writing it.
    #[error("{path} is being written by {holder}")]
    Locked {
        /// The store.
        path: PathBuf,
        /// The process that holds the lock.
        holder: String,
    },
    /// Someone else wrote it meanwhile.
    #[error("{0} changed since it was read, and was left as it is: nothing of either side is lost")]
    Changed(PathBuf),
}

impl StoreError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(_) => {
                "`deploy init` makes one, or copy the cluster's own beside the inventory".into()
            }
            Self::Exists(_) => "it is opened, never made anew; move it away first".into(),
            Self::Read { .. } | Self::Write { .. } => "let whoever runs this read and write it and its folder".into(),
            Self::MergeConflict(_) => {
                "take one side whole (`git checkout --ours` or `--theirs` on the file), then set again what the other \
                 side changed (`deploy secrets set`)"
                    .into()
            }
            Self::NotEncrypted(_) => "restore the file from version control, and replace those secrets".into(),
            Self::TooLarge(_) | Self::Damaged { .. } | Self::TooMuchWork { .. } => {
                "restore it from version control".into()
            }
            Self::WrongIdentity { known, .. } => openers(known),
            Self::NeedsPassphrase { .. } => {
                "set DEPLOY_PASSPHRASE, and unset DEPLOY_IDENTITY and DEPLOY_IDENTITY_FILE".into()
            }
            Self::NeedsIdentity { known, .. } => {
                format!("give an identity with --identity FILE or DEPLOY_IDENTITY; {}", openers(known))
            }
            Self::WrongPassphrase { .. } => "give the one that it was sealed by".into(),
            Self::Contents { source: BodyError::Version(_), .. } => "update `deploy`".into(),
            Self::Contents { .. } => "restore it from version control, or mend its text with `age`".into(),
            Self::NoRecipients(_) => "add a `recipients:` list to its text with `age`".into(),
            Self::LockedOut { own, .. } => instead(own),
            Self::WeakSeal => "name one in `trust.recipients`, or set DEPLOY_PASSPHRASE".into(),
            Self::Sealing(_) => "look at the recipients: `deploy secrets recipients` lists them".into(),
            Self::OtherCluster { .. } => "put the right store beside the inventory, or correct its `name`".into(),
            Self::Locked { .. } => "wait for it to end, and run this again".into(),
            Self::Changed(_) => "run this again".into(),
        }
    }
}

fn list(recipients: &BTreeSet<Recipient>) -> String {
    recipients.iter().map(Recipient::as_str).collect::<Vec<_>>().join(", ")
}

/// Who could open a store, as an error says it.
pub(super) fn openers(known: &BTreeSet<Recipient>) -> String {
    if known.is_empty() {
        return "give the identity that it was sealed to: neither the store nor the inventory names it"
            .into();
    }
    format!(
        "these recipients can: {}; ask one of them to add yours to the inventory and to run `deploy secrets rekey`",
        list(known)
    )
}

fn instead(own: &BTreeSet<Recipient>) -> String {
    if own.is_empty() {
        return "give the identity of one of the inventory's recipients with --identity FILE beside the passphrase"
            .into();
    }
    format!("add {} to `trust.recipients`, or let one of those that are named there do it", list(own))
}
