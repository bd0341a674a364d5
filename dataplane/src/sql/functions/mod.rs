//! Functions of SQL in the place of SQLite's own, whose time is the product of their arguments' lengths.
//!
//! SQLite looks at its clock between operations, and one call is one operation: `instr`, `replace`, `trim` or
//! `unhex` of two values of 32 MiB run for days and nothing ends them. These give the same answers, byte for byte
//! (`functions_answer_as_sqlite_does`), in a time that grows with the sum of the lengths, and look at the clock
//! where that is long.
//!
//! What was measured (32 MiB and 1 KiB, for what grows with both): `instr` and `replace` 0.6 s, `trim` 145 s, `unhex`
//! 28 s, `LIKE` 40 s, `GLOB` 100 s. LIKE and GLOB stay SQLite's, because only with its own it searches an index for
//! `LIKE 'abc%'`; their patterns are limited instead (`Limits::like_pattern_bytes`). Linear, and less than a second:
//! `printf`, `quote`, `hex`, `upper`, `randomblob`, `strftime`, `unistr`, `group_concat`, `json` and one path of
//! `json_extract`; their number of arguments is limited (`Limits::arguments`).
//!
//! LIMIT: `json_patch` and `jsonb_patch` (the product of the numbers of members), FTS5's `snippet` (the square of
//! the matches in one value) and `geopoly_overlap` and `geopoly_within` (the square of the corners) are SQLite's own
//! and are ended only between calls.

mod search;
mod trim;
mod unhex;

use super::budget::Watch;
use crate::vfs::{self, Call, Failure, Function, IsOver};
use rusqlite::Connection;
use std::sync::Arc;

static FUNCTIONS: [&Function; 6] = [
    &search::INSTR,
    &search::REPLACE,
    &trim::LTRIM,
    &trim::RTRIM,
    &trim::TRIM,
    &unhex::UNHEX,
];

/// Puts them on a connection.
pub(super) fn install(connection: &Connection, watch: &Arc<Watch>) -> rusqlite::Result<()> {
    let watch = Arc::clone(watch);
    let is_over: Arc<IsOver> = Arc::new(move || watch.is_over());
    FUNCTIONS
        .iter()
        .try_for_each(|function| vfs::add_function(connection, function, &is_over))
}

/// Steps of a function between two looks at the clock: about 100 µs.
const STEPS_BETWEEN_LOOKS: usize = 1 << 14;

/// Counts steps, and looks at the clock now and then.
struct Steps<'a> {
    call: &'a Call<'a>,
    left: usize,
}

impl<'a> Steps<'a> {
    fn of(call: &'a Call<'a>) -> Steps<'a> {
        Steps {
            call,
            left: STEPS_BETWEEN_LOOKS,
        }
    }

    fn take(&mut self, steps: usize) -> Result<(), Failure> {
        if let Some(left) = self.left.checked_sub(steps) {
            self.left = left;
            return Ok(());
        }
        self.left = STEPS_BETWEEN_LOOKS;
        self.call.check()
    }
}

/// A byte that goes on with a character of UTF-8.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The bytes before the first NUL: where SQLite's own function takes its argument for a string of C.
fn before_nul(text: &[u8]) -> &[u8] {
    memchr::memchr(0, text).map_or(text, |end| &text[..end])
}
