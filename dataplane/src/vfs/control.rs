//! The few calls on an open connection that rusqlite does not offer.

#![allow(unsafe_code, reason = "raw calls of SQLite's C interface")]

use rusqlite::{Connection, ffi};
use std::ffi::c_int;
use std::ptr;

/// Drops all pages that the connection's page cache holds. Has no effect inside of a transaction.
pub fn reset_cache(connection: &Connection) -> rusqlite::Result<()> {
    // SAFETY: the handle is open as long as `connection` is borrowed; RESET_CACHE takes no argument.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_RESET_CACHE,
            ptr::null_mut(),
        )
    };
    match code {
        ffi::SQLITE_OK => Ok(()),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}

/// Bytes of heap that the connection holds: page cache, schema, statements.
pub fn memory_used(connection: &Connection) -> u64 {
    // SAFETY: the handle is open as long as `connection` is borrowed, and this thread is the only one to use it.
    let db = unsafe { connection.handle() };
    [
        ffi::SQLITE_DBSTATUS_CACHE_USED,
        ffi::SQLITE_DBSTATUS_SCHEMA_USED,
        ffi::SQLITE_DBSTATUS_STMT_USED,
    ]
    .into_iter()
    .map(|status| read_status(db, status))
    .sum()
}

/// Calls `handler` about every `operations` steps of SQLite's virtual machine with the bytes of the page
/// cache; when it answers true, the running statement is interrupted.
pub fn watch(
    connection: &mut Connection,
    operations: c_int,
    mut handler: impl FnMut(u64) -> bool + Send + 'static,
) -> rusqlite::Result<()> {
    // SAFETY: only the address is taken here.
    let db = Handle(unsafe { connection.handle() });
    connection.progress_handler(
        operations,
        Some(move || {
            let db = &db;
            handler(read_status(db.0, ffi::SQLITE_DBSTATUS_CACHE_USED))
        }),
    )
}

/// The connection inside of its own progress handler.
struct Handle(*mut ffi::sqlite3);

// SAFETY: SQLite calls a progress handler only on the thread that steps a statement of that connection, and
// frees it when the connection closes; so the handle is open, and no other thread uses it, when it is read.
unsafe impl Send for Handle {}

fn read_status(db: *mut ffi::sqlite3, status: c_int) -> u64 {
    let (mut now, mut most) = (0_i64, 0_i64);
    // SAFETY: `db` is open (see the callers); both results outlive the call.
    let code = unsafe { ffi::sqlite3_db_status64(db, status, &raw mut now, &raw mut most, 0) };
    if code == ffi::SQLITE_OK {
        u64::try_from(now).unwrap_or(0)
    } else {
        0
    }
}
