//! Orion's data plane.

pub(crate) mod archive;
pub mod auth;
pub mod base;
pub mod bench;
pub(crate) mod causes;
pub mod cli;
pub(crate) mod clock;
pub mod config;
pub mod database;
pub(crate) mod durable;
pub mod entry;
#[cfg(feature = "failpoints")]
pub(crate) mod failpoints;
pub(crate) mod group;
pub mod hrana;
pub mod http;
#[cfg(test)]
mod layers;
pub mod log;
pub(crate) mod materialize;
pub(crate) mod metrics;
pub mod node;
pub(crate) mod overlay;
pub mod owner;
pub mod page;
pub(crate) mod peer;
#[cfg(test)]
#[path = "../tests/support/port.rs"]
mod port;
pub(crate) mod raft;
pub mod room;
pub mod secret;
#[cfg(test)]
mod seed;
pub mod server;
pub mod sql;
pub mod store;
pub mod vfs;
pub mod views;
