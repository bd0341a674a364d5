//! What a connection of a database reads and commits to: the published snapshot, or with the writer's turn
//! the head.

use super::queue::Queue;
use crate::overlay::{Patience, SnapshotView};
use crate::sql::Observer;
use crate::vfs::{Backend, Batch, ReadError, Refusal, View};
use orion_api::Version;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Backend of one connection.
pub(super) struct ConnectionBackend {
    queue: Arc<Queue>,
    has_turn: AtomicBool,
    /// Views must not wait for the object store.
    is_brief: AtomicBool,
    began: Mutex<Began>,
}

/// Where the connection's present transaction began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Began {
    /// None began yet.
    Nowhere,
    /// On a published version.
    Published(Version),
    /// On the writer's newest step.
    Head { generation: u64, step: u64 },
}

impl ConnectionBackend {
    pub(super) fn new(queue: Arc<Queue>) -> Arc<ConnectionBackend> {
        Arc::new(ConnectionBackend {
            queue,
            has_turn: AtomicBool::new(false),
            is_brief: AtomicBool::new(false),
            began: Mutex::new(Began::Nowhere),
        })
    }

    /// Gives or takes the writer's turn. Only while nothing runs on the connection.
    pub(super) fn set_turn(&self, has_turn: bool) {
        self.has_turn.store(has_turn, Ordering::Release);
    }

    /// Says whether transactions that begin from now on may wait for the object store.
    pub(super) fn set_brief(&self, is_brief: bool) {
        self.is_brief.store(is_brief, Ordering::Relaxed);
    }

    /// The newest published version that the connection read, if it did not read the head.
    pub(super) fn read_version(&self) -> Option<Version> {
        match *self.began.lock() {
            Began::Published(version) => Some(version),
            Began::Nowhere | Began::Head { .. } => None,
        }
    }

    fn patience(&self) -> Patience {
        if self.is_brief.load(Ordering::Relaxed) {
            Patience::None
        } else {
            Patience::ForBase
        }
    }

    /// Who counts what runs on the connection.
    pub(super) fn observer(&self) -> Observer {
        self.queue.observer()
    }

    fn holds_turn(&self) -> bool {
        self.has_turn.load(Ordering::Acquire)
    }
}

impl Backend for ConnectionBackend {
    fn begin(&self) -> Result<Arc<dyn View>, ReadError> {
        if self.holds_turn() {
            let (view, began) = self.queue.head_view(self.patience());
            *self.began.lock() = began;
            return Ok(Arc::new(view));
        }
        let snapshot = self.queue.database.published.load_full();
        *self.began.lock() = Began::Published(snapshot.version);
        Ok(Arc::new(SnapshotView {
            snapshot,
            pages: Arc::clone(&self.queue.group.pages),
            patience: self.patience(),
        }))
    }

    fn reserve(&self, _view: &Arc<dyn View>) -> Result<(), Refusal> {
        if !self.holds_turn() {
            return Err(Refusal::NoTurn);
        }
        self.queue.check_newest(*self.began.lock())
    }

    fn commit(&self, batch: Batch) -> Result<Arc<dyn View>, Refusal> {
        fail::fail_point!("queue::commit");
        if !self.holds_turn() {
            return Err(Refusal::NoTurn);
        }
        let mut began = self.began.lock();
        let (view, now) = self.queue.step(*began, batch, self.patience())?;
        *began = now;
        Ok(Arc::new(view))
    }

    fn release(&self) {}
}
