//! What a node is started with: validated settings, with types and units.

use crate::{archive, base, database, group, log, materialize, peer, store};
use orion_api::GroupName;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where log, local snapshots and temporary files lie.
    pub data_dir: PathBuf,
    /// Its home: the group where databases are created if nothing else is said.
    pub group: GroupName,
    /// Other groups that it is a member of.
    pub more_groups: Vec<GroupName>,
    /// The object store.
    pub store: store::Config,
    /// The log.
    pub log: log::Options,
    /// The bases.
    pub base: base::Options,
    /// Bytes of the page cache.
    pub page_cache_bytes: u64,
    /// How long a read waits for the object store.
    pub base_timeout: Duration,
    /// Threads that run SQLite.
    pub sql_threads: usize,
    /// How long a dropped database's objects stay.
    pub drop_retention: Duration,
    /// How databases are run.
    pub database: database::Options,
    /// Bytes of all overlays at which writes wait; from three quarters of it on the largest are materialized.
    pub overlay_node_bytes: u64,
    /// Bytes of a database's overlay at which it is materialized.
    pub flush_bytes: u64,
    /// Age of a database's oldest change at which it is materialized.
    pub flush_age: Duration,
    /// Bytes of log after which there is a local snapshot.
    pub snapshot_log_bytes: u64,
    /// Age of the newest local snapshot after which there is another, or an idle group keeps no more of its log than that.
    pub(crate) snapshot_age: Duration,
    /// How the log is archived; none: it is not.
    pub archive: Option<archive::Options>,
    /// Other nodes of the group; none: this node is alone in it.
    pub cluster: Option<Cluster>,
    /// The newest format level that this node reads: its release's, but for tests of older ones.
    pub format_level: u32,
    /// The group's format level is raised as soon as all members read it; else when an operator says so.
    pub raise_format: bool,
    pub(crate) materialize: materialize::Options,
}

/// How a node is one of several.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Where peers are listened for.
    pub listen: SocketAddr,
    /// Where they reach this node, `host:port`.
    pub advertise: String,
    /// Where to look for them at the start; this node may be among them.
    pub seeds: Vec<String>,
    /// It wants to vote. Else it learns, and serves reads.
    pub votes: bool,
    /// Certificates; without them peers speak in the clear.
    pub tls: Option<peer::Tls>,
}

impl Options {
    /// Defaults for a data directory, a group and an object store.
    pub fn new(data_dir: PathBuf, group: GroupName, store: store::Config) -> Options {
        let materialize = materialize::Options::default();
        Options {
            database: database::Options::new(data_dir.join("tmp")),
            data_dir,
            group,
            more_groups: Vec::new(),
            store,
            log: log::Options::default(),
            base: base::Options::default(),
            page_cache_bytes: 128 << 20,
            base_timeout: Duration::from_secs(10),
            // More than cores, because a thread that waits for the object store runs nothing.
            sql_threads: 16,
            drop_retention: Duration::from_secs(7 * 24 * 3600),
            overlay_node_bytes: materialize.node_bytes,
            flush_bytes: materialize.flush_bytes,
            flush_age: materialize.flush_age,
            snapshot_log_bytes: group::Options::default().snapshot_log_bytes,
            snapshot_age: group::Options::default().snapshot_age,
            archive: Some(archive::Options::default()),
            cluster: None,
            format_level: newest_format(),
            raise_format: true,
            materialize,
        }
    }

    /// Where local snapshots of a group lie.
    pub(super) fn group_dir(&self, group: &GroupName) -> PathBuf {
        self.data_dir.join("groups").join(group.as_str())
    }

    /// When there are local snapshots.
    pub(super) fn snapshots(&self) -> group::Options {
        group::Options {
            snapshot_log_bytes: self.snapshot_log_bytes,
            snapshot_age: self.snapshot_age,
            archive_log_bytes_max: self.archive.as_ref().map(|archive| archive.log_bytes_max),
        }
    }

    /// When databases are materialized.
    pub(super) fn materialize(&self) -> materialize::Options {
        materialize::Options {
            flush_bytes: self.flush_bytes,
            flush_age: self.flush_age,
            node_bytes: self.overlay_node_bytes,
            ..self.materialize.clone()
        }
    }
}

/// The newest format level of this release, unless a test orders another one.
fn newest_format() -> u32 {
    #[cfg(feature = "failpoints")]
    if let Some(level) = crate::failpoints::format_level() {
        return level;
    }
    crate::entry::FORMAT_LEVEL
}
