//! What a connection and its file tell each other: the backend, limits, and why something was refused.
//!
//! SQLite passes only a number from the file to the caller. The reason behind it is kept here as a
//! [`Fault`], and `sql::Error` reads it.

use super::heap::{Meter, Metered};
use super::{Backend, ReadError, Refusal, TempSpace};
use crate::page::PageNo;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

thread_local! {
    /// The connection that runs on this thread: SQLite opens temporary files without saying for whom.
    static CURRENT: RefCell<Option<Arc<Link>>> = const { RefCell::new(None) };
}

/// Why the file answered with an error.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A page or a version could not be read.
    Read(ReadError),
    /// The backend, or the limit of a transaction, refused a write.
    Refused(Refusal),
    /// SQLite would take more heap than the limit.
    HeapFull,
    /// Temporary files would exceed their quota.
    TempFull,
    /// A temporary file failed on the local disk.
    TempDisk(String),
    /// SQLite did what it never should, for example wrote outside of a batch.
    Protocol(&'static str),
    /// Our own code panicked in a callback; the connection serves nothing any more.
    Panicked,
}

/// Limits of one connection that the file enforces.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of changed pages in one transaction.
    pub transaction_bytes: u64,
    /// What `PRAGMA cache_size` may ask for at most, and what a connection begins with.
    pub cache_bytes: u64,
    /// Bytes of heap that SQLite may take for it.
    pub heap_bytes: u64,
    /// Where temporary files go and how large they may become.
    pub temp: TempSpace,
}

/// One connection's end of the VFS.
pub struct Link {
    backend: Arc<dyn Backend>,
    settings: Settings,
    meter: Meter,
    fault: Mutex<Option<Fault>>,
    pinned: AtomicBool,
    read_only: AtomicBool,
    wants_turn: AtomicBool,
    wants_patience: AtomicBool,
    commit_failed: AtomicBool,
    poisoned: AtomicBool,
    busy_timeout_ms: AtomicU32,
}

impl Link {
    /// A link that no file uses yet.
    pub fn new(backend: Arc<dyn Backend>, settings: Settings) -> Arc<Link> {
        Arc::new(Link {
            backend,
            meter: Meter::new(settings.heap_bytes),
            settings,
            fault: Mutex::new(None),
            pinned: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            wants_turn: AtomicBool::new(false),
            wants_patience: AtomicBool::new(false),
            commit_failed: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            busy_timeout_ms: AtomicU32::new(0),
        })
    }

    /// Runs `work` as this connection: temporary files opened meanwhile on this thread are its own.
    pub fn run<R>(self: &Arc<Link>, work: impl FnOnce() -> R) -> R {
        let before = CURRENT.with_borrow_mut(|current| current.replace(Arc::clone(self)));
        let _restore = Restore(before);
        let _metered = Metered::begin(&self.meter);
        work()
    }

    /// The connection that runs on this thread.
    pub(super) fn current() -> Option<Arc<Link>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Where the connection reads from and commits to.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Its limits.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes the reason of the last failure.
    pub fn take_fault(&self) -> Option<Fault> {
        let out_of_memory = self.meter.take_refused().then_some(Fault::HeapFull);
        self.fault.lock().take().or(out_of_memory)
    }

    /// Bytes of heap that SQLite took for this connection.
    pub fn heap_used(&self) -> u64 {
        self.meter.used()
    }

    /// True if the last write was refused with `Refusal::NoTurn`; reading it clears it.
    pub fn take_wants_turn(&self) -> bool {
        self.wants_turn.swap(false, Ordering::Relaxed)
    }

    /// True if a commit was refused since the last call: SQLite has rolled the transaction back.
    pub fn take_commit_failed(&self) -> bool {
        self.commit_failed.swap(false, Ordering::Relaxed)
    }

    /// A read transaction holds a view.
    pub fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed)
    }

    /// Bytes of the pages that the newest version uses, free ones not counted; `None` if they cannot be read.
    pub fn bytes_in_use(&self) -> Option<u64> {
        let view = self.backend.begin().ok()?;
        let extent = view.extent();
        let size = extent.page_size.filter(|_| extent.page_count > 0)?;
        let header = view.page(PageNo::FIRST).ok()?;
        // SQLite file format, 1.3: offset 36, pages on the freelist.
        let free = u32::from_be_bytes(header.get(36..40)?.try_into().ok()?);
        Some(u64::from(extent.page_count.saturating_sub(free)) * u64::from(size.bytes()))
    }

    /// From now on (until false) the connection may not write: `SQLITE_READONLY`.
    pub fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Relaxed);
    }

    /// A callback panicked: the connection must be closed.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// The running statement takes longer than it may here.
    pub fn set_wants_patience(&self) {
        self.wants_patience.store(true, Ordering::Relaxed);
    }

    /// The last statement was ended because it must not take long here.
    pub fn wants_patience(&self) -> bool {
        self.wants_patience.load(Ordering::Relaxed)
    }

    /// True if the last statement was ended because it must not take long here; reading it clears it.
    pub fn take_wants_patience(&self) -> bool {
        self.wants_patience.swap(false, Ordering::Relaxed)
    }

    pub(super) fn set_pinned(&self, pinned: bool) {
        self.pinned.store(pinned, Ordering::Relaxed);
    }

    pub(super) fn set_commit_failed(&self) {
        self.commit_failed.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        if matches!(fault, Fault::Refused(Refusal::NoTurn)) {
            self.wants_turn.store(true, Ordering::Relaxed);
        }
        if matches!(fault, Fault::Read(ReadError::WouldWait { .. })) {
            self.set_wants_patience();
        }
        // The first failure is the reason; what follows while SQLite rolls back is its consequence.
        self.fault.lock().get_or_insert(fault);
    }

    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
        self.set_fault(Fault::Panicked);
    }

    /// What `PRAGMA busy_timeout` was set to.
    pub fn busy_timeout_ms(&self) -> u32 {
        self.busy_timeout_ms.load(Ordering::Relaxed)
    }

    /// Keeps what `PRAGMA busy_timeout` is set to. It has no effect: nobody waits for locks here.
    pub fn set_busy_timeout_ms(&self, milliseconds: u32) {
        self.busy_timeout_ms.store(milliseconds, Ordering::Relaxed);
    }
}

/// Puts the connection back that ran on this thread before.
struct Restore(Option<Arc<Link>>);

impl Drop for Restore {
    fn drop(&mut self) {
        let before = self.0.take();
        CURRENT.with_borrow_mut(|current| *current = before);
    }
}
