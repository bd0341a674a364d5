//! How databases are run on this node. All defaults stand here, with their reasons.

use crate::entry::Limits;
use crate::sql;
use crate::vfs::{Quota, TempSpace};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Settings of all databases of the node; a database's own [`Limits`] win where they say something.
#[derive(Clone, Debug)]
pub struct Options {
    /// Entries of one database in the air at once. One is being made durable while the next is merged.
    pub flights_max: usize,
    /// Bytes of an entry. A larger one goes in parts, so that it does not hold up heartbeats.
    pub entry_bytes: u64,
    /// Requests merged into one entry, at most.
    pub merge_requests: usize,
    /// Time after which what is merged is proposed, though more requests wait.
    pub merge_time: Duration,
    /// Requests that wait for one database, at most.
    pub waiting_max: usize,
    /// Threads that reads of one database may use at once.
    pub read_threads_max: usize,
    /// How long a write waits for its outcome before its client is told that it is not known.
    pub commit_deadline: Duration,
    /// How long an open transaction may wait for its next request.
    pub transaction_idle: Duration,
    /// How long a transaction may be open.
    pub transaction_total: Duration,
    /// Bytes of a database's file.
    pub database_bytes: u64,
    /// Bytes of a database's overlay at which writes wait.
    pub overlay_bytes: u64,
    /// Bytes of all databases' overlays at which writes wait.
    pub overlay_node_bytes: u64,
    /// How long a write waits for the overlay to shrink.
    pub overlay_wait: Duration,
    /// Streams of one database.
    pub streams_max: usize,
    /// Idle reader connections kept per database.
    pub idle_readers_max: usize,
    /// Reader connections of the node, beyond which none is kept after its use.
    pub readers_node_max: usize,
    /// How long the reply of a request with an idempotency key is kept.
    pub keys_kept_for: Duration,
    /// Idempotency keys of one database that are kept at once.
    pub keys_max: u64,
    /// Limits of each connection.
    pub sql: sql::Limits,
    /// Where temporary files go.
    pub temp_dir: PathBuf,
    /// Bytes of temporary files of the node.
    pub temp_quota: Arc<Quota>,
}

impl Options {
    /// The defaults, with temporary files in `temp_dir`.
    pub fn new(temp_dir: PathBuf) -> Options {
        const MIB: u64 = 1 << 20;
        Options {
            flights_max: 2,
            entry_bytes: MIB,
            merge_requests: 256,
            merge_time: Duration::from_millis(1),
            waiting_max: 10_000,
            read_threads_max: 8,
            commit_deadline: Duration::from_secs(5),
            transaction_idle: Duration::from_secs(5),
            transaction_total: Duration::from_secs(60),
            database_bytes: 10 << 30,
            overlay_bytes: 64 * MIB,
            overlay_node_bytes: 256 * MIB,
            overlay_wait: Duration::from_secs(2),
            streams_max: 1024,
            idle_readers_max: 8,
            // About 50 KiB each.
            readers_node_max: 1000,
            keys_kept_for: Duration::from_secs(24 * 3600),
            keys_max: 100_000,
            sql: sql::Limits::default(),
            temp_dir,
            temp_quota: Quota::new(4096 * MIB, None),
        }
    }

    /// Options of a connection to a database with `limits`.
    pub(super) fn connection(&self, role: sql::Role, limits: &Limits) -> sql::Options {
        let sql = self.sql_limits(limits);
        let quota = Quota::new(sql.temp_bytes, Some(Arc::clone(&self.temp_quota)));
        sql::Options {
            role,
            limits: sql,
            temp: TempSpace {
                directory: self.temp_dir.clone(),
                quota,
            },
            observer: None,
        }
    }

    /// What a connection to a database with `limits` may use.
    pub(super) fn sql_limits(&self, limits: &Limits) -> sql::Limits {
        let mut sql = self.sql.clone();
        if limits.transaction_bytes > 0 {
            sql.transaction_bytes = limits.transaction_bytes;
        }
        if limits.statement_ms > 0 {
            sql.statement_time = Duration::from_millis(limits.statement_ms);
        }
        if limits.result_bytes > 0 {
            sql.result_bytes = limits.result_bytes;
        }
        sql
    }
}
