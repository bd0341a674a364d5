//! The handle to a group: start, propose, lead, snapshot, stop.

use super::leadership::Leadership;
use super::read_index::ReadIndexes;
use super::{Catalog, Error, Machine, Options, snapshot_file};
use crate::entry::{Kind, Proposal};
use crate::log::GroupLog;
use crate::overlay::Pages;
use crate::owner::Incarnation;
use crate::peer::{Member, Network, Peers};
use crate::raft::{Applied, Callback, FORGOTTEN_VOTE, LEASE, Lease, Place, Solitary, Types, WriteResult};
use futures::FutureExt;
use openraft::errors::ClientWriteError;
use openraft::metrics::RaftServerMetrics;
use openraft::{Raft, SnapshotPolicy};
use orion_api::admin::Role;
use orion_api::{GroupName, LogIndex, NodeId, Version};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Applied, and what the state machine said.
    Applied(Applied),
    /// Certainly not applied: this node did not lead when it was proposed.
    NotLeader,
    /// Nobody knows whether it was or will be applied.
    Unknown,
}

/// Why something was not even proposed: certainly not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotProposed {
    /// This node does not lead the group, or does not yet serve its term.
    #[error("this node does not lead the group")]
    NotLeader,
    /// The log's disk has no room.
    #[error("the log's disk is full")]
    DiskFull,
    /// Raft has more to do than it can queue.
    #[error("the group has more to do than it can queue")]
    Overloaded,
}

/// What a group is started with.
pub(crate) struct Start {
    /// Its name.
    pub(crate) name: GroupName,
    /// Which life of its log.
    pub(crate) incarnation: Incarnation,
    /// This node.
    pub(crate) node: NodeId,
    /// The newest format level that it reads.
    pub(crate) format_level: u32,
    /// Its log.
    pub(crate) log: GroupLog,
    /// Where its local snapshot lies.
    pub(crate) dir: PathBuf,
    /// Pages of its databases.
    pub(crate) pages: Arc<Pages>,
    /// The other nodes, if there can be any.
    pub(crate) peers: Option<Arc<Peers>>,
    /// How its log is kept short.
    pub(crate) options: Options,
}

/// A running group.
pub(crate) struct Group {
    pub(crate) name: GroupName,
    /// Which life of its log.
    pub(crate) incarnation: Incarnation,
    pub(crate) node: NodeId,
    /// The newest format level that this node reads.
    pub(crate) reads_format: u32,
    /// Where its local snapshot lies.
    pub(super) snapshot_path: PathBuf,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) pages: Arc<Pages>,
    pub(super) raft: Raft<Types, Machine>,
    pub(super) log: GroupLog,
    pub(super) leadership: Arc<Leadership>,
    /// None where the group has one member for ever.
    pub(super) peers: Option<Arc<Peers>>,
    pub(super) options: Options,
    pub(super) read_indexes: ReadIndexes,
    /// Held while the membership is changed.
    pub(super) changing_members: tokio::sync::Mutex<()>,
    /// Until then no vote is given, because one that was given before a restart is forgotten.
    pub(super) votes_from: Instant,
    /// Bytes applied when the newest local snapshot was taken.
    pub(super) snapshot_bytes: AtomicU64,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Group {
    /// Starts the group on this node. Without peers a group that the log knows nothing of is made, with this node as its only
    /// voter; with peers it is joined, or made by whoever [`Group::initialize`]s it.
    pub(crate) async fn start(start: Start) -> Result<Arc<Group>, Error> {
        let Start {
            name,
            incarnation,
            node,
            format_level,
            log,
            dir,
            pages,
            peers,
            options,
        } = start;
        std::fs::create_dir_all(&dir).map_err(|source| Error::Io {
            what: "create",
            path: dir.clone(),
            source,
        })?;
        let catalog = Arc::new(Catalog::default());
        let snapshot_path = dir.join(snapshot_file::NAME);
        let path = snapshot_path.clone();
        let machine = Machine::new(Arc::clone(&catalog), Arc::clone(&pages), path, format_level);
        log.set_replicated(peers.is_some());
        let stopped = |error: &dyn std::fmt::Display| Error::Stopped(error.to_string());
        let config = Arc::new(raft_config(&name).validate().map_err(|error| stopped(&error))?);
        let lease = Arc::new(Lease::new(node.0));
        let raft = match &peers {
            None => Raft::new(node.0, config, Solitary, log.clone(), machine).await,
            Some(peers) => {
                let network =
                    Network::new(Arc::clone(peers), (name.clone(), incarnation), Arc::clone(&lease));
                Raft::new(node.0, config, network, log.clone(), machine).await
            }
        };
        let raft = raft.map_err(|error| stopped(&error))?;
        let leadership = Leadership::watch(&raft, lease, peers.clone());
        let is_known = raft.is_initialized().await.map_err(|error| stopped(&error))?;
        let others = raft.voter_ids().any(|voter| voter != node.0);
        let votes_from = Instant::now()
            + if is_known && others {
                FORGOTTEN_VOTE
            } else {
                Duration::ZERO
            };
        let group = Arc::new(Group {
            name,
            incarnation,
            snapshot_path,
            node,
            reads_format: format_level,
            catalog,
            pages,
            raft,
            log,
            leadership,
            read_indexes: ReadIndexes::default(),
            changing_members: tokio::sync::Mutex::default(),
            votes_from,
            snapshot_bytes: AtomicU64::new(0),
            peers,
            options,
        });
        if let Some(peers) = &group.peers {
            peers.register(&group.name, Arc::clone(&group) as Arc<dyn Member>);
        }
        match (is_known, others) {
            (false, _) if group.peers.is_none() => group.initialize(String::new()).await?,
            (false, _) => group.raft.runtime_config().elect(true),
            (true, true) => group.campaign_later(),
            // The only voter need not wait for a leader that cannot be.
            (true, false) => {
                group.raft.runtime_config().elect(true);
                let elected = group.raft.trigger().elect(false).await;
                elected.map_err(|error| stopped(&error))?;
            }
        }
        Ok(group)
    }

    /// Makes the group, with this node as its only voter. Once in the life of a group: whoever calls it must know that nobody
    /// else did.
    pub(crate) async fn initialize(&self, address: String) -> Result<(), Error> {
        self.raft.runtime_config().elect(true);
        let place = Place {
            address,
            role: Role::Voter,
            format_level: self.reads_format,
        };
        let members = BTreeMap::from([(self.node.0, place)]);
        let made = self.raft.initialize(members).await;
        made.map_err(|error| Error::Stopped(error.to_string()))
    }

    /// False until this node is in a group, or was made the first member of one.
    pub(crate) async fn is_initialized(&self) -> Result<bool, Error> {
        let known = self.raft.is_initialized().await;
        known.map_err(|error| Error::Stopped(error.to_string()))
    }

    /// Lets this node campaign once no vote that it may have given before its restart counts any more.
    fn campaign_later(self: &Arc<Group>) {
        let group = Arc::downgrade(self);
        let from = self.votes_from;
        tokio::spawn(async move {
            tokio::time::sleep_until(from.into()).await;
            if let Some(group) = group.upgrade() {
                group.raft.runtime_config().elect(true);
            }
        });
    }

    /// Never asks to lead from now on: it is about to end. It still votes.
    pub(crate) fn stop_campaigning(&self) {
        self.raft.runtime_config().elect(false);
    }

    /// True while this node leads and has applied the first entry of its own term: it may begin writers, and answer strong
    /// reads as far as [`Group::catch_up`] says.
    pub(crate) fn serves(&self) -> bool {
        self.leadership.serves()
    }

    /// Waits until [`Group::serves`].
    pub(crate) async fn wait_until_serving(&self) -> Result<(), Error> {
        self.leadership.wait_until_serving().await.map_err(Error::Stopped)
    }

    /// Tells when [`Group::serves`] changes.
    pub(crate) fn leadership_changes(&self) -> tokio::sync::watch::Receiver<bool> {
        self.leadership.changes()
    }

    /// Who leads the group, as far as this member knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        use openraft::async_runtime::watch::WatchReceiver;
        self.raft
            .server_metrics()
            .borrow_watched()
            .current_leader
            .map(NodeId)
    }

    /// Waits until somebody else leads the group, or nobody does.
    pub(crate) fn leader_changed(&self) -> impl Future<Output = ()> + use<> {
        self.changed(|metrics| metrics.current_leader)
    }

    /// Waits until what a part of Raft's metrics says is something else than now; for ever, when the group has stopped.
    pub(super) fn changed<T, P>(&self, part: P) -> impl Future<Output = ()> + use<T, P>
    where
        T: PartialEq,
        P: Fn(&RaftServerMetrics<Types>) -> T,
    {
        use openraft::async_runtime::watch::WatchReceiver;
        let mut metrics = self.raft.server_metrics();
        let before = part(&metrics.borrow_watched());
        async move {
            while part(&metrics.borrow_watched()) == before {
                if metrics.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// False while the log's disk is full: proposals are refused.
    pub(crate) fn has_disk_room(&self) -> bool {
        self.log.is_writable()
    }

    /// Proposes; `on_outcome` is called once if this answers `Ok`, on the task that applies.
    pub(crate) fn propose(
        &self,
        proposal: Proposal,
        on_outcome: impl FnOnce(Outcome) + Send + 'static,
    ) -> Result<(), NotProposed> {
        if !self.serves() {
            return Err(NotProposed::NotLeader);
        }
        if !self.has_disk_room() && !makes_room(&proposal) {
            return Err(NotProposed::DiskFull);
        }
        // `sent` is what tells "was never handed over" from "was handed over and then dropped".
        let sent = Arc::new(AtomicBool::new(false));
        let was_sent = Arc::clone(&sent);
        let proposals = Arc::clone(self.log.proposals());
        proposals.fetch_add(1, Ordering::Relaxed);
        let callback = Callback::new(move |result| {
            proposals.fetch_sub(1, Ordering::Relaxed);
            if result.is_some() || was_sent.load(Ordering::Acquire) {
                on_outcome(outcome(result));
            }
        });
        fail::fail_point!("group::propose");
        sent.store(true, Ordering::Release);
        // Out of tokio's budget for one turn of a task: else a queue with room would seem full to whoever did much without
        // ever waiting. Tested by `a_task_that_never_waits_is_not_refused`.
        let sending = self.raft.client_write_ff(proposal, Some(callback));
        let mut sending = Box::pin(tokio::task::unconstrained(sending));
        match sending.as_mut().now_or_never() {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => {
                // The callback was dropped and has said "unknown" already, which is true and enough.
                Ok(())
            }
            None => {
                // Raft's queue is full. The future still holds the proposal: it was not sent.
                sent.store(false, Ordering::Release);
                drop(sending);
                Err(NotProposed::Overloaded)
            }
        }
    }

    /// Proposes and waits for the state machine's answer.
    pub(crate) async fn write(&self, kind: Kind) -> Result<Option<Version>, Error> {
        let (sender, receiver) = oneshot::channel();
        self.propose(Proposal::new(kind), move |outcome| drop(sender.send(outcome)))
            .map_err(|why| match why {
                NotProposed::NotLeader => Error::NotLeader,
                NotProposed::DiskFull | NotProposed::Overloaded => Error::Stopped(why.to_string()),
            })?;
        match receiver.await.unwrap_or(Outcome::Unknown) {
            Outcome::Applied(Applied::Done(version)) => Ok(version),
            Outcome::Applied(Applied::Nothing) => Ok(None),
            Outcome::Applied(Applied::Refused(refused)) => Err(Error::Refused(refused)),
            Outcome::NotLeader => Err(Error::NotLeader),
            Outcome::Unknown => Err(Error::Unknown),
        }
    }

    /// Index of the newest entry that is applied here.
    pub(crate) fn applied_index(&self) -> LogIndex {
        LogIndex(self.catalog.applied_index.load(Ordering::Acquire))
    }

    /// Waits until `condition` holds; looks whenever something was applied.
    pub(crate) async fn wait_applied(&self, condition: impl Fn() -> bool) {
        use openraft::async_runtime::watch::WatchReceiver;
        let mut metrics = self.raft.data_metrics();
        while !condition() {
            if metrics.changed().await.is_err() {
                // Raft stopped: nothing will be applied any more, and the caller's time-out decides.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What Raft says of itself.
    pub(crate) fn metrics(&self) -> openraft::RaftMetrics<Types> {
        use openraft::async_runtime::watch::WatchReceiver;
        self.raft.metrics().borrow_watched().clone()
    }

    /// Ends the group; what was proposed and has no answer gets "unknown".
    pub(crate) async fn stop(&self) {
        self.leadership.end("the node stops");
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(group = %self.name, %error, "Raft did not stop in order");
        }
    }
}

/// What lets overlay, local snapshots, log and object store become smaller, in a few bytes: on a full disk it goes into
/// the log's reserve. Refused, it would be missing for ever, and no room would ever come.
fn makes_room(proposal: &Proposal) -> bool {
    match &proposal.command.kind {
        Some(
            Kind::Materialized(_) | Kind::Unpin(_) | Kind::Drop(_) | Kind::Purged(_) | Kind::Archived(_),
        ) => true,
        // Drops the parts of a transaction that failed.
        Some(Kind::Pages(part)) => part.pages.is_empty(),
        _ => false,
    }
}

fn outcome(result: Option<WriteResult>) -> Outcome {
    match result {
        Some(Ok(response)) => Outcome::Applied(response.data),
        Some(Err(ClientWriteError::ForwardToLeader(_))) => Outcome::NotLeader,
        Some(Err(_)) | None => Outcome::Unknown,
    }
}

fn raft_config(name: &GroupName) -> openraft::Config {
    openraft::Config {
        cluster_name: name.to_string(),
        heartbeat_interval: 100,
        election_timeout_min: 150,
        // openraft's followers keep their vote for as long.
        election_timeout_max: LEASE.as_millis() as u64,
        enable_pre_vote: Some(true),
        // Until the votes of an earlier life are forgotten: see `campaign_later`.
        enable_elect: false,
        snapshot_policy: SnapshotPolicy::Never,
        // `Group::purge` decides.
        max_in_snapshot_log_to_keep: u64::MAX,
        // INVARIANT: a restarted node leads by a new term only. Restored to its old one it would lead before it has
        // applied what it acknowledged: the log knows of commits only up to the append before the last, and
        // `Leadership` would take an older entry of the same term for the term's first. Tested by
        // `a_restarted_server_answers_only_when_what_it_acknowledged_is_applied`.
        enable_leader_restore: Some(false),
        ..openraft::Config::default()
    }
}
