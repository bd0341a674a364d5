//! `trim(X, Y)`, `ltrim` and `rtrim` with a set of characters.
//!
//! SQLite tries the characters of Y in their order at each place, and takes the first that fits. Where everything
//! is UTF-8, none is a part of another, and the order means nothing. Else it does: a character is a byte, or a byte
//! from 0xc0 on with all continuation bytes (0x80 to 0xbf) that follow it, however many, so that one may begin another.
//!
//! Here the first that fits is found by the text: single bytes in a table, longer ones in a sorted list that is
//! narrowed byte by byte. From the end, a longer one can only begin where the run of continuation bytes begins; what
//! of the list fits there is kept, because the same run may be cut many times, by a byte each.

use super::{Steps, before_nul, is_continuation};
use crate::vfs::{Answer, Argument, Call, Failure, Function, Reads};

pub(super) static LTRIM: Function = Function {
    name: c"ltrim",
    arguments: 2,
    reads: Reads::Texts,
    run: |call| trim(call, true, false),
};

pub(super) static RTRIM: Function = Function {
    name: c"rtrim",
    arguments: 2,
    reads: Reads::Texts,
    run: |call| trim(call, false, true),
};

pub(super) static TRIM: Function = Function {
    name: c"trim",
    arguments: 2,
    reads: Reads::Texts,
    run: |call| trim(call, true, true),
};

/// What SQLite takes for each character of the set, in one piece of memory that may be no larger than a value.
const BYTES_A_CHARACTER: usize = 12;

fn trim<'a>(call: &Call<'a>, start: bool, end: bool) -> Result<Answer<'a>, Failure> {
    let [Argument::Text(text), Argument::Text(characters)] = *call.arguments else {
        return Ok(Answer::Null);
    };
    let mut steps = Steps::of(call);
    let set = Set::of(characters, call.value_bytes / BYTES_A_CHARACTER, &mut steps)?;
    let text = match start {
        true => set.trim_start(text, &mut steps)?,
        false => text,
    };
    let text = match end {
        true => set.trim_end(text, &mut steps)?,
        false => text,
    };
    Ok(Answer::Part(text))
}

/// No place in the set.
const NONE: u32 = u32::MAX;

/// A set of characters, each with its place in the order, of which the lowest wins.
struct Set<'a> {
    bytes: [u32; 256],
    /// Those of more than one byte, sorted.
    longer: Vec<(&'a [u8], u32)>,
}

impl<'a> Set<'a> {
    fn of(text: &'a [u8], most: usize, steps: &mut Steps<'_>) -> Result<Set<'a>, Failure> {
        let mut set = Set {
            bytes: [NONE; 256],
            longer: Vec::new(),
        };
        let mut rest = before_nul(text);
        let mut place = 0;
        while let Some((first, others)) = rest.split_first() {
            let length = match *first {
                0xc0.. => 1 + continuation(others),
                _ => 1,
            };
            steps.take(length)?;
            let (character, after) = rest.split_at(length);
            match length {
                1 => set.bytes[usize::from(*first)] = set.bytes[usize::from(*first)].min(place),
                _ => set.longer.push((character, place)),
            }
            place += 1;
            rest = after;
        }
        if place as usize > most {
            return Err(Failure::TooBig);
        }
        set.longer.sort_unstable();
        set.longer.dedup_by_key(|(character, _)| *character);
        Ok(set)
    }

    fn trim_start<'t>(&self, mut text: &'t [u8], steps: &mut Steps<'_>) -> Result<&'t [u8], Failure> {
        while let Some(first) = text.first() {
            let mut best = (self.bytes[usize::from(*first)], 1);
            self.beginning(text, steps, |length, place| best = best.min((place, length)))?;
            if best.0 == NONE {
                break;
            }
            text = &text[best.1..];
        }
        Ok(text)
    }

    fn trim_end<'t>(&self, mut text: &'t [u8], steps: &mut Steps<'_>) -> Result<&'t [u8], Failure> {
        let mut run = Run {
            start: text.len(),
            fits: Vec::new(),
        };
        while let Some(last) = text.last() {
            let mut best = (self.bytes[usize::from(*last)], 1);
            if is_continuation(*last) && !self.longer.is_empty() {
                if run.start >= text.len() {
                    run = self.run(text, steps)?;
                }
                let length = text.len() - run.start;
                if let Some(place) = run.fits(length) {
                    best = best.min((place, length));
                }
            }
            steps.take(1)?;
            if best.0 == NONE {
                break;
            }
            text = &text[..text.len() - best.1];
        }
        Ok(text)
    }

    /// The run of continuation bytes at the end of `text`, with the byte before it.
    fn run(&self, text: &[u8], steps: &mut Steps<'_>) -> Result<Run, Failure> {
        let bytes = text
            .iter()
            .rev()
            .take_while(|byte| is_continuation(**byte))
            .count();
        steps.take(bytes)?;
        let start = (text.len() - bytes).saturating_sub(1);
        let mut fits = Vec::new();
        self.beginning(&text[start..], steps, |length, place| fits.push((length, place)))?;
        Ok(Run { start, fits })
    }

    /// Those of the longer ones that begin `text`, from short to long: their lengths and places.
    fn beginning(
        &self,
        text: &[u8],
        steps: &mut Steps<'_>,
        mut found: impl FnMut(usize, u32),
    ) -> Result<(), Failure> {
        steps.take(1)?;
        let mut left = &self.longer[..];
        for (depth, byte) in text.iter().enumerate() {
            if left.is_empty() {
                break;
            }
            let from = left.partition_point(|(character, _)| character.get(depth) < Some(byte));
            let to = left.partition_point(|(character, _)| character.get(depth) <= Some(byte));
            left = &left[from..to];
            steps.take(1)?;
            if let Some((character, place)) = left.first()
                && character.len() == depth + 1
            {
                found(character.len(), *place);
            }
        }
        Ok(())
    }
}

/// A run of continuation bytes, and what of the set fits where it starts.
struct Run {
    start: usize,
    /// Lengths and places, from short to long.
    fits: Vec<(usize, u32)>,
}

impl Run {
    /// The place of the character of exactly this length. Asked for shorter and shorter ones.
    fn fits(&mut self, length: usize) -> Option<u32> {
        while self.fits.last().is_some_and(|(longest, _)| *longest > length) {
            self.fits.pop();
        }
        self.fits
            .last()
            .filter(|(longest, _)| *longest == length)
            .map(|(_, place)| *place)
    }
}

/// Continuation bytes at the beginning.
fn continuation(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_continuation(**byte)).count()
}
