//! Opening a connection: the link waits under a token until SQLite opens the file of that name.

use super::ffi;
use super::link::Link;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

static WAITING: LazyLock<Mutex<HashMap<String, Arc<Link>>>> = LazyLock::new(Mutex::default);

/// Opens a connection on `link`, with the settings that batch capture needs.
pub fn open(link: &Arc<Link>) -> rusqlite::Result<Connection> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    ffi::register()?;
    let token = format!("orion-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    WAITING.lock().insert(token.clone(), Arc::clone(link));
    let opened = link.run(|| Connection::open_with_flags_and_vfs(format!("file:{token}"), flags, ffi::NAME));
    WAITING.lock().remove(&token);
    let connection = opened?;
    link.run(|| settle(&connection, link))?;
    Ok(connection)
}

/// Hands the link to the file; a token works once.
pub(super) fn take(token: &str) -> Option<Arc<Link>> {
    WAITING.lock().remove(token)
}

fn settle(connection: &Connection, link: &Link) -> rusqlite::Result<()> {
    // A plain BUSY never comes from us, and SQLite would also retry a BUSY_SNAPSHOT, asleep on an SQL thread.
    connection.busy_timeout(std::time::Duration::ZERO)?;
    let cache_kib = link.settings().cache_bytes / 1024;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode=MEMORY; PRAGMA cache_spill=OFF; PRAGMA cache_size=-{cache_kib};"
    ))
}
