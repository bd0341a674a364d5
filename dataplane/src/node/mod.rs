//! One `orion server` process below the transports: its data directory, log, group, databases and the tasks
//! that keep them.
//!
//! Start: lock the directory and open the log → object store → group (installs the local snapshot, replays
//! the log) → lead → tasks. Stop: the other way round, with what is in flight answered first.

#[cfg(test)]
mod archived;
mod cluster;
mod first_entries;
#[cfg(test)]
mod groups;
mod hosted;
mod identity;
mod incarnation;
mod lifecycle;
mod options;
#[cfg(test)]
mod several;
#[cfg(test)]
pub(crate) mod tests;
mod threads;
mod troubles;

use crate::base::Bases;
use crate::database::{Databases, SqlThreads};
use crate::entry::Limits;
use crate::group::{self, Group, Groups};
use crate::log::Disk;
use crate::overlay::{PageCache, Pages, SumError};
use crate::owner::Chains;
use crate::peer::{self, Peers};
use crate::store::Store;
use arc_swap::ArcSwap;
use futures::future;
use hosted::Shared;
use lifecycle::Summed;
use orion_api::{DatabaseId, DatabaseName, GroupName, NodeId};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use threads::Threads;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(crate) use hosted::Hosted;
pub use lifecycle::{DatabaseInfo, LifecycleError};
pub use options::{Cluster, Options};

/// A running node.
pub struct Node {
    /// The group that its configuration names `group`.
    pub(crate) home: Arc<Hosted>,
    /// All groups that it is a member of, its home first.
    pub(crate) groups: Arc<Groups>,
    hosted: ArcSwap<Vec<Arc<Hosted>>>,
    shared: Shared,
    /// The databases that it serves.
    pub databases: Arc<Databases>,
    pub(crate) threads: Arc<SqlThreads>,
    /// Ends what peers are answered with, after everything else.
    stop_peers: CancellationToken,
    /// Those of Raft, where there are others, and of upkeep.
    own_threads: Mutex<Vec<Threads>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("home", &self.home.group.name)
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
    Seed(#[from] crate::archive::Error),
    /// The other nodes.
    #[error(transparent)]
    Peers(#[from] peer::Error),
}

impl Node {
    /// Starts. A node that is alone in its groups leads them when this returns; one of several goes on to find the others.
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
        let pages = Arc::new(Pages::new(cache, bases, Handle::current(), options.base_timeout));
        let stop_peers = CancellationToken::new();
        let of_upkeep = Threads::of_upkeep().map_err(io("start the threads of upkeep for", dir))?;
        let upkeep = of_upkeep.handle();
        let mut own_threads = vec![of_upkeep];
        let (raft, peers) = match &options.cluster {
            None => (Handle::current(), None),
            Some(cluster) => {
                let of_raft = Threads::of_raft().map_err(io("start Raft's threads for", dir))?;
                let raft = of_raft.handle();
                own_threads.push(of_raft);
                let peers = listen(&options, cluster, id, &raft, &stop_peers).await?;
                (raft, Some(peers))
            }
        };
        let threads = SqlThreads::start(options.sql_threads).map_err(io("start SQL threads for", dir))?;
        let (groups, tasks, stop) = (
            Arc::<Groups>::default(),
            TaskTracker::new(),
            CancellationToken::new(),
        );
        let databases = Databases::new(
            Arc::clone(&groups),
            Arc::clone(&threads),
            options.database.clone(),
            tasks.clone(),
        );
        let shared = Shared {
            options,
            node: id,
            disk,
            chains: Chains::new(store.clone()),
            store,
            pages,
            peers,
            raft,
            upkeep,
            groups: Arc::clone(&groups),
            tasks,
            stop,
        };
        // What was begun ends if not all of it begins.
        let starting = shared.stop.clone().drop_guard();
        let home = shared.host(&shared.options.group).await?;
        let mut hosted = vec![Arc::clone(&home)];
        for name in &shared.options.more_groups {
            hosted.push(shared.host(name).await?);
        }
        shared
            .tasks
            .spawn(Arc::clone(&databases).close_idle(shared.stop.clone()));
        starting.disarm();
        Ok(Arc::new(Node {
            home,
            groups,
            hosted: ArcSwap::from_pointee(hosted),
            shared,
            databases,
            threads,
            stop_peers,
            own_threads: Mutex::new(own_threads),
        }))
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.shared.node
    }

    /// What it was started with.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The object store, for its metrics.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The other nodes, if there can be any.
    pub(crate) fn peers(&self) -> Option<&Arc<Peers>> {
        self.shared.peers.as_ref()
    }

    pub(crate) fn pages(&self) -> &Pages {
        &self.shared.pages
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.shared.disk
    }

    /// All groups that it is a member of, its home first.
    pub(crate) fn hosted(&self) -> Arc<Vec<Arc<Hosted>>> {
        self.hosted.load_full()
    }

    /// A group by name.
    pub(crate) fn hosted_named(&self, name: &GroupName) -> Option<Arc<Hosted>> {
        self.hosted
            .load()
            .iter()
            .find(|hosted| hosted.group.name == *name)
            .cloned()
    }

    /// Waits until a group has outgrown this release, and says so: this process can only end.
    pub async fn outgrown(&self) -> Error {
        let hosted = self.hosted();
        let waits = hosted.iter().map(|hosted| Box::pin(hosted.group.outgrown()));
        Error::Group(future::select_all(waits).await.0)
    }

    /// True while strong reads and writes of all groups are served, here or by passing them on.
    pub fn is_ready(&self) -> bool {
        let is_served = |group: &Group| {
            let serves = group.serves() || (self.peers().is_some() && group.leader().is_some());
            serves && group.catalog.secret().is_known()
        };
        self.groups.all().iter().all(|group| is_served(group)) && !self.disk().is_poisoned()
    }

    /// Waits until its groups have the secrets that sign batons and session tokens.
    pub async fn wait_for_secrets(&self) {
        for group in self.groups.all().iter() {
            group.wait_applied(|| group.catalog.secret().is_known()).await;
        }
    }

    /// Lets other nodes lead, where this one does and there is another that can. The first step to the end: it does not ask to
    /// lead any more.
    pub async fn hand_over(&self) {
        if self.peers().is_some() {
            let hosted = self.hosted();
            future::join_all(hosted.iter().map(|hosted| hosted.hand_over())).await;
        }
    }

    /// Stops: no new work, what is in flight is answered, then the log is closed.
    pub async fn stop(&self) {
        let tasks = &self.shared.tasks;
        self.shared.stop.cancel();
        if let Some(peers) = self.peers()
            && tokio::time::timeout(Duration::from_secs(5), peers.finish_forwarded())
                .await
                .is_err()
        {
            tracing::warn!("some requests of other nodes were not answered in time");
        }
        tasks.close();
        if tokio::time::timeout(Duration::from_secs(10), tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some tasks did not stop in time");
        }
        for hosted in self.hosted().iter() {
            // Where there are others, they wait for this leader to go.
            if self.peers().is_none() {
                hosted.last_snapshot().await;
            }
            hosted.group.stop().await;
        }
        self.stop_peers.cancel();
        self.own_threads.lock().clear();
        let (threads, disk) = (Arc::clone(&self.threads), self.disk());
        tokio::task::block_in_place(|| {
            threads.stop();
            disk.close();
        });
    }
}

/// Databases of all groups.
impl Node {
    /// All databases, tombstones included where asked for, by name.
    pub fn list(&self, with_dropped: bool) -> Vec<DatabaseInfo> {
        let hosted = self.hosted();
        let mut infos: Vec<DatabaseInfo> = hosted
            .iter()
            .flat_map(|hosted| hosted.list(with_dropped))
            .collect();
        infos.sort_by(|a, b| (&a.name, a.created_at_ms).cmp(&(&b.name, b.created_at_ms)));
        infos
    }

    /// A served database by name.
    pub fn get(&self, name: &str) -> Result<DatabaseInfo, LifecycleError> {
        self.of(name).get(name)
    }

    /// Creates a database in a group; none: in the home. With the same `operation` it may be repeated until its outcome is known.
    pub async fn create(
        &self,
        group: Option<&GroupName>,
        name: &str,
        limits: Limits,
        operation: Option<Uuid>,
    ) -> Result<DatabaseInfo, LifecycleError> {
        let hosted = match group {
            None => Arc::clone(&self.home),
            Some(group) => self
                .hosted_named(group)
                .ok_or_else(|| LifecycleError::NoGroup(group.clone()))?,
        };
        hosted.create(name, limits, operation).await
    }

    /// The checksum of a database's pages as this node has them, at the newest version that is applied here. `None` if
    /// there is no such database.
    pub(crate) async fn checksum(&self, name: &str) -> Result<Option<Summed>, SumError> {
        self.of(name).checksum(name).await
    }

    /// Changes a database's limits. Whoever uses it is held to them from its next statement on; a stream to
    /// the bytes of a transaction once it is opened anew.
    pub async fn change_limits(
        &self,
        name: &str,
        change: impl FnOnce(&Limits) -> Limits,
    ) -> Result<DatabaseInfo, LifecycleError> {
        self.of(name).change_limits(name, change).await
    }

    /// Drops a database: it is not served any more, and its objects go when retention is over.
    pub async fn drop_database(&self, name: &str) -> Result<DatabaseInfo, LifecycleError> {
        self.of(name).drop_database(name).await
    }

    /// The database that a name means, by the object store.
    pub(crate) async fn holder(
        &self,
        name: &DatabaseName,
    ) -> Result<Option<DatabaseId>, crate::owner::Error> {
        self.shared.chains.resolve(name).await
    }

    /// The group that has a database of this name; if there is none, the home, which says so.
    pub(crate) fn of(&self, name: &str) -> Arc<Hosted> {
        let hosted = self.hosted.load();
        let its = hosted
            .iter()
            .find(|hosted| hosted.group.catalog.find(name).is_some());
        Arc::clone(its.unwrap_or(&self.home))
    }
}

async fn listen(
    options: &Options,
    cluster: &Cluster,
    id: NodeId,
    runtime: &Handle,
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
        raft: runtime.clone(),
        requests: Handle::current(),
    };
    let peers = Peers::new(own, source, incoming, threads, cluster.tls.clone())?;
    runtime.spawn(Arc::clone(&peers).serve(listener, stop.clone()));
    Ok(peers)
}
