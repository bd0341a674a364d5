//! The operator: makes of ReplicationGroups and Databases the StatefulSets, Services and Secrets that they stand for, and
//! keeps Raft's membership as the specs say.
//!
//! For each object, again and again, from nothing but what is there: *observe* (`effects`), *plan* (`plan`, pure), *apply*
//! and *write status* (`effects`). `render` has the objects as they are to be, `names` what they are called. DESIGN.md
//! follows a group through it.

pub mod api;
pub mod cache;
pub mod controller;
pub mod effects;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod plan;
pub mod probes;
pub mod program;
pub mod render;
pub mod schema;
