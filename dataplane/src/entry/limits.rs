//! Limits that belong to one database and travel with it.

/// What one database may use. 0 means "the node's default".
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Limits {
    /// Bytes of the database file.
    #[prost(uint64, tag = "1")]
    pub database_bytes: u64,
    /// Bytes of pages that one transaction may change.
    #[prost(uint64, tag = "2")]
    pub transaction_bytes: u64,
    /// Milliseconds that one statement may run.
    #[prost(uint64, tag = "3")]
    pub statement_ms: u64,
    /// Bytes of rows that one request may return.
    #[prost(uint64, tag = "4")]
    pub result_bytes: u64,
    /// Streams that may be open at once.
    #[prost(uint32, tag = "5")]
    pub streams: u32,
}
