//! Roles as data: what a role installs, writes, listens on and checks. Pure.
//!
//! A role is a manifest `roles/<role>.yaml`, its files in `templates/<role>/` and its check scripts in
//! `roles/<role>/`. The built-in ones are part of the program; a folder beside the inventory can add roles or
//! override any of the built-in files ([`Library`]).

#[cfg(test)]
mod built_in_test;
mod certificate;
mod library;
mod manifest;
mod words;

pub use certificate::{Certificate, Layout, Served, ServedPort, Those};
pub use library::{Library, RoleError};
pub use manifest::{
    Check, CheckOn, Directory, File, KindOrAll, Manifest, Package, Peer, PlacedBy, Port, Protocol, Rolling,
    Stage, Unit,
};
pub use words::{Takes, When};
