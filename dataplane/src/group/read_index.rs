//! Strong reads: up to where must be applied here before one may be answered.
//!
//! The leader knows by its lease, or asks a quorum. A follower asks the leader; all that wait at a time share one
//! question. Source: Ongaro, "Consensus: bridging theory and practice", 6.4.
//!
//! INVARIANT: the index is taken after the read was asked for, and holds everything that was acknowledged or shown to anybody
//! before. Writes are acknowledged when the leader has applied them. But a follower may have applied more than the leader,
//! as soon as it was told that it is committed, and have shown it: so on a certain leader what was told counts too. Tested by
//! `what_a_follower_showed_the_leader_shows_too`.

use super::{Error, Group};
use crate::clock::Boottime;
use crate::peer::wire::{ReadAt, ReadIndex};
use orion_api::LogIndex;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the leader has to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// The questions of a follower.
#[derive(Debug, Default)]
pub(super) struct ReadIndexes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody asks now; whoever came later waits for the next question.
    asking: bool,
    waiting: Vec<oneshot::Sender<Option<Confirmed>>>,
    newest: Option<Confirmed>,
}

/// The leader's answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirmed {
    /// When it was asked, by this node's clock.
    ///
    /// INVARIANT: a copy gets older while the machine sleeps. Tested by `a_copy_gets_older_while_its_machine_sleeps`.
    asked: Boottime,
    index: LogIndex,
}

/// The newest entry that anybody may have shown or acknowledged, where this node leads for certain.
pub(super) fn newest(applied: LogIndex, told: LogIndex) -> LogIndex {
    applied.max(told)
}

impl Group {
    /// True if a strong read may be answered from what is applied here, at once.
    pub(crate) fn is_current(&self) -> bool {
        self.leadership.is_certain() && self.applied_index() >= self.leadership.told()
    }

    /// Waits until everything is applied here that was acknowledged before the call. With `by_quorum` a quorum is asked,
    /// also where a lease would do.
    pub(crate) async fn catch_up(self: &Arc<Group>, by_quorum: bool) -> Result<(), Error> {
        if !by_quorum && self.leadership.is_certain() {
            let told = self.leadership.told();
            self.wait_applied(|| self.applied_index() >= told).await;
            return Ok(());
        }
        if self.serves() {
            return self.barrier().await;
        }
        let confirmed = match by_quorum {
            true => self.ask_leader(ReadIndex { by_quorum }).await,
            false => self.shared_question().await,
        };
        let index = confirmed.ok_or(Error::NotLeader)?.index;
        self.wait_applied(|| self.applied_index() >= index).await;
        Ok(())
    }

    /// How long ago this copy was certainly the newest: the leader was asked then, and what it answered is applied. Zero on a
    /// certain leader.
    pub(crate) fn staleness(&self) -> Option<Duration> {
        if self.is_current() {
            return Some(Duration::ZERO);
        }
        let confirmed = self.read_indexes.state.lock().newest?;
        (self.applied_index() >= confirmed.index).then(|| confirmed.asked.elapsed())
    }

    /// A quorum confirmed, after this was called, that this node leads; everything that was shown or acknowledged before is
    /// applied here.
    pub(crate) async fn barrier(&self) -> Result<(), Error> {
        // In this order: what was shown until now this leader or an earlier one told, if nobody else led when it was asked.
        let asked = Boottime::now();
        let term = self.leadership.serving().ok_or(Error::NotLeader)?;
        let index = newest(self.applied_index(), self.leadership.told());
        let heartbeat = self.raft.trigger().heartbeat().await;
        heartbeat.map_err(|_| Error::NotLeader)?;
        let confirmed = tokio::time::timeout(ANSWER, self.leadership.confirmed(term, asked)).await;
        if confirmed != Ok(true) {
            return Err(Error::NotLeader);
        }
        self.wait_applied(|| self.applied_index() >= index).await;
        Ok(())
    }

    /// As the leader, for a follower.
    pub(super) async fn read_at(&self, question: ReadIndex) -> Result<ReadAt, Error> {
        let index = newest(self.applied_index(), self.leadership.told());
        // The index first: while the lease held nobody else acknowledged anything.
        if !question.by_quorum && self.leadership.is_certain() {
            return Ok(ReadAt { index: index.0 });
        }
        if !self.serves() {
            return Err(Error::NotLeader);
        }
        self.barrier().await?;
        Ok(ReadAt {
            index: self.applied_index().0,
        })
    }

    async fn shared_question(self: &Arc<Group>) -> Option<Confirmed> {
        let (sender, receiver) = oneshot::channel();
        let begins = {
            let state = &mut *self.read_indexes.state.lock();
            state.waiting.push(sender);
            !std::mem::replace(&mut state.asking, true)
        };
        if begins {
            let group = Arc::clone(self);
            tokio::spawn(async move { group.answer_waiting().await });
        }
        receiver.await.ok().flatten()
    }

    /// Asks as long as somebody waits.
    async fn answer_waiting(&self) {
        loop {
            let waiting = {
                let state = &mut *self.read_indexes.state.lock();
                if state.waiting.is_empty() {
                    state.asking = false;
                    return;
                }
                std::mem::take(&mut state.waiting)
            };
            let confirmed = self.ask_leader(ReadIndex { by_quorum: false }).await;
            for sender in waiting {
                // Whoever left does not want to know.
                let _ = sender.send(confirmed);
            }
        }
    }

    async fn ask_leader(&self, question: ReadIndex) -> Option<Confirmed> {
        let peers = self.peers.as_ref()?;
        let link = peers.links.to(self.leader()?)?;
        let asked = Boottime::now();
        let request = link.request(Some((&self.name, self.incarnation)), question);
        let mut control = link.control.clone();
        let answer = tokio::time::timeout(ANSWER, control.read_index(request))
            .await
            .ok()?;
        let confirmed = Confirmed {
            asked,
            index: LogIndex(answer.ok()?.into_inner().index),
        };
        let newest = &mut self.read_indexes.state.lock().newest;
        if newest.is_none_or(|newest| newest.asked < asked) {
            *newest = Some(confirmed);
        }
        Some(confirmed)
    }
}
