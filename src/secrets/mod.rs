//! Secrets at rest and in memory: the age-encrypted store beside the inventory, and who may open it.
//!
//! The store is the only thing the controller remembers: generated passwords and the CA's key. It is one
//! ASCII-armoured age file, safe to commit, sealed to the cluster's recipients or by a passphrase. This module touches
//! the file system (the store, its lock, identity files, a folder in memory for an editor), the system's randomness
//! through `age`, and runs the commands that secrets from outside come from; it reads no process environment. Commands
//! open the store, `apply` asks it for values, nothing else sees them.

mod body;
mod error;
mod form;
mod identity;
mod list_text;
mod memory_folder;
mod named;
mod new_identity;
mod outside;
mod recipient;
mod scram;
mod seal;
mod sealed_file;
mod sealed_text;
mod secret;
mod store;
mod store_lock;

pub use body::{BodyError, CaMaterial};
pub use error::StoreError;
pub use form::{Form, FormError, is_short};
pub use identity::{Identity, IdentityError};
pub use list_text::{read_secrets, write_secrets};
pub use memory_folder::{MemoryFolder, MemoryFolderError};
pub use new_identity::NewIdentity;
pub use outside::{Outside, OutsideError, without_line_ending};
pub use recipient::{Recipient, RecipientError};
pub use scram::{scram_matches, scram_salt, scram_verifier};
pub use seal::Seal;
pub use sealed_text::{SealedTextError, read_sealed, write_sealed};
pub use secret::Secret;
pub use store::{SECRET_LENGTH, SealedTo, Store};
pub use store_lock::StoreLock;
