//! A group of this node: its replica, and the tasks that keep its log short, its databases in the object store and its
//! members what they are to be.

use super::cluster::Companion;
use super::troubles::Unsettled;
use super::{Error, Options, first_entries, incarnation};
use crate::archive::{self, Archiver};
use crate::group::{self, Group, Groups};
use crate::log::Disk;
use crate::materialize::Scheduler;
use crate::overlay::Pages;
use crate::owner::{Chains, Founded, Founding, Incarnation};
use crate::peer::Peers;
use crate::store::Store;
use orion_api::{GroupName, NodeId};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of this node.
pub(crate) struct Hosted {
    pub(crate) group: Arc<Group>,
    /// What was archived of its log.
    pub(crate) archived: Arc<archive::Counters>,
    pub(super) chains: Chains,
    /// Why this node is not settled in it.
    pub(super) unsettled: Arc<Unsettled>,
    /// How long a dropped database's objects stay.
    pub(super) drop_retention: Duration,
    /// Held while a database's limits are read and changed.
    pub(super) changing_limits: tokio::sync::Mutex<()>,
}

/// What all groups of a node share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) node: NodeId,
    pub(super) disk: Disk,
    pub(super) store: Store,
    pub(super) chains: Chains,
    pub(super) pages: Arc<Pages>,
    pub(super) peers: Option<Arc<Peers>>,
    /// Where Raft's tasks run.
    pub(super) raft: Handle,
    /// Where pages and log are brought into the object store.
    pub(super) upkeep: Handle,
    pub(super) groups: Arc<Groups>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Shared {
    /// Starts the node's member of a group. Where nobody else can be, it leads when this returns.
    pub(super) async fn host(&self, name: &GroupName) -> Result<Arc<Hosted>, Error> {
        let options = &self.options;
        let group = self.start_group(name).await?;
        let (stop, tasks) = (&self.stop, &self.tasks);
        self.groups.add(Arc::clone(&group));
        let unsettled = Arc::<Unsettled>::default();
        match (&options.cluster, &self.peers) {
            (Some(cluster), Some(peers)) => {
                let companion = Companion {
                    group: Arc::clone(&group),
                    peers: Arc::clone(peers),
                    chains: self.chains.clone(),
                    cluster: cluster.clone(),
                    unsettled: Arc::clone(&unsettled),
                };
                tasks.spawn(companion.run(stop.clone()));
            }
            _ => group.wait_until_serving().await?,
        }
        tasks.spawn(first_entries::keep_secret(Arc::clone(&group), stop.clone()));
        tasks.spawn(first_entries::keep_format_level(
            Arc::clone(&group),
            options.raise_format,
            stop.clone(),
        ));
        tasks.spawn(Arc::clone(&group).keep_log_short(stop.clone()));
        let scheduler = Scheduler::new(
            Arc::clone(&group),
            Arc::clone(&self.groups),
            options.materialize(),
        );
        tasks.spawn_on(scheduler.run(stop.clone()), &self.upkeep);
        let archived = Arc::<archive::Counters>::default();
        if let Some(options) = options.archive.clone() {
            let store = self.store.clone();
            let archiver = Archiver::new(Arc::clone(&group), store, options, Arc::clone(&archived));
            tasks.spawn_on(archiver.run(stop.clone()), &self.upkeep);
        }
        let hosted = Arc::new(Hosted {
            group,
            archived,
            chains: self.chains.clone(),
            unsettled,
            drop_retention: options.drop_retention,
            changing_limits: tokio::sync::Mutex::default(),
        });
        tasks.spawn(Arc::clone(&hosted).purge_dropped(stop.clone()));
        Ok(hosted)
    }

    async fn start_group(&self, name: &GroupName) -> Result<Arc<Group>, Error> {
        let log = self.disk.group(name.as_str());
        let start = incarnation::Start {
            options: &self.options,
            group: name,
            node: self.node,
            chains: &self.chains,
            store: &self.store,
            is_begun: log.is_begun(),
        };
        let incarnation = start.incarnation().await?;
        if self.peers.is_none() && incarnation == Incarnation(1) && !log.is_begun() {
            let founding = Founding::first(name.clone(), self.node);
            if let Founded::By(founder) = self.chains.found(&founding).await? {
                let group = name.clone();
                return Err(Error::OtherFounder { group, founder });
            }
        }
        let start = group::Start {
            name: name.clone(),
            incarnation,
            node: self.node,
            format_level: self.options.format_level,
            log,
            dir: self.options.group_dir(name),
            pages: Arc::clone(&self.pages),
            peers: self.peers.clone(),
            options: self.options.snapshots(),
        };
        // Where Raft's tasks are to run.
        let started = self.raft.spawn(Group::start(start)).await;
        Ok(started.unwrap_or_else(|error| Err(group::Error::Stopped(error.to_string())))?)
    }
}

impl Hosted {
    /// Lets another node lead, if this one does and there is another that can. It does not ask to lead any more.
    pub(super) async fn hand_over(&self) {
        self.group.stop_campaigning();
        if self.group.serves() && self.group.hand_over(None).await {
            tracing::info!(group = %self.group.name, "another node leads now");
        }
    }

    /// A last local snapshot, so that the next start has no log to replay.
    pub(super) async fn last_snapshot(&self) {
        if !self.group.has_disk_room() {
            return;
        }
        match tokio::time::timeout(LAST_SNAPSHOT, self.group.snapshot()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(group = %self.group.name, %error, "no local snapshot at the stop; the next start replays the log");
            }
            Err(_) => {
                tracing::warn!(group = %self.group.name, "no local snapshot in time at the stop; the next start replays the log")
            }
        }
    }
}

/// How long the local snapshot at the stop may take.
const LAST_SNAPSHOT: Duration = Duration::from_secs(10);
