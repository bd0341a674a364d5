//! Functions of SQL that take the place of SQLite's own on a connection: from C values to slices and back.
//!
//! What a function does is safe code elsewhere ([`Function::run`]); here its arguments are read the way SQLite's
//! own function reads them, and its answer is handed over. Not here: aggregates, functions with a state.
//!
//! Each is DETERMINISTIC and INNOCUOUS, as SQLite's own are: indexes, generated columns, CHECKs, views and triggers
//! may call them. SQLite looks for functions of the connection before its own, wherever a name stands.
//!
//! INVARIANT: no panic of a function crosses into SQLite; it ends the statement with an error.
//! INVARIANT: what a function builds counts for the connection's heap limit ([`Buffer`]).

#![allow(unsafe_code, reason = "SQLite's C interface of functions")]

use rusqlite::{Connection, ffi};
use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::{ptr, slice};

/// True if what runs on the connection is to end. Costs a look at the clock.
pub type IsOver = dyn Fn() -> bool + Send + Sync;

/// A function of SQL.
pub struct Function {
    /// Its name.
    pub name: &'static CStr,
    /// How many arguments it has.
    pub arguments: c_int,
    /// How they are read.
    pub reads: Reads,
    /// What it does.
    pub run: for<'a> fn(&Call<'a>) -> Result<Answer<'a>, Failure>,
}

/// How arguments are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Each as text, a blob's bytes too.
    Texts,
    /// Two that are compared: as blobs if both are, else both as texts.
    Alike,
}

/// An argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument<'a> {
    /// NULL.
    Null,
    /// A text, which SQLite does not check to be UTF-8, or what it makes of a number or a blob.
    Text(&'a [u8]),
    /// A blob.
    Blob(&'a [u8]),
}

/// What a function answers.
pub enum Answer<'a> {
    /// NULL.
    Null,
    /// A number.
    Integer(i64),
    /// A part of an argument, as text.
    Part(&'a [u8]),
    /// A new text.
    Text(Buffer),
    /// A new blob.
    Blob(Buffer),
}

/// Why it answers nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The answer, or what SQLite's own function would need for it, is larger than a value may be.
    TooBig,
    /// No more memory for this connection.
    NoMemory,
    /// The statement is to end.
    Over,
}

/// One call.
pub struct Call<'a> {
    /// Its arguments.
    pub arguments: &'a [Argument<'a>],
    /// Bytes of the largest value.
    pub value_bytes: usize,
    is_over: &'a IsOver,
}

impl Call<'_> {
    /// Asked now and then by functions that may take long.
    pub fn check(&self) -> Result<(), Failure> {
        match (self.is_over)() {
            true => Err(Failure::Over),
            false => Ok(()),
        }
    }
}

/// Bytes in SQLite's heap, with room for a fixed number of them.
pub struct Buffer {
    /// From `sqlite3_malloc64`.
    start: *mut u8,
    length: usize,
    room: usize,
}

impl Buffer {
    /// Room for `room` bytes.
    pub fn with_room(room: usize) -> Result<Buffer, Failure> {
        // SAFETY: takes a number only.
        let start = unsafe { ffi::sqlite3_malloc64(room.max(1) as u64) }.cast::<u8>();
        match start.is_null() {
            true => Err(Failure::NoMemory),
            false => Ok(Buffer {
                start,
                length: 0,
                room,
            }),
        }
    }

    /// Appends one byte, with more room where it is needed.
    #[inline]
    pub fn push_byte(&mut self, byte: u8) -> Result<(), Failure> {
        if self.length == self.room {
            self.grow(self.room.saturating_mul(2).max(1))?;
        }
        // SAFETY: the memory is `room` bytes, of which those from `length` on are free.
        unsafe { self.start.add(self.length).write(byte) };
        self.length += 1;
        Ok(())
    }

    /// Appends, with more room where it is needed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let length = self.length + bytes.len();
        if length > self.room {
            self.grow(length.max(self.room.saturating_mul(2)))?;
        }
        // SAFETY: the memory is `room` bytes, of which those from `length` on are free; `bytes` is elsewhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(self.length), bytes.len()) };
        self.length = length;
        Ok(())
    }

    fn grow(&mut self, room: usize) -> Result<(), Failure> {
        // SAFETY: `start` is SQLite's memory; if there is no more, it stays as it is.
        let moved = unsafe { ffi::sqlite3_realloc64(self.start.cast(), room as u64) }.cast::<u8>();
        if moved.is_null() {
            return Err(Failure::NoMemory);
        }
        (self.start, self.room) = (moved, room);
        Ok(())
    }

    /// Gives the memory away, to be freed with `sqlite3_free`.
    fn into_raw(self) -> (*mut u8, u64) {
        let raw = (self.start, self.length as u64);
        std::mem::forget(self);
        raw
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: from `sqlite3_malloc64`, and not given away.
        unsafe { ffi::sqlite3_free(self.start.cast()) };
    }
}

/// A function on one connection.
struct Bound {
    function: &'static Function,
    is_over: Arc<IsOver>,
}

/// Puts the function in the place of SQLite's own, before anything is prepared that calls it.
pub fn add_function(
    connection: &Connection,
    function: &'static Function,
    is_over: &Arc<IsOver>,
) -> rusqlite::Result<()> {
    let bound = Box::into_raw(Box::new(Bound {
        function,
        is_over: Arc::clone(is_over),
    }));
    // SAFETY: the handle is open; SQLite gives `bound` to `forget` when the function goes, or now if it cannot be
    // added.
    let code = unsafe {
        ffi::sqlite3_create_function_v2(
            connection.handle(),
            function.name.as_ptr(),
            function.arguments,
            ffi::SQLITE_UTF8 | ffi::SQLITE_DETERMINISTIC | ffi::SQLITE_INNOCUOUS,
            bound.cast::<c_void>(),
            Some(run),
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

unsafe extern "C" fn forget(bound: *mut c_void) {
    // SAFETY: the box that `add_function` gave away.
    drop(unsafe { Box::from_raw(bound.cast::<Bound>()) });
}

/// Most arguments of a function here.
const ARGUMENTS_MAX: usize = 3;

unsafe extern "C" fn run(
    context: *mut ffi::sqlite3_context,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite calls it with the data of the function that `add_function` made, which lives as long as it, and
    // with `count` values that live as long as the call.
    unsafe {
        let bound = &*ffi::sqlite3_user_data(context).cast_const().cast::<Bound>();
        let values = slice::from_raw_parts(values, usize::try_from(count).unwrap_or(0).min(ARGUMENTS_MAX));
        let copies = Copies::of(values, bound.function.reads);
        let read = copies.as_ref().map_or(values, |copies| &copies.0[..values.len()]);
        let mut arguments = [Argument::Null; ARGUMENTS_MAX];
        let as_blobs = bound.function.reads == Reads::Alike && read.iter().all(|value| is_blob(*value));
        for (argument, value) in arguments.iter_mut().zip(read) {
            *argument = argument_of(*value, as_blobs);
        }
        let db = ffi::sqlite3_context_db_handle(context);
        let call = Call {
            arguments: &arguments[..read.len()],
            value_bytes: usize::try_from(ffi::sqlite3_limit(db, ffi::SQLITE_LIMIT_LENGTH, -1)).unwrap_or(0),
            is_over: &*bound.is_over,
        };
        match catch_unwind(AssertUnwindSafe(|| (bound.function.run)(&call))) {
            Ok(Ok(answer)) => answer_with(context, answer),
            Ok(Err(Failure::TooBig)) => ffi::sqlite3_result_error_toobig(context),
            Ok(Err(Failure::NoMemory)) => ffi::sqlite3_result_error_nomem(context),
            Ok(Err(Failure::Over)) => ffi::sqlite3_result_error_code(context, ffi::SQLITE_INTERRUPT),
            Err(_) => ffi::sqlite3_result_error_code(context, ffi::SQLITE_INTERNAL),
        }
    }
}

/// Copies of the arguments, where reading a blob as text must not change it for who reads it next.
struct Copies([*mut ffi::sqlite3_value; ARGUMENTS_MAX]);

impl Copies {
    /// `None` where none are needed.
    ///
    /// # Safety
    /// The values are those of a running function.
    unsafe fn of(values: &[*mut ffi::sqlite3_value], reads: Reads) -> Option<Copies> {
        if reads == Reads::Texts {
            return None;
        }
        // SAFETY: the caller's.
        let blobs = values.iter().filter(|value| unsafe { is_blob(**value) }).count();
        if blobs == 0 || blobs == values.len() {
            return None;
        }
        let mut copies = Copies([ptr::null_mut(); ARGUMENTS_MAX]);
        for (copy, value) in copies.0.iter_mut().zip(values) {
            // SAFETY: the caller's. Null where there is no memory, which is read as NULL.
            *copy = unsafe { ffi::sqlite3_value_dup(*value) };
        }
        Some(copies)
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        for copy in self.0 {
            // SAFETY: from `sqlite3_value_dup`, or null, which is no copy.
            unsafe { ffi::sqlite3_value_free(copy) };
        }
    }
}

/// # Safety
/// `value` is of a running function, or null.
unsafe fn is_blob(value: *mut ffi::sqlite3_value) -> bool {
    // SAFETY: the caller's.
    !value.is_null() && unsafe { ffi::sqlite3_value_type(value) } == ffi::SQLITE_BLOB
}

/// # Safety
/// `value` is of a running function, or null, and nothing converts it again as long as the argument is used.
unsafe fn argument_of<'a>(value: *mut ffi::sqlite3_value, as_blob: bool) -> Argument<'a> {
    if value.is_null() {
        return Argument::Null;
    }
    // SAFETY: the caller's. The bytes are asked for after the conversion, as sqlite3.h wants it; a text has as many
    // as it says, and a terminator that is not counted.
    unsafe {
        let start = match as_blob {
            true => ffi::sqlite3_value_blob(value).cast::<u8>(),
            false => ffi::sqlite3_value_text(value),
        };
        let length = usize::try_from(ffi::sqlite3_value_bytes(value)).unwrap_or(0);
        let bytes = match start.is_null() {
            true => &[],
            false => slice::from_raw_parts(start, length),
        };
        match (as_blob, start.is_null()) {
            // An empty blob has no address.
            (true, _) => Argument::Blob(bytes),
            // NULL, or no memory: SQLite knows that itself, and ends the statement.
            (false, true) => Argument::Null,
            (false, false) => Argument::Text(bytes),
        }
    }
}

/// # Safety
/// `context` is of a running function.
unsafe fn answer_with(context: *mut ffi::sqlite3_context, answer: Answer<'_>) {
    let utf8 = ffi::SQLITE_UTF8 as u8;
    // SAFETY: the caller's. What is given away is SQLite's memory, to be freed by it; a part is copied.
    unsafe {
        match answer {
            Answer::Null => ffi::sqlite3_result_null(context),
            Answer::Integer(number) => ffi::sqlite3_result_int64(context, number),
            Answer::Part(bytes) => ffi::sqlite3_result_text64(
                context,
                bytes.as_ptr().cast(),
                bytes.len() as u64,
                ffi::SQLITE_TRANSIENT(),
                utf8,
            ),
            Answer::Text(buffer) => {
                let (start, length) = buffer.into_raw();
                ffi::sqlite3_result_text64(context, start.cast(), length, Some(free), utf8);
            }
            Answer::Blob(buffer) => {
                let (start, length) = buffer.into_raw();
                ffi::sqlite3_result_blob64(context, start.cast(), length, Some(free));
            }
        }
    }
}

unsafe extern "C" fn free(memory: *mut c_void) {
    // SAFETY: the memory of a `Buffer`.
    unsafe { ffi::sqlite3_free(memory) };
}
