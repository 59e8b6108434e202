//! `deploy`: highly available PostgreSQL on your own machines, from one inventory file.
//!
//! The data flows one way; `ARCHITECTURE.md` draws it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod apply;
pub mod certs;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod exit;
pub mod inventory;
pub mod journal;
pub mod lab;
#[cfg(test)]
mod layers_test;
pub mod live;
pub mod observe;
pub mod pki;
pub mod plan;
pub mod preflight;
pub mod render;
pub mod resource;
pub mod role;
pub mod script;
pub mod secrets;
#[cfg(test)]
mod stand_in;
pub mod status;
mod tasks;
pub mod transport;
pub mod ui;
pub mod verdict;
pub mod verify;
