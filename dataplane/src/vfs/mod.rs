//! The SQLite VFS.
mod backend;

pub use backend::{Backend, Batch, ReadError, Refusal, View};
