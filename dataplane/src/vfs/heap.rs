//! A limit on the heap that SQLite takes for one connection.
//!
//! SQLite's own limits are for the process (`sqlite3_hard_heap_limit64`) or for one value
//! (`SQLITE_LIMIT_LENGTH`): a statement with a thousand large values, or a transaction with millions of changed
//! pages, passes them. So SQLite gets an allocator of ours once, before it starts: while a connection runs on
//! a thread ([`Metered`]), what is allocated there counts for it, and past its limit SQLite gets no memory,
//! which it answers with `SQLITE_NOMEM` and a rollback.
//!
//! What a connection frees while another one runs on the thread would count wrongly; SQLite shares no memory
//! between connections here (no shared cache, one page cache each), so that does not happen.

#![allow(unsafe_code, reason = "an allocator for SQLite is made of C functions")]

use super::allocator;
use rusqlite::ffi::{self, sqlite3_mem_methods};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Pages that a connection's cache gets at its opening. SQLite's 20 are 88 KiB, of which a small database uses
/// little, and thousands of them are open on a node.
const PAGES_AT_ONCE: c_int = 0;

/// Bytes of a slot of the memory that each connection has for small things of its own, as SQLite's default.
const LOOKASIDE_SLOT: c_int = 1200;

/// Slots of it; SQLite's default of 40 is 48 KiB.
const LOOKASIDE_SLOTS: c_int = 8;

thread_local! {
    /// Who pays for what SQLite allocates on this thread; null for nobody.
    static PAYER: Cell<*const Meter> = const { Cell::new(ptr::null()) };
}

/// Heap of one connection.
#[derive(Debug)]
pub(super) struct Meter {
    limit: i64,
    /// Written only by the thread on which the connection runs.
    used: AtomicI64,
    refused: AtomicBool,
}

impl Meter {
    pub(super) fn new(limit: u64) -> Meter {
        Meter {
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            used: AtomicI64::new(0),
            refused: AtomicBool::new(false),
        }
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> u64 {
        u64::try_from(self.used.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// True if memory was refused since the last call.
    pub(super) fn take_refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }

    fn allows(&self, bytes: c_int) -> bool {
        let fits = self.used.load(Ordering::Relaxed).saturating_add(i64::from(bytes)) <= self.limit;
        if !fits {
            self.refused.store(true, Ordering::Relaxed);
        }
        fits
    }

    fn add(&self, bytes: i64) {
        self.used
            .store(self.used.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }
}

/// As long as it lives, SQLite's allocations on this thread count for a meter.
pub(super) struct Metered<'a> {
    before: *const Meter,
    _meter: PhantomData<&'a Meter>,
}

impl<'a> Metered<'a> {
    pub(super) fn begin(meter: &'a Meter) -> Metered<'a> {
        Metered {
            before: PAYER.replace(ptr::from_ref(meter)),
            _meter: PhantomData,
        }
    }
}

impl Drop for Metered<'_> {
    fn drop(&mut self) {
        PAYER.set(self.before);
    }
}

/// Gives SQLite its allocator. Must come before anything else that uses SQLite in this process, and once; answers
/// false if SQLite had already started, and then nothing is limited.
pub(super) fn install() -> bool {
    let metered = sqlite3_mem_methods {
        xMalloc: Some(metered_malloc),
        xFree: Some(metered_free),
        xRealloc: Some(metered_realloc),
        xSize: Some(allocator::size),
        xRoundup: Some(allocator::round_up),
        xInit: Some(allocator::init),
        xShutdown: Some(allocator::shutdown),
        pAppData: ptr::null_mut(),
    };
    // SAFETY: SQLite copies the struct. It refuses (MISUSE) if it has started, when memory of another allocator
    // may be in use. The other two take numbers only, and no memory.
    unsafe {
        ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const metered) == ffi::SQLITE_OK
            && ffi::sqlite3_config(
                ffi::SQLITE_CONFIG_PAGECACHE,
                ptr::null_mut::<c_void>(),
                0,
                PAGES_AT_ONCE,
            ) == ffi::SQLITE_OK
            && ffi::sqlite3_config(ffi::SQLITE_CONFIG_LOOKASIDE, LOOKASIDE_SLOT, LOOKASIDE_SLOTS)
                == ffi::SQLITE_OK
    }
}

/// The connection that pays on this thread.
fn with_payer<R>(nobody: R, work: impl FnOnce(&Meter) -> R) -> R {
    let payer = PAYER.get();
    if payer.is_null() {
        return nobody;
    }
    // SAFETY: `Metered` put it there, borrows the meter for as long as it lives, and takes it away when dropped.
    work(unsafe { &*payer })
}

unsafe extern "C" fn metered_malloc(bytes: c_int) -> *mut c_void {
    if !with_payer(true, |meter| meter.allows(bytes)) {
        return ptr::null_mut();
    }
    let memory = allocator::allocate(bytes);
    if !memory.is_null() {
        // SAFETY: the allocator made it just now.
        let taken = i64::from(unsafe { allocator::size(memory) });
        with_payer((), |meter| meter.add(taken));
    }
    memory
}

unsafe extern "C" fn metered_free(memory: *mut c_void) {
    // SAFETY: SQLite gives back only what it got from `metered_malloc` or `metered_realloc`, and never null
    // (sqlite3.h, sqlite3_mem_methods).
    unsafe {
        let given = i64::from(allocator::size(memory));
        with_payer((), |meter| meter.add(-given));
        allocator::free(memory);
    }
}

unsafe extern "C" fn metered_realloc(memory: *mut c_void, bytes: c_int) -> *mut c_void {
    // SAFETY: as in `metered_free`; SQLite never passes null here.
    unsafe {
        let before = allocator::size(memory);
        if !with_payer(true, |meter| meter.allows(bytes.saturating_sub(before))) {
            return ptr::null_mut();
        }
        let moved = allocator::resize(memory, bytes);
        if !moved.is_null() {
            let change = i64::from(allocator::size(moved)) - i64::from(before);
            with_payer((), |meter| meter.add(change));
        }
        moved
    }
}
