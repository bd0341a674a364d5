//! The way back from Raft: a closure, called on the task that applied the entry.
//!
//! A channel would cost a wake-up of one more task for each entry; the closure answers the waiting requests
//! right there. It must not block.

use super::Types;
use openraft::raft::responder::Responder;

/// Called exactly once: with the outcome, or with `None` when Raft stops without saying one.
pub struct Callback<T>(Option<Box<dyn FnOnce(Option<T>) + Send>>);

impl<T> Callback<T> {
    /// Calls `on_complete` with the outcome.
    pub(crate) fn new(on_complete: impl FnOnce(Option<T>) + Send + 'static) -> Callback<T> {
        Callback(Some(Box::new(on_complete)))
    }

    fn call(&mut self, outcome: Option<T>) {
        if let Some(on_complete) = self.0.take() {
            on_complete(outcome);
        }
    }
}

impl<T> Drop for Callback<T> {
    fn drop(&mut self) {
        self.call(None);
    }
}

impl<T: Send + 'static> Responder<Types, T> for Callback<T> {
    fn on_complete(mut self, result: T) {
        self.call(Some(result));
    }
}
