//! The parts of a transaction that is too large for one entry, on their way into the log.
//!
//! A few are in the air at a time, so that the entries of other databases, and heartbeats, are behind those few and not behind
//! all of a transaction of 256 MiB.
//!
//! INVARIANT: parts are proposed in their order, and the commit after all of them. A part that is refused ends the convoy:
//! the commit is never proposed, so nothing of the transaction is ever seen, and the parts that members have are dropped.
//! Tested by `a_convoy_ends_with_the_first_part_that_is_refused`.

use super::Error;
use super::queue::{landing, not_proposed};
use crate::entry::{Kind, Pages as Part, Proposal};
use crate::group::{Group, Outcome};
use crate::raft::Applied;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Parts in the air: one is made durable while the next one is sent.
const IN_THE_AIR: usize = 2;

/// Where a convoy is.
pub(super) struct Convoy {
    group: Arc<Group>,
    /// Counts parts that were applied.
    arrivals: Arc<AtomicU64>,
    /// Says to members that no more parts come.
    nothing_more: Part,
    state: Mutex<State>,
}

type End = dyn FnOnce(Result<(), Error>) + Send;

struct State {
    parts: std::vec::IntoIter<Part>,
    /// Parts that may be proposed.
    permits: usize,
    /// Somebody proposes parts, and goes on with whatever comes to be permitted.
    is_proposing: bool,
    /// From then on nothing more is proposed.
    failed: Option<Error>,
    /// Called once: when all parts are proposed, or one is not.
    end: Option<Box<End>>,
}

impl Convoy {
    /// Proposes the parts; `arrivals` counts those that were applied, and `end` hears when all are proposed, or why the
    /// transaction cannot go on.
    pub(super) fn set_out(
        group: Arc<Group>,
        arrivals: Arc<AtomicU64>,
        parts: Vec<Part>,
        end: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        let convoy = Arc::new(Convoy {
            group,
            arrivals,
            nothing_more: parts.first().map(abandoned).unwrap_or_default(),
            state: Mutex::new(State {
                parts: parts.into_iter(),
                permits: IN_THE_AIR,
                is_proposing: false,
                failed: None,
                end: Some(Box::new(end)),
            }),
        });
        convoy.go_on(convoy.state.lock());
    }

    fn go_on(self: &Arc<Convoy>, mut state: MutexGuard<'_, State>) {
        if state.is_proposing {
            return;
        }
        state.is_proposing = true;
        while state.failed.is_none()
            && state.permits > 0
            && let Some(part) = state.parts.next()
        {
            state.permits -= 1;
            let convoy = Arc::clone(self);
            // An outcome may come before this returns.
            let proposed = MutexGuard::unlocked(&mut state, || {
                let outcome = move |outcome| convoy.arrived(outcome);
                self.group.propose(Proposal::new(Kind::Pages(part)), outcome)
            });
            if let Err(why) = proposed {
                state.failed = Some(not_proposed(&self.group, why));
            }
        }
        state.is_proposing = false;
        let result = match &state.failed {
            Some(error) => Err(error.clone()),
            None if state.parts.as_slice().is_empty() => Ok(()),
            None => return,
        };
        // What is left of a transaction that failed is of no use.
        state.parts = Vec::new().into_iter();
        let end = state.end.take();
        drop(state);
        let Some(end) = end else { return };
        if result.is_err() {
            // Where this is not taken either, a new leader's first entry does the same.
            let proposal = Proposal::new(Kind::Pages(self.nothing_more.clone()));
            let _ = self.group.propose(proposal, drop);
        }
        end(result);
    }

    fn arrived(self: &Arc<Convoy>, outcome: Outcome) {
        let mut state = self.state.lock();
        match outcome {
            Outcome::Applied(Applied::Done(_) | Applied::Nothing) => {
                self.arrivals.fetch_add(1, Ordering::Relaxed);
                state.permits += 1;
            }
            Outcome::Applied(_) => state.failed = landing(&self.group, outcome).err(),
            // Without its parts the commit could only be refused: it is not proposed, if it was not yet.
            Outcome::NotLeader | Outcome::Unknown => {
                let message = "this node does not lead the group any more; nothing was applied";
                state.failed = Some(Error::not_leader(&self.group, message));
            }
        }
        self.go_on(state);
    }
}

/// A first part of a transaction that has no other: whoever applies it drops the parts of the one before.
fn abandoned(part: &Part) -> Part {
    Part {
        database: part.database.clone(),
        epoch: part.epoch,
        transaction: part.transaction,
        part: 0,
        pages: Vec::new(),
    }
}
