//! One `orion server` process below the transports: its data directory, log, group, databases and the tasks
//! that keep them.
//!
//! Start: lock the directory and open the log → object store → group (installs the local snapshot, replays
//! the log) → lead → tasks. Stop: the other way round, with what is in flight answered first.

mod identity;
mod lifecycle;
mod options;
#[cfg(test)]
pub(crate) mod tests;

use crate::base::Bases;
use crate::database::{Databases, SqlThreads};
use crate::group::Group;
use crate::log::Disk;
use crate::materialize::Scheduler;
use crate::overlay::{PageCache, Pages};
use crate::owner::Chains;
use crate::store::Store;
use orion_api::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use lifecycle::{DatabaseInfo, LifecycleError};
pub use options::Options;

/// A running node.
pub struct Node {
    pub(crate) group: Arc<Group>,
    /// The databases that it serves.
    pub databases: Arc<Databases>,
    pub(crate) chains: Chains,
    /// The object store, for its metrics.
    pub store: Store,
    pub(crate) disk: Disk,
    pub(crate) threads: Arc<SqlThreads>,
    /// What it was started with.
    pub options: Options,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Held while a database's limits are read and changed.
    changing_limits: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("group", &self.group.name)
            .finish_non_exhaustive()
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of the data directory.
    #[error("{what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The node's identity file is damaged.
    #[error(
        "{0} is damaged and does not say which node this is; restore the file from a copy, or start as a new node with an empty data directory: what only this disk holds is lost then"
    )]
    Identity(std::path::PathBuf),
    /// SQLite was built without what the service needs.
    #[error(transparent)]
    CompileOptions(#[from] crate::sql::compile_options::CompileOptionsError),
    /// The log.
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    /// The group.
    #[error(transparent)]
    Group(#[from] crate::group::Error),
    /// The object store.
    #[error("the object store's settings")]
    Store(#[from] crate::store::ConfigError),
}

impl Node {
    /// Starts and waits until the node leads its group.
    pub async fn start(options: Options) -> Result<Arc<Node>, Error> {
        crate::sql::compile_options::check()?;
        let dir = &options.data_dir;
        let io = |what, path: &std::path::Path| {
            let path = path.to_owned();
            move |source| Error::Io { what, path, source }
        };
        std::fs::create_dir_all(dir).map_err(io("create", dir))?;
        // Opening the log locks the directory; nothing else is touched before.
        let disk = Disk::open(&dir.join("log"), options.log.clone())?;
        let id = identity::load_or_make(&dir.join("node-id"))?;
        let temp_dir = options.database.temp_dir.clone();
        std::fs::create_dir_all(&temp_dir).map_err(io("create", &temp_dir))?;
        let store = Store::open(&options.store)?;
        let bases = Arc::new(Bases::new(store.clone(), options.base.clone()));
        let cache = PageCache::new(options.page_cache_bytes);
        let runtime = tokio::runtime::Handle::current();
        let pages = Arc::new(Pages::new(cache, bases, runtime, options.base_timeout));
        let group = Group::start(options.group.clone(), id, &disk, &dir.join("groups"), pages).await?;
        group.wait_until_serving().await?;
        let threads = SqlThreads::start(options.sql_threads).map_err(io("start SQL threads for", dir))?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let settings = options.database.clone();
        let databases = Databases::new(Arc::clone(&group), Arc::clone(&threads), settings, tasks.clone());
        tasks.spawn(Arc::clone(&group).keep_log_short(options.snapshots(), stop.clone()));
        tasks.spawn(Scheduler::new(Arc::clone(&group), options.materialize()).run(stop.clone()));
        tasks.spawn(Arc::clone(&databases).close_idle(stop.clone()));
        let chains = Chains::new(store.clone());
        let node = Arc::new(Node {
            group,
            databases,
            changing_limits: tokio::sync::Mutex::default(),
            chains,
            store,
            disk,
            threads,
            options,
            tasks,
            stop,
        });
        node.tasks
            .spawn(Arc::clone(&node).purge_dropped(node.stop.clone()));
        Ok(node)
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.group.node
    }

    /// True while strong reads and writes are served.
    pub fn is_ready(&self) -> bool {
        self.group.serves() && !self.disk.is_poisoned()
    }

    /// Stops: no new work, what is in flight is answered, then the log is closed.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(10), self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some tasks did not stop in time");
        }
        if self.group.serves()
            && let Err(error) = self.group.snapshot().await
        {
            tracing::warn!(%error, "no local snapshot at the stop; the next start replays the log");
        }
        self.group.stop().await;
        let (threads, disk) = (Arc::clone(&self.threads), &self.disk);
        tokio::task::block_in_place(|| {
            threads.stop();
            disk.close();
        });
    }
}
