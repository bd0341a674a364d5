//! Orion's data plane.

pub mod page;
pub mod vfs;
