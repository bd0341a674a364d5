//! Reading the segments at start: where each entry is, and what each group voted, committed and purged.

use super::Error;
use super::frame::{self, Kind};
use super::segment::{HEADER as FIRST_FRAME, Segment};
use super::stored::{LogIdMessage, VoteMessage};
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

/// What is known of a group besides its entries.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Meta {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) vote: Option<VoteMessage>,
    #[prost(message, optional, tag = "3")]
    pub(super) committed: Option<LogIdMessage>,
    #[prost(message, optional, tag = "4")]
    pub(super) purged: Option<LogIdMessage>,
}

/// Where an entry's bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u32,
    pub(super) len: u32,
}

/// One group as it was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) meta: Meta,
    /// Index of the first position.
    pub(super) first: u64,
    pub(super) positions: VecDeque<Position>,
}

impl Found {
    pub(super) fn next_index(&self) -> u64 {
        self.first + self.positions.len() as u64
    }

    fn truncate(&mut self, from: u64) {
        let keep = from.saturating_sub(self.first);
        self.positions
            .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
    }

    fn append(&mut self, index: u64, position: Position) -> bool {
        if self.positions.is_empty() {
            self.first = index;
        }
        let next = index == self.next_index();
        if next {
            self.positions.push_back(position);
        }
        next
    }

    fn drop_purged(&mut self) {
        let purged = self.meta.purged.map_or(0, |id| id.index + 1);
        while self.first < purged && self.positions.pop_front().is_some() {
            self.first += 1;
        }
    }
}

/// Everything that the directory held.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) segments: VecDeque<Segment>,
    pub(super) groups: BTreeMap<u32, Found>,
    /// Where the next frame goes in the last segment.
    pub(super) end: u64,
    /// Its number.
    pub(super) next_frame: u64,
}

/// Reads all segments of `dir`.
pub(super) fn recover(dir: &Path) -> Result<Recovered, Error> {
    let mut recovered = Recovered {
        end: FIRST_FRAME as u64,
        next_frame: 1,
        ..Recovered::default()
    };
    let paths = segment_paths(dir)?;
    let last = paths.len().saturating_sub(1);
    for (i, path) in paths.iter().enumerate() {
        let mut segment = Segment::open(path)?;
        if recovered
            .segments
            .back()
            .is_some_and(|before| before.sequence + 1 != segment.sequence)
        {
            return Err(corrupt(&segment, 0, "the segment before it is missing"));
        }
        let first = recovered.segments.is_empty();
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        recovered.read_segment(&mut segment, &bytes, first, i == last)?;
        recovered.segments.push_back(segment);
    }
    for found in recovered.groups.values_mut() {
        found.drop_purged();
        let purged = found.meta.purged.map_or(0, |id| id.index);
        if !found.positions.is_empty()
            && found.first > purged + 1
            && let Some(first) = recovered.segments.front()
        {
            let detail = format!("entries before index {} are missing", found.first);
            return Err(corrupt(first, FIRST_FRAME, &detail));
        }
    }
    Ok(recovered)
}

/// Segment files in order; what is left of blank files is removed.
fn segment_paths(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("seg") => paths.push(path),
            Some("blank") => std::fs::remove_file(&path).map_err(Error::io("remove", &path))?,
            _ => {}
        }
    }
    paths.sort();
    Ok(paths)
}

impl Recovered {
    fn read_segment(
        &mut self,
        segment: &mut Segment,
        bytes: &[u8],
        is_first: bool,
        is_last: bool,
    ) -> Result<(), Error> {
        let mut at = FIRST_FRAME;
        let mut frames = 0;
        while let Some(frame) = frame::read(bytes, at, segment.salt) {
            if is_first && frames == 0 {
                self.next_frame = frame.number;
            }
            if frame.number != self.next_frame
                && frames == 0
                && let Some(before) = self.segments.back()
            {
                let detail = "an invalid frame, and valid ones in the next segment";
                return Err(corrupt(before, self.end as usize, detail));
            }
            if frame.number != self.next_frame {
                return Err(corrupt(segment, at, "a frame is missing before this one"));
            }
            self.read_frame(segment, at, frame.payload)?;
            at += frame.len;
            frames += 1;
            self.next_frame += 1;
        }
        self.end = at as u64;
        // A roll writes the first frame of a segment before anything is acknowledged from it, so only the
        // last segment may be empty or end in a torn frame.
        if let Some(behind) = valid_frame_after(bytes, at, segment.salt, self.next_frame) {
            return Err(corrupt(
                segment,
                at,
                &format!("an invalid frame before a valid one at byte {behind}"),
            ));
        }
        if !is_last && frames == 0 {
            return Err(corrupt(segment, at, "a segment before the last holds nothing"));
        }
        Ok(())
    }

    fn read_frame(&mut self, segment: &mut Segment, at: usize, payload: &[u8]) -> Result<(), Error> {
        for record in frame::records(payload) {
            let Some(record) = record else {
                return Err(corrupt(segment, at, "an unknown record"));
            };
            let offset = at + frame::HEADER + record.at;
            let found = self.groups.entry(record.group).or_default();
            let good = match record.kind {
                Kind::Entry => {
                    let newest = segment.newest.entry(record.group).or_default();
                    *newest = record.index.max(*newest);
                    let (offset, len) = (offset as u32, record.bytes.len() as u32);
                    found.append(
                        record.index,
                        Position {
                            segment: segment.sequence,
                            offset,
                            len,
                        },
                    )
                }
                Kind::Truncate => {
                    found.truncate(record.index);
                    true
                }
                Kind::Meta => {
                    let meta = Meta::decode(Bytes::copy_from_slice(record.bytes));
                    meta.map(|meta| found.meta = meta).is_ok()
                }
                Kind::Committed => {
                    let id = LogIdMessage::decode(Bytes::copy_from_slice(record.bytes));
                    id.map(|id| found.meta.committed = Some(id)).is_ok()
                }
            };
            if !good {
                return Err(corrupt(
                    segment,
                    offset,
                    "a record that does not follow from those before it",
                ));
            }
            if record.kind == Kind::Meta {
                found.drop_purged();
            }
        }
        Ok(())
    }
}

/// Offset of a valid frame of this life of the segment, with `number` or a later one, behind `at`.
fn valid_frame_after(bytes: &[u8], at: usize, salt: u64, number: u64) -> Option<usize> {
    (at..bytes.len())
        .step_by(frame::ALIGNMENT)
        .find(|&at| frame::read(bytes, at, salt).is_some_and(|frame| frame.number >= number))
}

fn corrupt(segment: &Segment, at: usize, detail: &str) -> Error {
    Error::CorruptSegment {
        path: segment.path.clone(),
        offset: at as u64,
        detail: detail.to_owned(),
    }
}
