//! A backend in memory for tests: every version of a database, pending ones that only writers see, and
//! refusals and faults that a test asks for.

use super::{Backend, Batch, ReadError, Refusal, View};
use crate::page::{Extent, Image, PageNo};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One version, immutable.
pub(crate) struct Version {
    number: u64,
    extent: Extent,
    pages: BTreeMap<PageNo, Image>,
    unreadable: Option<PageNo>,
}

/// A database with all its versions; clones share it.
#[derive(Clone)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
}

struct State {
    /// Ascending; `durable` is an index into it, those above are pending.
    versions: Vec<Arc<Version>>,
    durable: usize,
    reserved: bool,
    keep_pending: bool,
    refuse_commit: Option<Refusal>,
    panic_at_commit: bool,
    refuse_reserve: Option<Refusal>,
    fail_begin: Option<ReadError>,
    batches: Vec<Batch>,
}

/// One connection's end. A writer sees pending versions, a reader does not.
pub(crate) struct MemoryBackend {
    state: Arc<Mutex<State>>,
    writer: bool,
}

impl Memory {
    /// An empty database.
    pub(crate) fn new() -> Memory {
        let empty = Version {
            number: 0,
            extent: Extent::EMPTY,
            pages: BTreeMap::new(),
            unreadable: None,
        };
        Memory {
            state: Arc::new(Mutex::new(State {
                versions: vec![Arc::new(empty)],
                durable: 0,
                reserved: false,
                keep_pending: false,
                refuse_commit: None,
                panic_at_commit: false,
                refuse_reserve: None,
                fail_begin: None,
                batches: Vec::new(),
            })),
        }
    }

    /// A backend that reads the newest version, pending or not, and writes.
    pub(crate) fn writer(&self) -> Arc<dyn Backend> {
        self.backend(true)
    }

    /// A backend that reads the newest durable version and has no turn.
    pub(crate) fn reader(&self) -> Arc<dyn Backend> {
        self.backend(false)
    }

    fn backend(&self, writer: bool) -> Arc<dyn Backend> {
        Arc::new(MemoryBackend {
            state: Arc::clone(&self.state),
            writer,
        })
    }

    /// Commits stay pending until [`Memory::publish`] from now on.
    pub(crate) fn keep_pending(&self) {
        self.state.lock().keep_pending = true;
    }

    /// Everything that is pending becomes durable.
    pub(crate) fn publish(&self) {
        self.state.lock().publish();
    }

    /// Everything that is pending is gone.
    pub(crate) fn discard_pending(&self) {
        let mut state = self.state.lock();
        let keep = state.durable + 1;
        state.versions.truncate(keep);
    }

    /// The next commit is refused.
    pub(crate) fn refuse_next_commit(&self, refusal: Refusal) {
        self.state.lock().refuse_commit = Some(refusal);
    }

    /// Takes back what [`Memory::refuse_next_commit`] asked for; true if it had not happened yet.
    pub(crate) fn allow_next_commit(&self) -> bool {
        self.state.lock().refuse_commit.take().is_some()
    }

    /// The next commit panics, holding no lock.
    pub(crate) fn panic_at_next_commit(&self) {
        self.state.lock().panic_at_commit = true;
    }

    /// The next reservation is refused.
    pub(crate) fn refuse_next_reserve(&self, refusal: Refusal) {
        self.state.lock().refuse_reserve = Some(refusal);
    }

    /// The next transaction cannot begin.
    pub(crate) fn fail_next_begin(&self, error: ReadError) {
        self.state.lock().fail_begin = Some(error);
    }

    /// Reading this page of the newest version fails from now on.
    pub(crate) fn make_unreadable(&self, no: PageNo) {
        let mut state = self.state.lock();
        if let Some(last) = state.versions.pop() {
            state.versions.push(Arc::new(Version {
                number: last.number,
                extent: last.extent,
                pages: last.pages.clone(),
                unreadable: Some(no),
            }));
        }
    }

    /// Every batch that was committed since the last call.
    pub(crate) fn take_batches(&self) -> Vec<Batch> {
        std::mem::take(&mut self.state.lock().batches)
    }

    /// Some connection holds the turn.
    pub(crate) fn is_reserved(&self) -> bool {
        self.state.lock().reserved
    }

    /// Page count and size of the newest version.
    pub(crate) fn extent(&self) -> Extent {
        self.state.lock().newest().extent
    }
}

impl State {
    /// The newest version is durable; older ones live as long as a reader has them.
    fn publish(&mut self) {
        self.versions.drain(..self.versions.len() - 1);
        self.durable = 0;
    }

    fn newest(&self) -> Arc<Version> {
        Arc::clone(&self.versions[self.versions.len() - 1])
    }
}

impl View for Version {
    fn extent(&self) -> Extent {
        self.extent
    }

    fn page(&self, no: PageNo) -> Result<Image, ReadError> {
        assert!(
            no.get() <= self.extent.page_count,
            "page {no} of {:?}",
            self.extent
        );
        if self.unreadable == Some(no) {
            return Err(ReadError::Corrupt {
                page: no,
                detail: "the test says so".to_owned(),
            });
        }
        Ok(self
            .pages
            .get(&no)
            .cloned()
            .unwrap_or_else(|| Image::from(vec![0; self.extent.page_size.map_or(0, |size| size.len())])))
    }
}

impl Backend for MemoryBackend {
    fn begin(&self) -> Result<Arc<dyn View>, ReadError> {
        let mut state = self.state.lock();
        if let Some(error) = state.fail_begin.take() {
            return Err(error);
        }
        let at = if self.writer {
            state.versions.len() - 1
        } else {
            state.durable
        };
        Ok(Arc::clone(&state.versions[at]) as Arc<dyn View>)
    }

    fn reserve(&self, view: &Arc<dyn View>) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        if let Some(refusal) = state.refuse_reserve.take() {
            return Err(refusal);
        }
        if !self.writer || state.reserved {
            return Err(Refusal::NoTurn);
        }
        let newest = state.newest() as Arc<dyn View>;
        if !std::ptr::addr_eq(Arc::as_ptr(&newest), Arc::as_ptr(view)) {
            return Err(Refusal::Stale);
        }
        state.reserved = true;
        Ok(())
    }

    fn commit(&self, batch: Batch) -> Result<Arc<dyn View>, Refusal> {
        let mut state = self.state.lock();
        assert!(state.reserved, "a commit without a reservation");
        if std::mem::take(&mut state.panic_at_commit) {
            drop(state);
            panic!("the test asks for it");
        }
        if let Some(refusal) = state.refuse_commit.take() {
            return Err(refusal);
        }
        let before = state.newest();
        let mut pages = before.pages.clone();
        for (no, image) in &batch.pages {
            assert!(no.get() <= batch.page_count && image.len() == batch.page_size.len());
            pages.insert(*no, image.clone());
        }
        pages.retain(|no, _| no.get() <= batch.page_count);
        let version = Arc::new(Version {
            number: before.number + 1,
            extent: Extent {
                page_count: batch.page_count,
                page_size: Some(batch.page_size),
            },
            pages,
            unreadable: None,
        });
        state.versions.push(Arc::clone(&version));
        state.batches.push(batch);
        if !state.keep_pending {
            state.publish();
        }
        Ok(version)
    }

    fn release(&self) {
        let mut state = self.state.lock();
        assert!(state.reserved, "a release without a reservation");
        state.reserved = false;
    }
}
