//! SQLite's C interface of a VFS: callbacks that turn pointers into `MainFile` and `TempFile`, and their
//! answers into codes. No decision is made here.
//!
//! SQLite's promises that every `SAFETY:` below rests on (sqlite3.h, "sqlite3_vfs" and "sqlite3_io_methods"):
//! the file is `szOsFile` bytes that SQLite allocated, aligned for a pointer; after an xOpen that set
//! `pMethods`, callbacks come with that file until xClose, which is the last; calls for one file never
//! overlap; buffers are as long as the amount says; strings end with NUL.

#![allow(
    unsafe_code,
    reason = "callbacks of a sqlite3_vfs are C functions over raw pointers"
)]

use super::heap;
use super::main_file::MainFile;
use super::pragma::{self, Answer, Known};
use super::registry;
use super::temp_file::TempFile;
use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::{mem, ptr, slice};

/// The VFS's name.
pub(super) const NAME: &CStr = c"orion";

/// What SQLite allocates for a file: its own head and our state.
#[repr(C)]
struct File {
    base: sqlite3_file,
    state: *mut c_void,
}

/// Makes the VFS known to SQLite, once in the life of the process. Answers whether the heap is limited.
pub(super) fn register() -> rusqlite::Result<bool> {
    static REGISTERED: OnceLock<(c_int, bool)> = OnceLock::new();
    let (code, limited) = *REGISTERED.get_or_init(|| {
        let limited = heap::install();
        (register_once(), limited)
    });
    match code {
        ffi::SQLITE_OK => Ok(limited),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}

fn register_once() -> c_int {
    // SAFETY: a null name asks for the default VFS, which lives as long as the process.
    let Some(default) = (unsafe { ffi::sqlite3_vfs_find(ptr::null()).as_ref() }) else {
        return ffi::SQLITE_ERROR;
    };
    // Clock, sleep and randomness of the default, which use nothing but their arguments.
    let vfs = Box::leak(Box::new(sqlite3_vfs {
        iVersion: 2,
        szOsFile: mem::size_of::<File>() as c_int,
        mxPathname: 512,
        pNext: ptr::null_mut(),
        zName: NAME.as_ptr(),
        pAppData: default.pAppData,
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: default.xRandomness,
        xSleep: default.xSleep,
        xCurrentTime: default.xCurrentTime,
        xGetLastError: default.xGetLastError,
        xCurrentTimeInt64: default.xCurrentTimeInt64,
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: the VFS was leaked, so that SQLite may keep it for ever; it is not the new default.
    unsafe { ffi::sqlite3_vfs_register(vfs, 0) }
}

static MAIN: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(main_close),
    xRead: Some(main_read),
    xWrite: Some(main_write),
    xTruncate: Some(main_truncate),
    xSync: Some(sync),
    xFileSize: Some(main_size),
    xLock: Some(main_lock),
    xUnlock: Some(main_unlock),
    xCheckReservedLock: Some(not_reserved),
    xFileControl: Some(main_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(main_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

static TEMP: sqlite3_io_methods = sqlite3_io_methods {
    xClose: Some(temp_close),
    xRead: Some(temp_read),
    xWrite: Some(temp_write),
    xTruncate: Some(temp_truncate),
    xFileSize: Some(temp_size),
    xLock: Some(no_lock),
    xUnlock: Some(no_lock),
    xFileControl: Some(no_control),
    xDeviceCharacteristics: Some(temp_characteristics),
    ..MAIN
};

unsafe extern "C" fn open(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let file = file.cast::<File>();
    // SAFETY: `file` is `szOsFile` bytes of ours. Without methods SQLite does not call xClose.
    unsafe { (*file).base.pMethods = ptr::null() };
    let opened = catch_unwind(|| {
        if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
            // SAFETY: the name of a main database is a C string, or null.
            let token = unsafe { name.as_ref().map(|name| CStr::from_ptr(name)) };
            let link = token
                .and_then(|token| token.to_str().ok())
                .and_then(registry::take);
            let link = link.ok_or(ffi::SQLITE_CANTOPEN)?;
            Ok((into_state(MainFile::new(link)), &raw const MAIN))
        } else if flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0 {
            Ok((into_state(TempFile::open()?), &raw const TEMP))
        } else {
            // A journal or a WAL: nothing is ever written beside the batch.
            Err(ffi::SQLITE_CANTOPEN)
        }
    });
    match opened.unwrap_or(Err(ffi::SQLITE_CANTOPEN)) {
        Ok((state, methods)) => {
            // SAFETY: as above; `out_flags` is null or valid.
            unsafe {
                (*file).state = state;
                (*file).base.pMethods = methods;
                if let Some(out) = out_flags.as_mut() {
                    *out = flags;
                }
            }
            ffi::SQLITE_OK
        }
        Err(code) => code,
    }
}

unsafe extern "C" fn delete(_vfs: *mut sqlite3_vfs, _name: *const c_char, _sync: c_int) -> c_int {
    ffi::SQLITE_IOERR_DELETE_NOENT
}

unsafe extern "C" fn access(
    _vfs: *mut sqlite3_vfs,
    _name: *const c_char,
    _flags: c_int,
    exists: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes a valid place for the answer. No journal exists, so that none is ever hot.
    unsafe { *exists = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: `name` is a C string, `out` has `room` bytes, and the two do not overlap.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > room as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

fn into_state<T>(state: T) -> *mut c_void {
    Box::into_raw(Box::new(state)).cast()
}

/// Runs `work` on the database file; a panic poisons the connection and answers `on_panic`.
///
/// # Safety
/// `file` was opened with `MAIN` and is not closed.
unsafe fn with_main(
    file: *mut sqlite3_file,
    on_panic: c_int,
    work: impl FnOnce(&mut MainFile) -> Result<(), c_int>,
) -> c_int {
    // SAFETY: `open` put a `MainFile` there, and calls for one file never overlap.
    let state = unsafe { &mut *(*file.cast::<File>()).state.cast::<MainFile>() };
    match catch_unwind(AssertUnwindSafe(|| work(state))) {
        Ok(Ok(())) => ffi::SQLITE_OK,
        Ok(Err(code)) => code,
        Err(_) => {
            state.link().poison();
            on_panic
        }
    }
}

/// Runs `work` on a temporary file.
///
/// # Safety
/// `file` was opened with `TEMP` and is not closed.
unsafe fn with_temp(file: *mut sqlite3_file, work: impl FnOnce(&mut TempFile) -> Result<(), c_int>) -> c_int {
    // SAFETY: `open` put a `TempFile` there, and calls for one file never overlap.
    let state = unsafe { &mut *(*file.cast::<File>()).state.cast::<TempFile>() };
    match catch_unwind(AssertUnwindSafe(|| work(state))) {
        Ok(Ok(())) => ffi::SQLITE_OK,
        Ok(Err(code)) => code,
        Err(_) => {
            state.link().poison();
            ffi::SQLITE_IOERR
        }
    }
}

unsafe extern "C" fn main_close(file: *mut sqlite3_file) -> c_int {
    let file = file.cast::<File>();
    // SAFETY: `open` made the box, and xClose is the last call with this file.
    let state = unsafe { Box::from_raw((*file).state.cast::<MainFile>()) };
    let _ = catch_unwind(AssertUnwindSafe(|| drop(state)));
    ffi::SQLITE_OK
}

unsafe extern "C" fn main_read(
    file: *mut sqlite3_file,
    buffer: *mut c_void,
    amount: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite's buffer has `amount` bytes, and was initialised or may be overwritten as bytes.
    let out = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), amount as usize) };
    // SAFETY: called through `MAIN`.
    unsafe { with_main(file, ffi::SQLITE_IOERR_READ, |main| main.read(offset as u64, out)) }
}

unsafe extern "C" fn main_write(
    file: *mut sqlite3_file,
    buffer: *const c_void,
    amount: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite's buffer has `amount` bytes.
    let bytes = unsafe { slice::from_raw_parts(buffer.cast::<u8>(), amount as usize) };
    // SAFETY: called through `MAIN`. ABORT, because after an IOERR SQLite would write past the batch.
    unsafe { with_main(file, ffi::SQLITE_ABORT, |main| main.write(offset as u64, bytes)) }
}

unsafe extern "C" fn main_truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: called through `MAIN`.
    unsafe {
        with_main(file, ffi::SQLITE_IOERR_TRUNCATE, |main| {
            main.truncate(size as u64)
        })
    }
}

unsafe extern "C" fn main_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    // SAFETY: called through `MAIN`; `size` is a valid place for the answer.
    unsafe {
        with_main(file, ffi::SQLITE_IOERR_FSTAT, |main| {
            *size = main.size()? as sqlite3_int64;
            Ok(())
        })
    }
}

unsafe extern "C" fn main_lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: called through `MAIN`.
    unsafe { with_main(file, ffi::SQLITE_IOERR_LOCK, |main| main.lock(level)) }
}

unsafe extern "C" fn main_unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: called through `MAIN`.
    unsafe {
        with_main(file, ffi::SQLITE_IOERR_UNLOCK, |main| {
            main.unlock(level);
            Ok(())
        })
    }
}

unsafe extern "C" fn main_control(file: *mut sqlite3_file, op: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: called through `MAIN`; the argument of PRAGMA is described at `pragma_control`. ABORT, because
    // after an IOERR SQLite would write past the batch.
    unsafe {
        with_main(file, ffi::SQLITE_ABORT, |main| match op {
            ffi::SQLITE_FCNTL_BEGIN_ATOMIC_WRITE => main.begin_batch(),
            ffi::SQLITE_FCNTL_COMMIT_ATOMIC_WRITE => main.commit_batch(),
            ffi::SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE => {
                main.drop_batch();
                Ok(())
            }
            ffi::SQLITE_FCNTL_PRAGMA => pragma_control(main, argument.cast()),
            ffi::SQLITE_FCNTL_MMAP_SIZE => {
                // The wish comes in, what holds goes out: nothing is mapped.
                *argument.cast::<sqlite3_int64>() = 0;
                Ok(())
            }
            _ => Err(ffi::SQLITE_NOTFOUND),
        })
    }
}

/// `argument` is [result, name, value or null]: C strings, the first an out parameter that SQLite frees.
///
/// # Safety
/// `argument` is that of `SQLITE_FCNTL_PRAGMA`.
unsafe fn pragma_control(main: &MainFile, argument: *mut *mut c_char) -> Result<(), c_int> {
    // SAFETY: name and value are C strings for as long as this call, the value may be null.
    let (name, value) = unsafe {
        let name = CStr::from_ptr(*argument.add(1)).to_string_lossy();
        let value = (*argument.add(2)).cast_const();
        (
            name,
            value
                .as_ref()
                .map(|value| CStr::from_ptr(value).to_string_lossy()),
        )
    };
    let known = Known {
        page_bytes: match &value {
            Some(_) => main.page_bytes()?,
            None => None,
        },
        cache_bytes: main.link().settings().cache_bytes,
    };
    let (text, code) = match pragma::decide(&name, value.as_deref(), &known) {
        Answer::Pass => return Err(ffi::SQLITE_NOTFOUND),
        Answer::Refuse(text) => (text, Err(ffi::SQLITE_ERROR)),
        Answer::Nothing => return Ok(()),
        Answer::BusyTimeout(wish) => {
            if let Some(milliseconds) = wish {
                main.link().set_busy_timeout_ms(milliseconds);
            }
            (main.link().busy_timeout_ms().to_string(), Ok(()))
        }
    };
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: the format takes one C string; SQLite frees the copy with sqlite3_free.
    unsafe { *argument = ffi::sqlite3_mprintf(c"%s".as_ptr(), text.as_ptr()) };
    code
}

unsafe extern "C" fn main_characteristics(_file: *mut sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_BATCH_ATOMIC
        | ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
        | ffi::SQLITE_IOCAP_SAFE_APPEND
        | ffi::SQLITE_IOCAP_SEQUENTIAL
}

unsafe extern "C" fn temp_close(file: *mut sqlite3_file) -> c_int {
    let file = file.cast::<File>();
    // SAFETY: `open` made the box, and xClose is the last call with this file.
    let state = unsafe { Box::from_raw((*file).state.cast::<TempFile>()) };
    let _ = catch_unwind(AssertUnwindSafe(|| drop(state)));
    ffi::SQLITE_OK
}

unsafe extern "C" fn temp_read(
    file: *mut sqlite3_file,
    buffer: *mut c_void,
    amount: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite's buffer has `amount` bytes.
    let out = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), amount as usize) };
    // SAFETY: called through `TEMP`.
    unsafe { with_temp(file, |temp| temp.read(offset as u64, out)) }
}

unsafe extern "C" fn temp_write(
    file: *mut sqlite3_file,
    buffer: *const c_void,
    amount: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite's buffer has `amount` bytes.
    let bytes = unsafe { slice::from_raw_parts(buffer.cast::<u8>(), amount as usize) };
    // SAFETY: called through `TEMP`.
    unsafe { with_temp(file, |temp| temp.write(offset as u64, bytes)) }
}

unsafe extern "C" fn temp_truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: called through `TEMP`.
    unsafe { with_temp(file, |temp| temp.truncate(size as u64)) }
}

unsafe extern "C" fn temp_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    // SAFETY: called through `TEMP`; `size` is a valid place for the answer.
    unsafe {
        with_temp(file, |temp| {
            *size = temp.size() as sqlite3_int64;
            Ok(())
        })
    }
}

unsafe extern "C" fn temp_characteristics(_file: *mut sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN
}

unsafe extern "C" fn sync(_file: *mut sqlite3_file, _flags: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn not_reserved(_file: *mut sqlite3_file, reserved: *mut c_int) -> c_int {
    // SAFETY: a valid place for the answer. Asked only beside a hot journal, which there is none of.
    unsafe { *reserved = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn no_lock(_file: *mut sqlite3_file, _level: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn no_control(_file: *mut sqlite3_file, _op: c_int, _argument: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut sqlite3_file) -> c_int {
    4096
}
