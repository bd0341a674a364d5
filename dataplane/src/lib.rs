//! Orion's data plane.

pub mod base;
pub mod bench;
pub mod cli;
pub mod owner;
pub mod page;
pub mod sql;
pub mod store;
pub mod vfs;
