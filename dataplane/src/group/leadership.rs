//! Whether this node leads its group, and until when that is certain.

use super::Machine;
use crate::clock::Boottime;
use crate::peer::Peers;
use crate::raft::{Lease, Types};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Raft, ServerState};
use orion_api::{LogIndex, NodeId};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// What follows from Raft's state for whoever serves.
#[derive(Debug)]
pub(super) struct Leadership {
    /// The term in which it leads and serves; 0 for none.
    serving: AtomicU64,
    term: AtomicU64,
    /// The term in which this node stopped leading of its own will; 0 for none.
    given_away: AtomicU64,
    /// This incarnation of the group is over.
    retired: AtomicBool,
    changed: watch::Sender<bool>,
    /// Why Raft stopped, once it has.
    stopped: OnceLock<String>,
    lease: Arc<Lease>,
}

impl Leadership {
    /// Follows Raft until it stops. Where members are is told to `peers`.
    pub(super) fn watch(
        raft: &Raft<Types, Machine>,
        lease: Arc<Lease>,
        peers: Option<Arc<Peers>>,
    ) -> Arc<Leadership> {
        let leadership = Arc::new(Leadership {
            serving: AtomicU64::new(0),
            term: AtomicU64::new(0),
            given_away: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            changed: watch::channel(false).0,
            stopped: OnceLock::new(),
            lease,
        });
        let mut metrics = raft.metrics();
        let watched = Arc::clone(&leadership);
        tokio::spawn(async move {
            // Metrics change with every entry, members seldom.
            let mut known = None;
            loop {
                {
                    let metrics = metrics.borrow_watched();
                    let members = &metrics.membership_config;
                    let found = Some((metrics.current_term, metrics.state, *members.log_id()));
                    if std::mem::replace(&mut known, found) != found {
                        watched.note_members(&metrics);
                        if let Some(peers) = &peers {
                            for (id, node) in members.membership().nodes() {
                                peers.links.learn_from_membership(NodeId(*id), &node.address);
                            }
                        }
                    }
                    if let Err(fatal) = &metrics.running_state {
                        return watched.end(&fatal.to_string());
                    }
                    watched.note(&metrics);
                }
                if metrics.changed().await.is_err() {
                    return watched.end("it was dropped");
                }
            }
        });
        leadership
    }

    /// INVARIANT: true only for a leader that has applied an entry of its own term: with it everything that was acknowledged
    /// in earlier terms is applied.
    fn note(&self, metrics: &openraft::RaftMetrics<Types>) {
        let term = metrics.current_term;
        let leads = metrics.state == ServerState::Leader;
        let now = leads && metrics.last_applied.is_some_and(|id| id.leader_id.term == term);
        self.term.store(term, Ordering::Release);
        let is_over = self.retired.load(Ordering::Acquire) || self.given_away.load(Ordering::Acquire) == term;
        self.say(if now && !is_over { term } else { 0 });
    }

    fn note_members(&self, metrics: &openraft::RaftMetrics<Types>) {
        if metrics.state == ServerState::Leader {
            let voters = metrics.membership_config.membership().get_joint_config().clone();
            self.lease.set_voters(metrics.current_term, voters);
        }
    }

    fn say(&self, serving: u64) {
        self.serving.store(serving, Ordering::Release);
        let serves = serving != 0;
        self.changed
            .send_if_modified(|before| std::mem::replace(before, serves) != serves);
    }

    /// The group stops. Whoever waits is told.
    pub(super) fn end(&self, why: &str) {
        // The first reason is the one.
        let _ = self.stopped.set(why.to_owned());
        self.serving.store(0, Ordering::Release);
        self.changed.send_replace(false);
    }

    pub(super) fn serves(&self) -> bool {
        self.serving().is_some()
    }

    /// The term in which this node leads and serves.
    pub(super) fn serving(&self) -> Option<u64> {
        let term = self.serving.load(Ordering::Acquire);
        (term != 0).then_some(term)
    }

    /// True if this node leads, and nobody else can have been elected yet.
    ///
    /// INVARIANT: it serves the very term that the lease is of. What Raft says of itself arrives here a moment later: in
    /// between, a node may have been replaced and have won a new term, in which it has applied nothing yet.
    pub(super) fn is_certain(&self) -> bool {
        self.serving().is_some_and(|term| self.lease.holds(term))
    }

    /// The newest index that anybody else may have applied, where this node [is certain](Leadership::is_certain).
    pub(super) fn told(&self) -> LogIndex {
        LogIndex(self.lease.told())
    }

    /// Waits until a quorum confirms, in `term`, that nobody else led at `asked`; false if it will not.
    pub(super) async fn confirmed(&self, term: u64, asked: Boottime) -> bool {
        let mut changed = self.changed.subscribe();
        tokio::select! {
            confirmed = self.lease.confirmed(term, asked) => confirmed,
            _ = changed.wait_for(|serves| !serves) => false,
        }
    }

    /// Another node may be elected at once: this one serves no more in this term, and what was certain is so no more.
    pub(super) fn give_away(&self) {
        let term = self.term.load(Ordering::Acquire);
        self.given_away.store(term, Ordering::Release);
        self.lease.give_away(term);
        self.say(0);
    }

    /// Asks a quorum for each strong read from now on, as long as this term lasts.
    ///
    /// INVARIANT: a leader that is to vote no more trusts no lease: where one voter stays, openraft elects it at once,
    /// whatever it has promised. Tested by `a_leader_that_stops_voting_trusts_no_lease`.
    pub(super) fn stop_trusting(&self) {
        self.lease.give_away(self.term.load(Ordering::Acquire));
    }

    /// Serves no more, whatever Raft says.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.lease.give_away(self.term.load(Ordering::Acquire));
        self.say(0);
    }

    /// Nobody took it: this node goes on, and asks a quorum for each strong read.
    pub(super) fn take_back(&self) {
        self.given_away.store(0, Ordering::Release);
    }

    /// Waits until this node serves; else why the group stopped.
    pub(super) async fn wait_until_serving(&self) -> Result<(), String> {
        let mut changed = self.changed.subscribe();
        let either = changed.wait_for(|serves| *serves || self.stopped.get().is_some());
        let serves = either.await.is_ok_and(|serves| *serves);
        match self.stopped.get() {
            None if serves => Ok(()),
            why => Err(why.cloned().unwrap_or_default()),
        }
    }

    /// Tells of each change.
    pub(super) fn changes(&self) -> watch::Receiver<bool> {
        self.changed.subscribe()
    }
}
