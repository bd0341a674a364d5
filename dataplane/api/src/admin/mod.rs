//! The admin API's types: what `/_orion/v1/…` takes and gives, in JSON. The server, the typed client, the CLI
//! and the operator share them; the OpenAPI document is made from them. Everything that changes state is
//! idempotent and answers with the object. Fields are only ever added; readers ignore what they do not know.

mod database;
mod metrics;
mod topology;

pub use database::{
    ChangeDatabase, CreateDatabase, Database, DatabaseChecksum, DatabaseList, DatabaseState,
    IDEMPOTENCY_KEY_BYTES_MAX, Limits, LimitsChange, ListDatabases,
};
pub use metrics::{BlobMetrics, IdempotencyMetrics, Metrics, PlacementMetrics, RaftMetrics, StorageMetrics};
pub use topology::{
    ChangeFormatLevel, ChangeLeader, ChangeMembers, Group, GroupList, Member, Node, NodeList, RaftState,
    Role, Trouble, TroubleKind,
};

/// Path that all routes begin with.
pub const ROOT: &str = "/_orion/v1";
