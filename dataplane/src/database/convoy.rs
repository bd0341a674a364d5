//! The parts of a transaction that is too large for one entry, on their way into the log.
//!
//! A few are in the air at a time, so that the entries of other databases, and heartbeats, are behind those few and not behind
//! all of a transaction of 256 MiB.
//!
//! INVARIANT: parts are proposed in their order, and the commit after all of them. A part that is refused ends the convoy:
//! the commit is never proposed, so nothing of the transaction is ever seen.

use super::Error;
use super::queue::{landing, not_proposed};
use crate::entry::{Kind, Pages as Part, Proposal};
use crate::group::{Group, Outcome};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Parts in the air: one is made durable while the next one is sent.
const IN_THE_AIR: usize = 2;

/// Where a convoy is.
pub(super) struct Convoy {
    group: Arc<Group>,
    /// Counts parts that are in the log.
    arrivals: Arc<AtomicU64>,
    state: Mutex<State>,
}

type End = dyn FnOnce(Result<(), Error>) + Send;

struct State {
    parts: std::vec::IntoIter<Part>,
    /// Parts that may be proposed.
    permits: usize,
    /// Somebody proposes parts, and goes on with whatever comes to be permitted.
    is_proposing: bool,
    failed: Option<Error>,
    /// Called once: when all parts are proposed, or one is not.
    end: Option<Box<End>>,
}

impl Convoy {
    /// Proposes the parts; `arrivals` counts those that are in the log, and `end` hears when all are proposed, or why the
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
            state: Mutex::new(State {
                parts: parts.into_iter(),
                permits: 0,
                is_proposing: false,
                failed: None,
                end: Some(Box::new(end)),
            }),
        });
        convoy.go_on(IN_THE_AIR);
    }

    /// So many more parts may be proposed.
    fn go_on(self: &Arc<Convoy>, permits: usize) {
        let mut state = self.state.lock();
        state.permits += permits;
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
                state.failed = Some(not_proposed(why));
            }
        }
        state.is_proposing = false;
        let result = match state.failed.take() {
            Some(error) => Err(error),
            None if state.parts.as_slice().is_empty() => Ok(()),
            None => return,
        };
        let end = state.end.take();
        drop(state);
        if let Some(end) = end {
            end(result);
        }
    }

    fn arrived(self: &Arc<Convoy>, outcome: Outcome) {
        match landing(outcome) {
            Ok(()) => drop(self.arrivals.fetch_add(1, Ordering::Relaxed)),
            Err(error) => self.state.lock().failed = Some(error),
        }
        self.go_on(1);
    }
}
