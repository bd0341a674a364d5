//! What Orion's data plane says over the wire: ids, Hrana's JSON types, the admin API's types, error
//! codes, and a typed client. No server logic; the operator, the CLI and tests use it too.

pub mod admin;
pub mod client;
pub mod error;
pub mod exit;
pub mod hrana;
mod id;
mod number;
mod value;

pub use error::{Code, Kind};
pub use id::{
    DatabaseId, DatabaseName, Epoch, GroupName, InvalidName, InvalidNodeId, LogIndex, NodeId, Version,
};
pub use value::Value;
