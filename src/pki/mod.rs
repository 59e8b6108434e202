//! The cluster's certificate authority: making it, issuing leaves, and reading what stands on a node.
//!
//! Keys are ECDSA P-256. The clock and the serial's randomness are passed in; the keys' randomness is the system's, which
//! the library beneath takes by itself. No file and no network: certificates come and go as PEM texts, from the store,
//! from a node's probe, or from a handshake. [`inspect`] is pure and decides what a plan will do.

mod authority;
mod certificate;
mod error;
mod flaw;
mod inspect;
mod leaf;
mod own;
mod san;
mod trust;
mod usage;

pub use authority::Authority;
pub use certificate::Certificate;
pub use error::PkiError;
pub use flaw::Flaw;
pub use inspect::inspect;
pub use leaf::{Leaf, LeafRequest};
pub use own::{OwnCertificate, Unfit};
pub use san::San;
pub use trust::{Handover, Trust, bundle};
pub use usage::Usage;

#[cfg(test)]
mod openssl_test;
