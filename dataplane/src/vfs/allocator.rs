//! SQLite's memory, from the allocator of the process.
//!
//! SQLite would take it from the C library, whose arenas have locks: a query that runs with the lowest priority and
//! loses its core while it holds one makes every thread of that arena wait for it. The process's own allocator has
//! a heap for each thread, and memory that was freed goes back to be used for anything.

#![allow(unsafe_code, reason = "an allocator for SQLite is made of C functions")]

use rusqlite::ffi;
use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::{c_int, c_void};
use std::ptr;

/// Before each piece of memory stands its size, which SQLite asks for and Rust's allocators want back.
const HEADER: usize = 8;

/// What SQLite's structures need.
const ALIGNMENT: usize = 8;

/// Memory of at least this many bytes, or null.
pub(super) fn allocate(bytes: c_int) -> *mut c_void {
    let Some(layout) = layout(bytes) else {
        return ptr::null_mut();
    };
    // SAFETY: the layout is not empty, and has room for the header at its beginning.
    unsafe {
        let start = alloc(layout);
        if start.is_null() {
            return ptr::null_mut();
        }
        start.cast::<c_int>().write(bytes);
        start.add(HEADER).cast()
    }
}

/// Gives memory back.
///
/// # Safety
/// `memory` is from `allocate` or `resize`, and not given back yet.
pub(super) unsafe fn free(memory: *mut c_void) {
    // SAFETY: the header says what was asked for, so the layout is the one that it was made with.
    unsafe {
        if let Some(layout) = layout(size(memory)) {
            dealloc(memory.cast::<u8>().sub(HEADER), layout);
        }
    }
}

/// The same content in memory of another size, or null; then `memory` is as it was.
///
/// # Safety
/// As [`free`].
pub(super) unsafe fn resize(memory: *mut c_void, bytes: c_int) -> *mut c_void {
    // SAFETY: as in `free` and `allocate`.
    unsafe {
        let (Some(before), Some(after)) = (layout(size(memory)), layout(bytes)) else {
            return ptr::null_mut();
        };
        let start = realloc(memory.cast::<u8>().sub(HEADER), before, after.size());
        if start.is_null() {
            return ptr::null_mut();
        }
        start.cast::<c_int>().write(bytes);
        start.add(HEADER).cast()
    }
}

/// Bytes that were asked for.
///
/// # Safety
/// As [`free`].
pub(super) unsafe extern "C" fn size(memory: *mut c_void) -> c_int {
    // SAFETY: the header stands before it, aligned as the memory is.
    unsafe { memory.cast::<u8>().sub(HEADER).cast::<c_int>().read() }
}

/// What SQLite asks for when it wants so many bytes.
pub(super) unsafe extern "C" fn round_up(bytes: c_int) -> c_int {
    bytes.saturating_add(7) & !7
}

/// Nothing is to be made ready.
pub(super) unsafe extern "C" fn init(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

/// Nothing is to be put away.
pub(super) unsafe extern "C" fn shutdown(_: *mut c_void) {}

fn layout(bytes: c_int) -> Option<Layout> {
    let bytes = usize::try_from(bytes).ok()?.checked_add(HEADER)?;
    Layout::from_size_align(bytes, ALIGNMENT).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_its_content_and_knows_its_size() {
        let memory = allocate(100);
        // SAFETY: `memory` has 100 bytes, then 100,000, and is given back once.
        unsafe {
            assert_eq!(size(memory), 100);
            assert_eq!(memory as usize % ALIGNMENT, 0);
            memory.cast::<u8>().write_bytes(7, 100);
            let memory = resize(memory, 100_000);
            assert_eq!(size(memory), 100_000);
            let kept = std::slice::from_raw_parts(memory.cast::<u8>(), 100);
            assert!(kept.iter().all(|byte| *byte == 7));
            free(memory);
        }
        assert!(allocate(-1).is_null(), "no size");
    }
}
