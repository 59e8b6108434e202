//! Secrets at rest and in memory: the age-encrypted store beside the inventory, and who may open it.
//!
//! The store is the only thing the controller remembers: generated passwords and the CA's key. It is one
//! ASCII-armoured age file, safe to commit, sealed to the cluster's recipients or by a passphrase. This module touches
//! the file system (the store, its lock, identity files) and the system's randomness through `age`; it reads no clock
//! and no process environment. Commands open the store, `apply` asks it for values, nothing else sees them.

mod body;
mod error;
mod form;
mod identity;
mod list_text;
mod named;
mod new_identity;
mod recipient;
mod scram;
mod seal;
mod sealed_file;
mod secret;
mod store;
mod store_lock;

pub use body::{BodyError, CaMaterial};
pub use error::StoreError;
pub use form::{Form, FormError, is_short};
pub use identity::{Identity, IdentityError};
pub use list_text::{read_secrets, write_secrets};
pub use new_identity::NewIdentity;
pub use recipient::{Recipient, RecipientError};
pub use scram::{scram_matches, scram_verifier};
pub use seal::Seal;
pub use secret::Secret;
pub use store::{SECRET_LENGTH, SealedTo, Store};
pub use store_lock::StoreLock;
