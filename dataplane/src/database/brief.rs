//! Running on a thread that serves connections: for a short while, and without waiting for the object store.

use super::backend::ConnectionBackend;
use crate::sql::Connection;
use std::time::{Duration, Instant};

/// How long a request may hold up the thread that serves its connection.
pub(super) const BRIEF: Duration = Duration::from_micros(300);

/// Runs `work` on the connection, which gives up at `until` and where a page is not in memory
/// ([`super::Progress::NeedsPatience`]).
pub(super) fn briefly<R>(
    connection: &mut Connection,
    backend: &ConnectionBackend,
    until: Instant,
    work: impl FnOnce(&mut Connection) -> R,
) -> R {
    backend.set_brief(true);
    connection.set_brief(Some(until));
    let result = work(connection);
    connection.set_brief(None);
    backend.set_brief(false);
    result
}
