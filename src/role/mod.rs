//! Roles as data: what a role installs, writes, listens on and checks. Pure.
//!
//! A role is a manifest `roles/<role>.yaml`, its files in `templates/<role>/` and its check scripts in
//! `roles/<role>/`. The built-in ones are part of the program; a folder beside the inventory can add roles or
//! override any of the built-in files ([`Library`]).

#[cfg(test)]
mod built_in;
mod library;
mod manifest;

pub use library::{Library, RoleError};
pub use manifest::{
    Certificate, Check, CheckOn, Directory, File, KindOrAll, Layout, Manifest, Package, Peer, PlacedBy, Port,
    Protocol, Rolling, Stage, Takes, Unit, When,
};
