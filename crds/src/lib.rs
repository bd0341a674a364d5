//! Orion's kinds of Kubernetes, group `orion-db.dev`: what people write (`spec`) and what the operator answers
//! (`status`). The schema that the API server checks is made from these types: bounds and defaults stand at the
//! fields, rules over several fields (CEL) at their types. No behaviour: who acts on them is the operator.
//!
//! A field is never removed and never changes its type within `v1alpha1`. `config/crd` and `charts/orion/crds` hold
//! the generated YAML (`cargo run -p orion-crds`); a test compares them.
//!
//! There is no scale subresource: it wants one number of replicas, and a group has one for each member set, of which
//! those of the voters must be odd together.

pub mod condition;
pub mod database;
pub mod duration;
pub mod group;
pub mod placement_move;
pub mod quantity;
pub mod reference;
pub mod schema;

pub use condition::Condition;
pub use database::{Database, DatabaseSpec, DatabaseStatus};
pub use duration::Duration;
pub use group::{ReplicationGroup, ReplicationGroupSpec, ReplicationGroupStatus};
pub use placement_move::{PlacementMove, PlacementMoveSpec, PlacementMoveStatus};
pub use quantity::Quantity;

/// API group of the kinds, and prefix of labels and annotations.
pub const API_GROUP: &str = "orion-db.dev";
