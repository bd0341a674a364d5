//! The handle to a group: start, propose, lead, snapshot, stop.

use super::{Catalog, Error, Machine};
use crate::entry::{Kind, Proposal};
use crate::log::{Disk, GroupLog};
use crate::overlay::Pages;
use crate::raft::{Applied, Callback, Solitary, Types, WriteResult};
use futures::FutureExt;
use openraft::errors::ClientWriteError;
use openraft::{Raft, ReadPolicy, ServerState, SnapshotPolicy};
use orion_api::{GroupName, LogIndex, NodeId, Version};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How a group is kept.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Bytes applied since the last local snapshot after which there is a new one.
    pub(crate) snapshot_log_bytes: u64,
    /// Age of the last local snapshot after which there is a new one, if anything was applied.
    pub(crate) snapshot_age: Duration,
}

impl Default for Options {
    fn default() -> Options {
        // 64 MiB replay in well under a second; the file is written in the background.
        Options {
            snapshot_log_bytes: 64 << 20,
            snapshot_age: Duration::from_secs(600),
        }
    }
}

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

/// A running group.
pub(crate) struct Group {
    pub(crate) name: GroupName,
    pub(crate) node: NodeId,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) pages: Arc<Pages>,
    raft: Raft<Types, Machine>,
    log: GroupLog,
    serves: Arc<AtomicBool>,
    serves_changed: watch::Receiver<bool>,
    snapshot_bytes: AtomicU64,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Group {
    /// Starts the group on this node; makes it, with this node as its only voter, if the log knows nothing
    /// of it.
    pub(crate) async fn start(
        name: GroupName,
        node: NodeId,
        disk: &Disk,
        dir: &Path,
        pages: Arc<Pages>,
    ) -> Result<Arc<Group>, Error> {
        let dir = dir.join(name.as_str());
        std::fs::create_dir_all(&dir).map_err(|source| Error::Io {
            what: "create",
            path: dir.clone(),
            source,
        })?;
        let catalog = Arc::new(Catalog::default());
        let machine = Machine::new(Arc::clone(&catalog), Arc::clone(&pages), dir.join("snapshot"));
        let log = disk.group(name.as_str());
        let stopped = |error: &dyn std::fmt::Display| Error::Stopped(error.to_string());
        let config = raft_config(&name).validate().map_err(|error| stopped(&error))?;
        let raft = Raft::new(node.0, Arc::new(config), Solitary, log.clone(), machine);
        let raft = raft.await.map_err(|error| stopped(&error))?;
        if raft.is_initialized().await.map_err(|error| stopped(&error))? {
            // The only voter need not wait for a leader that cannot be.
            raft.trigger()
                .elect(false)
                .await
                .map_err(|error| stopped(&error))?;
        } else {
            let members = BTreeMap::from([(node.0, openraft::impls::BasicNode::default())]);
            raft.initialize(members).await.map_err(|error| stopped(&error))?;
        }
        let serves = Arc::new(AtomicBool::new(false));
        let serves_changed = watch_leadership(&raft, Arc::clone(&serves));
        Ok(Arc::new(Group {
            name,
            node,
            catalog,
            pages,
            raft,
            log,
            serves,
            serves_changed,
            snapshot_bytes: AtomicU64::new(0),
        }))
    }

    /// True while this node leads and has applied the first entry of its own term: it may answer strong
    /// reads and begin writers.
    pub(crate) fn serves(&self) -> bool {
        self.serves.load(Ordering::Acquire)
    }

    /// Waits until [`Group::serves`].
    pub(crate) async fn wait_until_serving(&self) -> Result<(), Error> {
        let mut changed = self.serves_changed.clone();
        changed
            .wait_for(|serves| *serves)
            .await
            .map(drop)
            .map_err(|_| Error::Stopped("while starting".to_owned()))
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
        let mut sending = Box::pin(self.raft.client_write_ff(proposal, Some(callback)));
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

    /// A quorum confirmed, after this was called, that this node leads; everything committed before is
    /// applied here.
    pub(crate) async fn barrier(&self) -> Result<(), Error> {
        match self.raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::NotLeader),
        }
    }

    /// Writes a local snapshot and lets the log up to it go, whenever there is enough of it.
    pub(crate) async fn keep_log_short(self: Arc<Group>, options: Options, stop: CancellationToken) {
        let mut last = Instant::now();
        // What a snapshot that was asked for will hold: bytes applied, and the index that says that it is there.
        let mut asked: Option<(u64, u64)> = None;
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let written = self.metrics().snapshot.map(|id| id.index);
            if let Some((bytes, _)) = asked.take_if(|(_, index)| written.is_some_and(|is| is >= *index)) {
                self.snapshot_bytes.store(bytes, Ordering::Relaxed);
                last = Instant::now();
            }
            let applied = self.catalog.applied_bytes.load(Ordering::Relaxed);
            let since = applied - self.snapshot_bytes.load(Ordering::Relaxed);
            let is_old = last.elapsed() >= options.snapshot_age;
            // On a full disk the log's oldest segments may be all the room that there is.
            let lacks_room = !self.log.is_writable();
            if since < options.snapshot_log_bytes && !(since > 0 && (is_old || lacks_room)) {
                continue;
            }
            // While Raft writes one, it takes no notice: that one may have begun before, so it is asked again.
            asked.get_or_insert((applied, self.applied_index().0));
            if let Err(error) = self.raft.trigger().snapshot().await {
                tracing::error!(group = %self.name, %error, "no local snapshot");
            }
        }
    }

    /// Writes a local snapshot now and waits for it.
    pub(crate) async fn snapshot(&self) -> Result<(), Error> {
        let index = self.catalog.applied_index.load(Ordering::Acquire);
        let stopped = |error: &dyn std::fmt::Display| Error::Stopped(error.to_string());
        self.raft
            .trigger()
            .snapshot()
            .await
            .map_err(|error| stopped(&error))?;
        let wait = self.raft.wait(Some(Duration::from_secs(60)));
        let done = wait.metrics(
            |metrics| metrics.snapshot.is_some_and(|id| id.index >= index),
            "local snapshot",
        );
        done.await.map(drop).map_err(|error| stopped(&error))
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
        self.serves.store(false, Ordering::Release);
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(group = %self.name, %error, "Raft did not stop in order");
        }
    }
}

/// What lets overlay, local snapshots, log and object store become smaller, in a few bytes: on a full disk it goes into
/// the log's reserve. Refused, it would be missing for ever, and no room would ever come.
fn makes_room(proposal: &Proposal) -> bool {
    matches!(
        proposal.command.kind,
        Some(Kind::Materialized(_) | Kind::Unpin(_) | Kind::Drop(_) | Kind::Purged(_))
    )
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
        election_timeout_min: 500,
        election_timeout_max: 1000,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        // INVARIANT: a restarted node leads by a new term only. Restored to its old one it would lead before it has
        // applied what it acknowledged: the log knows of commits only up to the append before the last, and
        // `watch_leadership` would take an older entry of the same term for the term's first. Tested by
        // `a_restarted_server_answers_only_when_what_it_acknowledged_is_applied`.
        enable_leader_restore: Some(false),
        ..openraft::Config::default()
    }
}

/// Keeps `serves` true exactly while Raft says that this node leads and has applied an entry of its term.
fn watch_leadership(raft: &Raft<Types, Machine>, serves: Arc<AtomicBool>) -> watch::Receiver<bool> {
    use openraft::async_runtime::watch::WatchReceiver;
    let (sender, receiver) = watch::channel(false);
    let mut metrics = raft.metrics();
    let task = async move {
        loop {
            let now = {
                let metrics = metrics.borrow_watched();
                metrics.running_state.is_ok()
                    && metrics.state == ServerState::Leader
                    && metrics
                        .last_applied
                        .is_some_and(|id| id.leader_id.term == metrics.current_term)
            };
            serves.store(now, Ordering::Release);
            sender.send_if_modified(|before| std::mem::replace(before, now) != now);
            if metrics.changed().await.is_err() {
                serves.store(false, Ordering::Release);
                return;
            }
        }
    };
    tokio::spawn(task);
    receiver
}
