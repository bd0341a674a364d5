//! Ends what a request runs when nobody waits for it any more: its client went away, or its server stops.

use crate::sql::{Connection, InterruptHandle};
use parking_lot::Mutex;
use std::sync::Arc;

/// What a request runs at the moment, if it runs.
#[derive(Default)]
pub(super) struct Running(Mutex<Option<InterruptHandle>>);

/// Kept by the one who waits. Dropped while the work runs, it ends the statement at hand and those after it.
pub(super) struct Waiter(Arc<Running>);

/// The two ends: the second goes with the work.
pub(super) fn interruptible() -> (Waiter, Arc<Running>) {
    let running = Arc::<Running>::default();
    (Waiter(Arc::clone(&running)), running)
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

impl Running {
    pub(super) fn interrupt(&self) {
        if let Some(handle) = &*self.0.lock() {
            handle.interrupt();
        }
    }

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
        connection.clear_interrupt();
        result
    }
}
