//! The only interpreter of a plan: takes the lock, runs the phases, and says what happens as [`Event`]s.
//!
//! Each phase that has work begins by observing again what it will touch, unless nothing can have changed since the plan was
//! made ([`Seen`]). What it then finds to do must be part of the
//! approved plan; work that has been done meanwhile is left out, anything new stops the run.

mod brake;
mod error;
mod event;
mod hand_over;
mod holder;
mod lock;
mod meanwhile;
mod order;
mod pipelines;
mod proof;
mod restore;
mod run;
mod seen;
mod step;
mod stopped;

pub use brake::{Brake, Halt};
pub use error::{ApplyError, Restored};
pub use event::{Event, Events};
pub use hand_over::{HandOverError, hand_over};
pub use holder::{Holder, Release, holders};
pub use lock::{Lock, LockError, Owner};
pub use run::Apply;
pub use seen::Seen;
pub use stopped::Stopped;
