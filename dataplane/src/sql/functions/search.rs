//! `instr(X, Y)` and `replace(X, Y, Z)`, by a search in linear time (two-way, of the crate memchr).
//!
//! They look at no clock: 32 MiB take some 10 ms.
//!
//! One answer is not SQLite's: in a database in UTF-16, a blob of one byte (or of a byte order mark) is no text at all, and
//! SQLite's `instr` then answers where the other text's first NUL is; here an empty text is found at 1, as it is
//! everywhere else.

use crate::vfs::{Answer, Argument, Buffer, Call, Failure, Function, Reads};
use memchr::memmem::Finder;

pub(super) static INSTR: Function = Function {
    name: c"instr",
    arguments: 2,
    reads: Reads::Alike,
    run: instr,
};

pub(super) static REPLACE: Function = Function {
    name: c"replace",
    arguments: 3,
    reads: Reads::Texts,
    run: replace,
};

/// Where Y begins in X, from 1: the byte of blobs, else the character; 0 if nowhere.
fn instr<'a>(call: &Call<'a>) -> Result<Answer<'a>, Failure> {
    let (within, what, is_text) = match *call.arguments {
        [Argument::Text(within), Argument::Text(what)] => (within, what, true),
        [Argument::Blob(within), Argument::Blob(what)] => (within, what, false),
        _ => return Ok(Answer::Null),
    };
    let place = match find(within, what) {
        None => 0,
        Some(0) => 1,
        Some(at) if !is_text => at + 1,
        // A text is searched from character to character, which none of its continuation bytes begins.
        Some(_) if super::is_continuation(what[0]) => 0,
        Some(at) => 1 + characters(&within[1..=at]),
    };
    Ok(Answer::Integer(place as i64))
}

/// Bytes that begin a character.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| !super::is_continuation(**byte)).count()
}

/// X with Z for each Y, from the left.
fn replace<'a>(call: &Call<'a>) -> Result<Answer<'a>, Failure> {
    let &[Argument::Text(text), Argument::Text(what), with] = call.arguments else {
        return Ok(Answer::Null);
    };
    if what.is_empty() || what[0] == 0 {
        return Ok(Answer::Part(text));
    }
    let Argument::Text(with) = with else {
        return Ok(Answer::Null);
    };
    // SQLite makes room for the text and its terminator first, and that is a value too.
    if text.len() >= call.value_bytes {
        return Err(Failure::TooBig);
    }
    let mut result = Replaced {
        bytes: Buffer::with_room(text.len())?,
        left: call.value_bytes - text.len(),
        growth: with.len().saturating_sub(what.len()),
    };
    match text.len() <= SHORT && what.len() <= NARROW {
        true => replace_bytewise(&mut result, text, what, with)?,
        false => replace_found(&mut result, text, what, with)?,
    }
    Ok(Answer::Text(result.bytes))
}

fn replace_bytewise(result: &mut Replaced, mut rest: &[u8], what: &[u8], with: &[u8]) -> Result<(), Failure> {
    while let Some((first, after)) = rest.split_first() {
        if *first == what[0] && rest.starts_with(what) {
            result.push(with)?;
            rest = &rest[what.len()..];
        } else {
            result.bytes.push_byte(*first)?;
            rest = after;
        }
    }
    Ok(())
}

fn replace_found(result: &mut Replaced, mut rest: &[u8], what: &[u8], with: &[u8]) -> Result<(), Failure> {
    let finder = Finder::new(what);
    loop {
        // What follows at once is found without a search.
        let at = match rest.starts_with(what) {
            true => Some(0),
            false => finder.find(rest),
        };
        let Some(at) = at else { break };
        result.bytes.push(&rest[..at])?;
        result.push(with)?;
        rest = &rest[at + what.len()..];
    }
    result.bytes.push(rest)
}

/// A text that grows by each replacement.
struct Replaced {
    bytes: Buffer,
    /// Bytes by which it may grow.
    left: usize,
    growth: usize,
}

impl Replaced {
    /// One more replacement.
    fn push(&mut self, with: &[u8]) -> Result<(), Failure> {
        self.left = self.left.checked_sub(self.growth).ok_or(Failure::TooBig)?;
        self.bytes.push(with)
    }
}

/// Up to so many bytes, and for patterns of up to so many, looking at each byte costs less than preparing a search.
const SHORT: usize = 4096;
const NARROW: usize = 8;

/// Where `what` is first.
fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    match what {
        [byte] => memchr::memchr(*byte, text),
        [first, ..] if text.len() <= SHORT && what.len() <= NARROW => {
            memchr::memchr_iter(*first, text).find(|at| text[*at..].starts_with(what))
        }
        _ => memchr::memmem::find(text, what),
    }
}
