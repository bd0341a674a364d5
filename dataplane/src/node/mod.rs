//! One `orion server` process below the transports: its data directory, log, group, databases and the tasks
//! that keep them.
//!
//! Start: lock the directory and open the log → object store → group (installs the local snapshot, replays
//! the log) → lead → tasks. Stop: the other way round, with what is in flight answered first.

#[cfg(test)]
mod archived;
mod cluster;
mod first_entries;
mod identity;
mod incarnation;
mod lifecycle;
mod options;
#[cfg(test)]
mod several;
#[cfg(test)]
pub(crate) mod tests;

use crate::archive::{self, Archiver};
use crate::base::Bases;
use crate::database::{Databases, SqlThreads};
use crate::group::{self, Group};
use crate::log::Disk;
use crate::materialize::Scheduler;
use crate::overlay::{PageCache, Pages};
use crate::owner::{Chains, Founded, Founding, Incarnation};
use crate::peer::{self, Peers};
use crate::store::Store;
use cluster::Companion;
use orion_api::NodeId;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use lifecycle::{DatabaseInfo, LifecycleError};
pub use options::{Cluster, Options};

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
    /// What was archived.
    pub(crate) archived: Arc<archive::Counters>,
    /// What it was started with.
    pub options: Options,
    /// The other nodes, if there can be any.
    pub(crate) peers: Option<Arc<Peers>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Ends what peers are answered with, after everything else.
    stop_peers: CancellationToken,
    raft_runtime: Mutex<Option<Runtime>>,
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
    Group(#[from] group::Error),
    /// The object store.
    #[error("the object store's settings")]
    Store(#[from] crate::store::ConfigError),
    /// The beginning of the group could not be claimed.
    #[error("the object store did not say who began the group")]
    Owner(#[from] crate::owner::Error),
    /// The object store belongs to a group of this name that another disk has the log of.
    #[error(
        "the group {group} was begun by node {founder}, and its log is not in this data directory; start with the directory of that node, or with another group name or object store"
    )]
    OtherFounder {
        /// The group.
        group: orion_api::GroupName,
        /// Whose log it is.
        founder: NodeId,
    },
    /// The group was recovered without this disk.
    #[error(
        "the group {group} was recovered, and this data directory is of its incarnation {incarnation}, which is over; start with an empty data directory. What was acknowledged and is not in the archive is in this one alone: keep it as long as anybody may miss it"
    )]
    Over {
        /// The group.
        group: orion_api::GroupName,
        /// Its incarnation here.
        incarnation: u64,
    },
    /// A recovery did not get to its end.
    #[error("a recovery of the group {0} was begun and has not ended; run `orion recover` again")]
    BeingRecovered(orion_api::GroupName),
    /// What a recovered group begins with.
    #[error("what was recovered cannot be fetched")]
    Seed(#[from] archive::Error),
    /// The other nodes.
    #[error(transparent)]
    Peers(#[from] peer::Error),
}

/// How long the local snapshot at the stop may take.
const LAST_SNAPSHOT: Duration = Duration::from_secs(10);

impl Node {
    /// Starts. A node that is alone in its group leads it when this returns; one of several goes on to find the others.
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
        let chains = Chains::new(store.clone());
        let bases = Arc::new(Bases::new(store.clone(), options.base.clone()));
        let cache = PageCache::new(options.page_cache_bytes);
        let runtime = Handle::current();
        let pages = Arc::new(Pages::new(cache, bases, runtime, options.base_timeout));
        let (tasks, stop, stop_peers) = (
            TaskTracker::new(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let log = disk.group(options.group.as_str());
        let start = incarnation::Start {
            options: &options,
            node: id,
            chains: &chains,
            store: &store,
            is_begun: log.is_begun(),
        };
        let incarnation = start.incarnation().await?;
        let (raft_runtime, peers) = match &options.cluster {
            None => (None, None),
            Some(cluster) => {
                let runtime = raft_runtime().map_err(io("start Raft's threads for", dir))?;
                let peers = listen(&options, cluster, (id, incarnation), &runtime, &stop_peers).await?;
                (Some(runtime), Some(peers))
            }
        };
        let raft_handle = raft_runtime
            .as_ref()
            .map_or_else(Handle::current, |runtime| runtime.handle().clone());
        let start = group::Start {
            name: options.group.clone(),
            incarnation,
            node: id,
            format_level: options.format_level,
            log,
            dir: dir.join("groups").join(options.group.as_str()),
            pages,
            peers: peers.clone(),
            options: options.snapshots(),
        };
        let group = start_group(start, &chains, &raft_handle).await?;
        match (&options.cluster, &peers) {
            (Some(cluster), Some(peers)) => {
                let companion = Companion {
                    group: Arc::clone(&group),
                    peers: Arc::clone(peers),
                    chains: chains.clone(),
                    cluster: cluster.clone(),
                };
                tasks.spawn(companion.run(stop.clone()));
            }
            _ => group.wait_until_serving().await?,
        }
        tasks.spawn(first_entries::keep_signing_key(Arc::clone(&group), stop.clone()));
        tasks.spawn(first_entries::keep_format_level(
            Arc::clone(&group),
            options.raise_format,
            stop.clone(),
        ));
        let threads = SqlThreads::start(options.sql_threads).map_err(io("start SQL threads for", dir))?;
        let settings = options.database.clone();
        let databases = Databases::new(Arc::clone(&group), Arc::clone(&threads), settings, tasks.clone());
        tasks.spawn(Arc::clone(&group).keep_log_short(stop.clone()));
        tasks.spawn(Scheduler::new(Arc::clone(&group), options.materialize()).run(stop.clone()));
        tasks.spawn(Arc::clone(&databases).close_idle(stop.clone()));
        let archived = Arc::<archive::Counters>::default();
        if let Some(options) = options.archive.clone() {
            let archiver = Archiver::new(Arc::clone(&group), store.clone(), options, Arc::clone(&archived));
            tasks.spawn(archiver.run(stop.clone()));
        }
        let node = Arc::new(Node {
            group,
            databases,
            changing_limits: tokio::sync::Mutex::default(),
            chains,
            store,
            disk,
            threads,
            archived,
            options,
            peers,
            tasks,
            stop,
            stop_peers,
            raft_runtime: Mutex::new(raft_runtime),
        });
        node.tasks
            .spawn(Arc::clone(&node).purge_dropped(node.stop.clone()));
        Ok(node)
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.group.node
    }

    /// Waits until the group has outgrown this release, and says so: this process can only end.
    pub async fn outgrown(&self) -> Error {
        Error::Group(self.group.outgrown().await)
    }

    /// True while strong reads and writes are served, here or by passing them on.
    pub fn is_ready(&self) -> bool {
        let serves = self.group.serves() || (self.peers.is_some() && self.group.leader().is_some());
        serves && self.group.catalog.signing_key().is_some() && !self.disk.is_poisoned()
    }

    /// Waits until the group has the secret that signs batons and session tokens.
    pub async fn wait_for_signing_key(&self) {
        let has_key = || self.group.catalog.signing_key().is_some();
        self.group.wait_applied(has_key).await;
    }

    /// Lets another node lead, if this one does and there is another that can. The first step to the end: it does not ask to
    /// lead any more.
    pub async fn hand_over(&self) {
        if self.peers.is_none() {
            return;
        }
        self.group.stop_campaigning();
        if self.group.serves() && self.group.hand_over(None).await {
            tracing::info!(group = %self.group.name, "another node leads now");
        }
    }

    /// Stops: no new work, what is in flight is answered, then the log is closed.
    pub async fn stop(&self) {
        self.stop.cancel();
        if let Some(peers) = &self.peers
            && tokio::time::timeout(Duration::from_secs(5), peers.finish_forwarded())
                .await
                .is_err()
        {
            tracing::warn!("some requests of other nodes were not answered in time");
        }
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(10), self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some tasks did not stop in time");
        }
        // Where there are others, they wait for this leader to go.
        if self.peers.is_none() && self.group.has_disk_room() {
            match tokio::time::timeout(LAST_SNAPSHOT, self.group.snapshot()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "no local snapshot at the stop; the next start replays the log");
                }
                Err(_) => {
                    tracing::warn!("no local snapshot in time at the stop; the next start replays the log")
                }
            }
        }
        self.group.stop().await;
        self.stop_peers.cancel();
        if let Some(runtime) = self.raft_runtime.lock().take() {
            runtime.shutdown_background();
        }
        let (threads, disk) = (Arc::clone(&self.threads), &self.disk);
        tokio::task::block_in_place(|| {
            threads.stop();
            disk.close();
        });
    }
}

/// Raft's own threads, so that a heartbeat never waits behind queries. Few: an entry goes through a dozen tasks, and each that
/// runs on another thread than the one before costs more than what it does.
fn raft_runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores / 4).clamp(1, 4))
        .thread_name("orion-raft")
        .enable_all()
        .build()
}

async fn listen(
    options: &Options,
    cluster: &Cluster,
    id: (NodeId, Incarnation),
    runtime: &Runtime,
    stop: &CancellationToken,
) -> Result<Arc<Peers>, Error> {
    let address = cluster.listen;
    let listening = runtime.spawn(TcpListener::bind(address)).await;
    let listener = listening
        .unwrap_or_else(|_| Err(std::io::ErrorKind::Interrupted.into()))
        .map_err(|source| peer::Error::Listen { address, source })?;
    // What arrived before a restart was not installed.
    let incoming = options.data_dir.join("incoming");
    let _ = std::fs::remove_dir_all(&incoming);
    // Calls come from the address that is listened on, where that is one: firewalls may know this node by it.
    let source = Some(address.ip()).filter(|ip| !ip.is_unspecified());
    let own = peer::own(id, cluster.advertise.clone(), options.format_level);
    let threads = peer::Threads {
        raft: runtime.handle().clone(),
        requests: Handle::current(),
    };
    let peers = Peers::new(own, source, incoming, threads, cluster.tls.clone())?;
    runtime.spawn(Arc::clone(&peers).serve(listener, stop.clone()));
    Ok(peers)
}

/// Starts the group where Raft's tasks are to run.
async fn start_group(start: group::Start, chains: &Chains, handle: &Handle) -> Result<Arc<Group>, Error> {
    let is_first = start.incarnation == Incarnation(1);
    if start.peers.is_none() && is_first && !start.log.is_begun() {
        let founding = Founding::first(start.name.clone(), start.node);
        if let Founded::By(founder) = chains.found(&founding).await? {
            return Err(Error::OtherFounder {
                group: start.name,
                founder,
            });
        }
    }
    let started = handle.spawn(Group::start(start)).await;
    Ok(started.unwrap_or_else(|error| Err(group::Error::Stopped(error.to_string())))?)
}
