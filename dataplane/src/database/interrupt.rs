//! Ends what a request runs when nobody waits for it any more: its client went away, or its server stops.

use crate::sql::{Connection, InterruptHandle};
use parking_lot::Mutex;
use std::sync::Arc;

type Running = Arc<Mutex<Option<InterruptHandle>>>;

/// Kept by the one who waits. Dropped while the work runs, it ends the statement at hand.
pub(super) struct Waiter(Running);

/// Goes with the work.
pub(super) struct Interruptible(Running);

/// The two ends.
pub(super) fn interruptible() -> (Waiter, Interruptible) {
    let running = Running::default();
    (Waiter(Arc::clone(&running)), Interruptible(running))
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(handle) = &*self.0.lock() {
            handle.interrupt();
        }
    }
}

impl Interruptible {
    /// Runs `work`, unless nobody waits for it even now. Nothing is interrupted once this has returned.
    pub(super) fn run<R>(
        &self,
        connection: &mut Connection,
        is_awaited: impl FnOnce() -> bool,
        work: impl FnOnce(&mut Connection) -> R,
    ) -> Option<R> {
        // First the handle, then the question: whoever goes away in between ends the statement.
        *self.0.lock() = Some(connection.interrupt_handle());
        let result = is_awaited().then(|| work(connection));
        *self.0.lock() = None;
        result
    }
}
