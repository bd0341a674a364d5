//! `unhex(X, Y)`: a blob from hexadecimal digits, with characters of Y between its bytes.
//!
//! Characters are compared as the numbers that SQLite reads: of any bytes, UTF-8 or not.

use super::{Steps, before_nul, is_continuation};
use crate::vfs::{Answer, Argument, Buffer, Call, Failure, Function, Reads};

pub(super) static UNHEX: Function = Function {
    name: c"unhex",
    arguments: 2,
    reads: Reads::Texts,
    run: unhex,
};

fn unhex<'a>(call: &Call<'a>) -> Result<Answer<'a>, Failure> {
    let [Argument::Text(digits), Argument::Text(between)] = *call.arguments else {
        return Ok(Answer::Null);
    };
    let room = digits.len() / 2 + 1;
    if room > call.value_bytes {
        return Err(Failure::TooBig);
    }
    let mut bytes = Buffer::with_room(room)?;
    let mut steps = Steps::of(call);
    let mut allowed = None;
    let mut rest = before_nul(digits);
    while let Some(first) = rest.first() {
        steps.take(1)?;
        if let Some(high) = digit(*first) {
            let Some(low) = rest.get(1).copied().and_then(digit) else {
                return Ok(Answer::Null);
            };
            bytes.push_byte(high << 4 | low)?;
            rest = &rest[2..];
            continue;
        }
        let (character, after) = character(rest);
        let allowed: &mut Characters = match &mut allowed {
            Some(allowed) => allowed,
            none => none.insert(Characters::of(between, &mut steps)?),
        };
        if !allowed.contain(character) {
            return Ok(Answer::Null);
        }
        rest = after;
    }
    Ok(Answer::Blob(bytes))
}

fn digit(byte: u8) -> Option<u8> {
    // At most 15.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// The first character as SQLite reads it (`sqlite3Utf8Read`), and what follows. `text` is not empty.
fn character(text: &[u8]) -> (u32, &[u8]) {
    let first = text[0];
    let head = match first {
        ..0xc0 => return (u32::from(first), &text[1..]),
        0xc0..0xe0 => first & 0x1f,
        0xe0..0xf0 => first & 0x0f,
        0xf0..0xf8 => first & 0x07,
        0xf8..0xfc => first & 0x03,
        0xfc..0xfe => first & 0x01,
        0xfe.. => 0,
    };
    let others = text[1..]
        .iter()
        .take_while(|byte| is_continuation(**byte))
        .count();
    let (others, after) = text[1..].split_at(others);
    let number = others.iter().fold(u32::from(head), |number, byte| {
        (number << 6).wrapping_add(u32::from(byte & 0x3f))
    });
    match number < 0x80 || number & 0xffff_f800 == 0xd800 {
        true => (0xfffd, after),
        false => (number, after),
    }
}

/// Numbers below this have a bit each: 256 KiB for all that UTF-8 can say.
const BITS: usize = 1 << 21;

/// A set of characters.
#[derive(Default)]
struct Characters {
    /// As many as are needed.
    bits: Vec<u64>,
    /// Larger numbers, sorted.
    others: Vec<u32>,
}

impl Characters {
    fn of(mut text: &[u8], steps: &mut Steps<'_>) -> Result<Characters, Failure> {
        let mut set = Characters::default();
        while !text.is_empty() {
            let (number, after) = character(text);
            steps.take(text.len() - after.len())?;
            let word = number as usize / 64;
            match (number as usize) < BITS {
                true => {
                    if set.bits.len() <= word {
                        set.bits.resize(word + 1, 0);
                    }
                    set.bits[word] |= 1 << (number % 64);
                }
                false => set.others.push(number),
            }
            text = after;
        }
        set.others.sort_unstable();
        Ok(set)
    }

    fn contain(&self, number: u32) -> bool {
        match self.bits.get(number as usize / 64) {
            Some(word) => word >> (number % 64) & 1 == 1,
            None => self.others.binary_search(&number).is_ok(),
        }
    }
}
