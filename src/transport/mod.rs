//! The way to a node: SSH sessions, one per host and reused by the whole run, and the quoting of what a shell reads.
//!
//! Everything above this module speaks to a [`Host`]; [`Ssh`] is the real one, [`Recorder`] answers from memory.

mod fleet;
mod host;
mod login;
mod plain;
mod quote;
mod recorder;
mod shared;
mod ssh;
mod trace;
mod turns;

pub use fleet::Fleet;
pub use host::{Exec, Failure, Host, Lines, Reply};
pub use login::{Login, resolve};
pub use plain::plain;
pub use quote::quote;
pub use recorder::Recorder;
pub use ssh::Ssh;
pub use trace::Trace;
