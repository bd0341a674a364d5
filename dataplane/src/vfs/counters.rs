//! `changes()`, `total_changes()` and `last_insert_rowid()` as a fresh connection would answer them.
//!
//! SQLite counts for the life of a connection, and nothing in it takes `changes()` back. So a connection that
//! one client after the other uses has these functions from here, which count from where its present user
//! began. SQLite finds them wherever it finds its own: in views, triggers, CHECK constraints and defaults too,
//! of which the authorizer would not be asked.
//!
//! INVARIANT: nobody learns how much, or which row, the connection's user before wrote
//! (`counters_before_the_first_write_are_those_of_a_fresh_connection`).

#![allow(unsafe_code, reason = "SQLite's C interface of functions")]

use rusqlite::{Connection, ffi};
use std::ffi::{CStr, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Changes on the connection before its present user began.
#[derive(Debug)]
pub struct Counters(Arc<AtomicI64>);

impl Counters {
    /// Puts the functions in the place of SQLite's own, before anything is prepared that calls them.
    pub fn install(connection: &Connection) -> rusqlite::Result<Counters> {
        let before = Arc::new(AtomicI64::new(0));
        add(connection, c"changes", changes, &before)?;
        add(connection, c"total_changes", total_changes, &before)?;
        Ok(Counters(before))
    }

    /// Another user begins. Between two statements.
    pub fn restart(&self, connection: &Connection) {
        // SAFETY: the handle is open as long as `connection` is borrowed.
        let before = unsafe {
            let db = connection.handle();
            ffi::sqlite3_set_last_insert_rowid(db, 0);
            ffi::sqlite3_total_changes64(db)
        };
        self.0.store(before, Ordering::Relaxed);
    }
}

type Function = unsafe extern "C" fn(*mut ffi::sqlite3_context, c_int, *mut *mut ffi::sqlite3_value);

fn add(
    connection: &Connection,
    name: &CStr,
    function: Function,
    before: &Arc<AtomicI64>,
) -> rusqlite::Result<()> {
    let data = Arc::into_raw(Arc::clone(before)).cast_mut().cast::<c_void>();
    // SAFETY: the handle is open; `data` is one strong count, which SQLite gives to `forget` when the function
    // goes, or now if it cannot be added. INNOCUOUS, as SQLite's own are: schemas may call them.
    let code = unsafe {
        ffi::sqlite3_create_function_v2(
            connection.handle(),
            name.as_ptr(),
            0,
            ffi::SQLITE_UTF8 | ffi::SQLITE_INNOCUOUS,
            data,
            Some(function),
            None,
            None,
            Some(forget),
        )
    };
    match code {
        ffi::SQLITE_OK => Ok(()),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}

unsafe extern "C" fn forget(data: *mut c_void) {
    // SAFETY: the strong count that `add` gave away.
    drop(unsafe { Arc::from_raw(data.cast_const().cast::<AtomicI64>()) });
}

/// Changes since the present user began, and those of its last statement.
///
/// # Safety
/// `context` is that of a running function of `add`.
unsafe fn counted(context: *mut ffi::sqlite3_context) -> (i64, i64) {
    // SAFETY: the function's data is alive as long as the function, its connection as long as it runs.
    unsafe {
        let before = &*ffi::sqlite3_user_data(context).cast_const().cast::<AtomicI64>();
        let db = ffi::sqlite3_context_db_handle(context);
        let total = ffi::sqlite3_total_changes64(db) - before.load(Ordering::Relaxed);
        (total, ffi::sqlite3_changes64(db))
    }
}

unsafe extern "C" fn changes(context: *mut ffi::sqlite3_context, _: c_int, _: *mut *mut ffi::sqlite3_value) {
    // SAFETY: SQLite calls it as the function that `add` made. As long as the total is what it was, its user
    // changed no row, and what SQLite still knows is another's.
    unsafe {
        let (total, last) = counted(context);
        ffi::sqlite3_result_int64(context, if total == 0 { 0 } else { last });
    }
}

unsafe extern "C" fn total_changes(
    context: *mut ffi::sqlite3_context,
    _: c_int,
    _: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite calls it as the function that `add` made.
    unsafe {
        let (total, _) = counted(context);
        ffi::sqlite3_result_int64(context, total);
    }
}
