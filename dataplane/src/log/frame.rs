//! Frames and records as bytes. Pure.

use std::hash::Hasher;
use xxhash_rust::xxh3::Xxh3;

/// Bytes before the payload of a frame.
pub(super) const HEADER: usize = 24;

/// Frames begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

const MAGIC: u32 = 0x4652_4e4f;
const RECORD_HEADER: usize = 17;

/// What a record is. The numbers are the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A stored entry, at `index`.
    Entry = 1,
    /// [`Meta`](super::recovery::Meta) of the group, all of it.
    Meta = 2,
    /// Entries from `index` on are void.
    Truncate = 3,
    /// The log id up to which entries are committed, as far as this node knew.
    Committed = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Entry, Kind::Meta, Kind::Truncate, Kind::Committed]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// One record of a frame that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    pub(super) group: u32,
    pub(super) index: u64,
    /// Offset of `bytes` in the payload.
    pub(super) at: usize,
    pub(super) bytes: &'a [u8],
}

/// A frame under construction.
#[derive(Debug)]
pub(super) struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            bytes: vec![0; HEADER],
        }
    }

    /// Adds a record; answers the offset of its bytes from the start of the frame.
    pub(super) fn push(&mut self, kind: Kind, group: u32, index: u64, bytes: &[u8]) -> usize {
        self.bytes.push(kind as u8);
        self.bytes.extend_from_slice(&group.to_le_bytes());
        self.bytes.extend_from_slice(&index.to_le_bytes());
        self.bytes.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        at
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len().next_multiple_of(ALIGNMENT)
    }

    /// The finished frame, padded; the builder is empty afterwards.
    pub(super) fn finish(&mut self, number: u64, salt: u64) -> &[u8] {
        let length = (self.bytes.len() - HEADER) as u32;
        let sum = checksum(salt, number, &self.bytes[HEADER..]);
        self.bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&length.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&number.to_le_bytes());
        self.bytes[16..24].copy_from_slice(&sum.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        &self.bytes
    }

    /// Makes room for the next frame, keeping a reasonable allocation.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(HEADER);
        self.bytes.shrink_to(1 << 20);
    }
}

fn checksum(salt: u64, number: u64, payload: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.write_u64(salt.to_le());
    hash.write_u64(number.to_le());
    hash.update(payload);
    hash.digest()
}

/// A valid frame that was found in a segment.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) number: u64,
    pub(super) payload: &'a [u8],
    /// Bytes to the next frame.
    pub(super) len: usize,
}

/// The frame at `at`, if there is a valid one with this salt.
pub(super) fn read(segment: &[u8], at: usize, salt: u64) -> Option<Frame<'_>> {
    let header = segment.get(at..at.checked_add(HEADER)?)?;
    if u32_at(header, 0) != MAGIC {
        return None;
    }
    let length = u32_at(header, 4) as usize;
    let number = u64_at(header, 8);
    let payload = segment.get(at + HEADER..(at + HEADER).checked_add(length)?)?;
    (checksum(salt, number, payload) == u64_at(header, 16)).then(|| Frame {
        number,
        payload,
        len: (HEADER + length).next_multiple_of(ALIGNMENT),
    })
}

/// The records of a payload; `None` in place of a record that makes no sense, after which it ends.
pub(super) fn records(payload: &[u8]) -> impl Iterator<Item = Option<Record<'_>>> {
    let mut at = 0;
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || at >= payload.len() {
            return None;
        }
        let record = record_at(payload, at);
        match &record {
            Some(record) => at = record.at + record.bytes.len(),
            None => failed = true,
        }
        Some(record)
    })
}

fn record_at(payload: &[u8], at: usize) -> Option<Record<'_>> {
    let header = payload.get(at..at + RECORD_HEADER)?;
    let start = at + RECORD_HEADER;
    let bytes = payload.get(start..start.checked_add(u32_at(header, 13) as usize)?)?;
    Some(Record {
        kind: Kind::from_byte(header[0])?,
        group: u32_at(header, 1),
        index: u64_at(header, 5),
        at: start,
        bytes,
    })
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}
