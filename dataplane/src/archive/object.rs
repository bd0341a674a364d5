//! One object of the archive: consecutive committed entries of a group, sorted by database.
//!
//! ```text
//! "ORIONARC" · format u32 · 0 u32
//! block*     entries of one database in order of their index; the first block may be the group's own
//!   entry*     index u64 · length u32 · the entry as it stands in a log (`log::stored`), with its own checksum
//! footer     protobuf `Footer`: whose it is, which entries, an index of the blocks with the checksum of each
//! trailer    length of the footer u32 · XXH3-64 of everything before the trailer · "ORIONEND"
//! ```
//! (little-endian). A reader of one database takes the footer and its block; a recovery takes all.
//!
//! The footer repeats group, incarnation and first index, which are also in the path: an object that was copied under
//! another name is not taken for what it is not.
//!
//! A *seal* has no blocks and no entries, but the operation that wrote it.
//!
//! LIMIT: an object is made and read as a whole in memory. The writer ends it at [`OBJECT_BYTES`] or after one entry.

use super::Error;
use crate::entry::Kind;
use crate::log::{self, LogIdMessage};
use crate::owner::Incarnation;
use crate::raft::{Entry, LogId};
use bytes::{BufMut, Bytes, BytesMut};
use object_store::path::Path;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use orion_api::{DatabaseId, Epoch, GroupName, Version};
use prost::Message;
use std::collections::BTreeMap;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of entries after which an object ends.
pub(crate) const OBJECT_BYTES: usize = 16 << 20;

const MAGIC: &[u8; 8] = b"ORIONARC";
const END: &[u8; 8] = b"ORIONEND";
const FORMAT: u32 = 1;
const HEADER: usize = 16;
const TRAILER: usize = 4 + 8 + 8;
/// In front of an entry.
const ENTRY_PREFIX: usize = 8 + 4;
/// Entries carry the number of their group on a node in their checksum; here there is only one.
const GROUP: u32 = 0;

/// Whose life of a log an object belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// The group.
    pub(crate) group: GroupName,
    /// Which life of its log.
    pub(crate) incarnation: Incarnation,
}

impl Life {
    /// Where its objects are.
    pub(crate) fn path(&self) -> Path {
        Path::from_iter([
            "archive",
            self.group.as_str(),
            &format!("{:020}", self.incarnation.0),
        ])
    }

    /// Where the object that begins with `first` is.
    pub(crate) fn object(&self, first: u64) -> Path {
        self.path().join(format!("{first:020}"))
    }
}

/// What an object holds.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    /// Entries, in order of their index, without a gap.
    Entries(Entries),
    /// The end of the chain: nothing of this incarnation comes after it.
    Seal(Uuid),
}

/// Consecutive entries.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    /// In order of their index, at least one.
    pub(crate) entries: Vec<Entry>,
    /// Everything that was acknowledged before this is in this object or an earlier one: wall clock of the writer, ms
    /// since 1970.
    pub(crate) complete_until_ms: u64,
    /// What is where.
    pub(crate) blocks: Vec<Block>,
}

impl Entries {
    /// Position of the first.
    pub(crate) fn first(&self) -> Option<LogId> {
        self.entries.first().map(RaftEntry::log_id)
    }

    /// Position of the last.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.entries.last().map(RaftEntry::log_id)
    }
}

/// One database's part of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Whose; none: the group's own.
    pub(crate) database: Option<DatabaseId>,
    /// Of its last commit.
    pub(crate) epoch: Epoch,
    /// The version that its first commit made; 0 if it has none.
    pub(crate) first_version: Version,
    /// The version that its last commit made.
    pub(crate) last_version: Version,
    /// Where it begins.
    pub(crate) offset: u64,
    /// Its bytes.
    pub(crate) length: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Footer {
    #[prost(string, tag = "1")]
    group: String,
    #[prost(uint64, tag = "2")]
    incarnation: u64,
    #[prost(uint64, tag = "3")]
    first_index: u64,
    #[prost(message, optional, tag = "4")]
    last: Option<LogIdMessage>,
    #[prost(uint64, tag = "5")]
    complete_until_ms: u64,
    #[prost(message, repeated, tag = "6")]
    blocks: Vec<BlockMessage>,
    /// 16 bytes in a seal, else empty.
    #[prost(bytes = "bytes", tag = "7")]
    sealed_by: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BlockMessage {
    /// 16 bytes, or none for the group's own.
    #[prost(bytes = "bytes", tag = "1")]
    database: Bytes,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint64, tag = "3")]
    first_version: u64,
    #[prost(uint64, tag = "4")]
    last_version: u64,
    #[prost(uint64, tag = "5")]
    offset: u64,
    #[prost(uint64, tag = "6")]
    length: u64,
    #[prost(fixed64, tag = "7")]
    sum: u64,
}

/// An object of `entries`, which are consecutive and at least one.
pub(crate) fn encode(life: &Life, entries: &[Entry], complete_until_ms: u64) -> Bytes {
    let mut parts: BTreeMap<Option<DatabaseId>, Part> = BTreeMap::new();
    for entry in entries {
        let (database, commit) = place(entry);
        parts.entry(database).or_default().add(entry, commit);
    }
    let bytes = parts.values().map(|part| part.bytes.len()).sum::<usize>();
    let mut out = BytesMut::with_capacity(HEADER + bytes + 128 * parts.len() + 128);
    begin(&mut out);
    let mut blocks = Vec::with_capacity(parts.len());
    for (database, part) in parts {
        blocks.push(BlockMessage {
            database: database.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_bytes())),
            epoch: part.epoch,
            first_version: part.first_version,
            last_version: part.last_version,
            offset: out.len() as u64,
            length: part.bytes.len() as u64,
            sum: xxh3_64(&part.bytes),
        });
        out.put_slice(&part.bytes);
    }
    let footer = Footer {
        group: life.group.to_string(),
        incarnation: life.incarnation.0,
        first_index: entries.first().map_or(0, RaftEntry::index),
        last: entries.last().map(|last| last.log_id().into()),
        complete_until_ms,
        blocks,
        sealed_by: Bytes::new(),
    };
    end(out, &footer)
}

/// The object at `index` that ends the chain.
pub(crate) fn encode_seal(life: &Life, index: u64, operation: Uuid) -> Bytes {
    let mut out = BytesMut::new();
    begin(&mut out);
    let footer = Footer {
        group: life.group.to_string(),
        incarnation: life.incarnation.0,
        first_index: index,
        sealed_by: Bytes::copy_from_slice(operation.as_bytes()),
        ..Footer::default()
    };
    end(out, &footer)
}

/// The object that stands at `first` in the chain of `life`.
///
/// INVARIANT: what is handed out passed the checksum of the object, of its block and of itself, is what its name says, and
/// has no gap. Tested by `any_flipped_bit_or_cut_is_found`.
pub(crate) fn decode(life: &Life, first: u64, object: &Bytes) -> Result<Object, Error> {
    let path = life.object(first);
    let damaged = |detail: &str| Error::Damaged {
        path: path.clone(),
        detail: detail.to_owned(),
    };
    let footer = footer(&path, object)?;
    let is_meant = footer.group == life.group.as_str()
        && footer.incarnation == life.incarnation.0
        && footer.first_index == first;
    if !is_meant {
        return Err(damaged("it is another object under this name"));
    }
    if !footer.sealed_by.is_empty() {
        let operation = footer.sealed_by.as_ref().try_into();
        let operation = operation.map_err(|_| damaged("its seal makes no sense"))?;
        return Ok(Object::Seal(Uuid::from_bytes(operation)));
    }
    let mut entries = Vec::new();
    let mut blocks = Vec::with_capacity(footer.blocks.len());
    for block in &footer.blocks {
        let bytes = slice(object, block).ok_or_else(|| damaged("a block lies outside of it"))?;
        if xxh3_64(&bytes) != block.sum {
            return Err(damaged("a block does not have its checksum"));
        }
        read_block(bytes, &mut entries).map_err(|detail| damaged(&detail))?;
        blocks.push(known(block).ok_or_else(|| damaged("a block makes no sense"))?);
    }
    entries.sort_by_key(RaftEntry::index);
    let indexes = entries.iter().map(RaftEntry::index);
    let is_whole = indexes.eq(first..first + entries.len() as u64);
    let last = entries.last().map(RaftEntry::log_id);
    if !is_whole || last.is_none() || last != footer.last.map(LogId::from) {
        return Err(damaged("its entries are not those that it names"));
    }
    Ok(Object::Entries(Entries {
        entries,
        complete_until_ms: footer.complete_until_ms,
        blocks,
    }))
}

/// Whose entry it is, and what it commits.
fn place(entry: &Entry) -> (Option<DatabaseId>, Option<(Epoch, Version)>) {
    let EntryPayload::Normal(proposal) = &entry.payload else {
        return (None, None);
    };
    let id = |bytes: &Bytes| bytes.as_ref().try_into().ok().map(DatabaseId::from_bytes);
    match &proposal.command.kind {
        Some(Kind::Commit(commit)) => match commit.body() {
            Ok(body) => (body.database(), Some((body.epoch(), body.base_version().next()))),
            Err(_) => (None, None),
        },
        Some(Kind::Pages(pages)) => (id(&pages.database), None),
        Some(Kind::Create(create)) => (id(&create.database), None),
        Some(Kind::Drop(drop)) => (id(&drop.database), None),
        Some(Kind::Purged(purged)) => (id(&purged.database), None),
        Some(Kind::Materialized(materialized)) => (id(&materialized.database), None),
        Some(Kind::Unpin(unpin)) => (id(&unpin.database), None),
        Some(Kind::SetLimits(limits)) => (id(&limits.database), None),
        Some(Kind::SetFormatLevel(_) | Kind::SetSigningKey(_) | Kind::Archived(_)) | None => (None, None),
    }
}

/// A block that is being made.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    epoch: u64,
    first_version: u64,
    last_version: u64,
}

impl Part {
    fn add(&mut self, entry: &Entry, commit: Option<(Epoch, Version)>) {
        if let Some((epoch, version)) = commit {
            if self.first_version == 0 {
                self.first_version = version.0;
            }
            (self.epoch, self.last_version) = (epoch.0, version.0);
        }
        let stored = log::encode_entry(GROUP, entry);
        self.bytes.put_u64_le(entry.index());
        self.bytes.put_u32_le(stored.len() as u32);
        self.bytes.put_slice(&stored);
    }
}

fn begin(out: &mut BytesMut) {
    out.put_slice(MAGIC);
    out.put_u32_le(FORMAT);
    out.put_u32_le(0);
}

fn end(mut out: BytesMut, footer: &Footer) -> Bytes {
    let footer = footer.encode_to_vec();
    out.put_slice(&footer);
    let sum = xxh3_64(&out);
    out.put_u32_le(footer.len() as u32);
    out.put_u64_le(sum);
    out.put_slice(END);
    out.freeze()
}

fn footer(path: &Path, object: &Bytes) -> Result<Footer, Error> {
    let damaged = |detail: &str| Error::Damaged {
        path: path.clone(),
        detail: detail.to_owned(),
    };
    if object.len() < HEADER + TRAILER || &object[..8] != MAGIC {
        return Err(damaged("it is no object of a log archive, or cut off"));
    }
    let format = u32::from_le_bytes([object[8], object[9], object[10], object[11]]);
    if format != FORMAT {
        return Err(Error::Format {
            path: path.clone(),
            format,
        });
    }
    let body = object.len() - TRAILER;
    let trailer = &object[body..];
    let length = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]) as usize;
    if &trailer[12..] != END || trailer[4..12] != xxh3_64(&object[..body]).to_le_bytes() {
        return Err(damaged("it does not have its checksum, or is cut off"));
    }
    let start = body.checked_sub(length).filter(|start| *start >= HEADER);
    let start = start.ok_or_else(|| damaged("its footer lies outside of it"))?;
    Footer::decode(object.slice(start..body)).map_err(|_| damaged("its footer makes no sense"))
}

fn slice(object: &Bytes, block: &BlockMessage) -> Option<Bytes> {
    let start = usize::try_from(block.offset).ok()?;
    let end = start.checked_add(usize::try_from(block.length).ok()?)?;
    (end <= object.len()).then(|| object.slice(start..end))
}

fn known(block: &BlockMessage) -> Option<Block> {
    let database = match block.database.len() {
        0 => None,
        _ => Some(DatabaseId::from_bytes(block.database.as_ref().try_into().ok()?)),
    };
    Some(Block {
        database,
        epoch: Epoch(block.epoch),
        first_version: Version(block.first_version),
        last_version: Version(block.last_version),
        offset: block.offset,
        length: block.length,
    })
}

fn read_block(mut block: Bytes, entries: &mut Vec<Entry>) -> Result<(), String> {
    while !block.is_empty() {
        let short = || "an entry is cut off".to_owned();
        let prefix = block.split_at_checked(ENTRY_PREFIX).ok_or_else(short)?.0;
        let mut number = [0; 8];
        number.copy_from_slice(&prefix[..8]);
        let index = u64::from_le_bytes(number);
        let length = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]) as usize;
        let end = ENTRY_PREFIX + length;
        if block.len() < end {
            return Err(short());
        }
        let stored = block.slice(ENTRY_PREFIX..end);
        entries.push(log::decode_entry(GROUP, index, stored).map_err(|error| error.to_string())?);
        block = block.slice(end..);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{self, Proposal};
    use proptest::prelude::*;

    fn life() -> Life {
        Life {
            group: "main".parse().expect("a name"),
            incarnation: Incarnation(2),
        }
    }

    /// An entry of one of three databases, or of the group.
    fn entry(index: u64, what: u8, bytes: Vec<u8>) -> Entry {
        let database = Bytes::copy_from_slice(&[what % 3; 16]);
        let payload = match what % 5 {
            0 => EntryPayload::Blank,
            1 => EntryPayload::Normal(Proposal::new(Kind::SetSigningKey(entry::SetSigningKey {
                key: bytes.into(),
            }))),
            2 => EntryPayload::Normal(Proposal::new(Kind::Pages(entry::Pages {
                database,
                epoch: 1,
                ..entry::Pages::default()
            }))),
            _ => {
                let body = entry::CommitBody {
                    database,
                    epoch: 1,
                    base_version: index,
                    records: vec![entry::Record {
                        key: bytes.into(),
                        ..entry::Record::default()
                    }],
                    ..entry::CommitBody::default()
                };
                let (commit, _) = entry::Commit::link(crate::page::Chain::START, &body);
                EntryPayload::Normal(Proposal::new(Kind::Commit(commit)))
            }
        };
        Entry::new(log::log_id(3, 7, index), payload)
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let one = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40));
        (0u64..1000, prop::collection::vec(one, 1..30)).prop_map(|(first, all)| {
            let numbered = (first..).zip(all);
            numbered
                .map(|(index, (what, bytes))| entry(index, what, bytes))
                .collect()
        })
    }

    fn texts(entries: &[Entry]) -> Vec<Vec<u8>> {
        entries.iter().map(|entry| log::encode_entry(0, entry)).collect()
    }

    proptest! {
        #[test]
        fn entries_come_back_in_their_order(written in entries(), until in any::<u64>()) {
            let first = written[0].index();
            let object = encode(&life(), &written, until);
            let Object::Entries(read) = decode(&life(), first, &object).expect("own object") else {
                panic!("no seal")
            };
            prop_assert_eq!(texts(&read.entries), texts(&written));
            prop_assert_eq!(read.complete_until_ms, until);
            let databases: Vec<_> = read.blocks.iter().map(|block| block.database).collect();
            prop_assert!(databases.is_sorted());
            for block in read.blocks.iter().filter(|block| block.database.is_some()) {
                let commits = written.iter().map(place).filter(|(whose, _)| *whose == block.database);
                let versions: Vec<Version> = commits.filter_map(|(_, commit)| commit).map(|(_, v)| v).collect();
                let none = Version(0);
                prop_assert_eq!(block.first_version, *versions.first().unwrap_or(&none));
                prop_assert_eq!(block.last_version, *versions.last().unwrap_or(&none));
            }
        }

        #[test]
        fn any_flipped_bit_or_cut_is_found(written in entries(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let first = written[0].index();
            let object = encode(&life(), &written, 5);
            let mut flipped = object.to_vec();
            let at = at.index(flipped.len());
            flipped[at] ^= 1 << bit;
            // Bytes 12 to 16 mean nothing yet, and are in the checksum all the same.
            prop_assert!(decode(&life(), first, &flipped.into()).is_err(), "bit {} of byte {}", bit, at);
            prop_assert!(decode(&life(), first, &object.slice(..at)).is_err(), "cut at {}", at);
        }

        #[test]
        fn garbage_never_panics(mut garbage in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&life(), 1, &garbage.clone().into());
            garbage.splice(0..0, *MAGIC);
            let _ = decode(&life(), 1, &garbage.into());
        }
    }

    #[test]
    fn an_object_under_another_name_is_refused() {
        let object = encode(&life(), &[entry(5, 0, Vec::new())], 0);
        let other = Life {
            incarnation: Incarnation(1),
            ..life()
        };
        assert!(decode(&life(), 5, &object).is_ok());
        assert!(matches!(decode(&life(), 6, &object), Err(Error::Damaged { .. })));
        assert!(matches!(decode(&other, 5, &object), Err(Error::Damaged { .. })));
    }

    #[test]
    fn an_unknown_format_is_refused_by_its_number() {
        let mut object = encode(&life(), &[entry(5, 0, Vec::new())], 0).to_vec();
        object[8] = 2;
        let refused = decode(&life(), 5, &object.into());
        assert!(
            matches!(refused, Err(Error::Format { format: 2, .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_seal_says_whose_it_is() {
        let operation = Uuid::new_v4();
        let seal = encode_seal(&life(), 9, operation);
        let read = decode(&life(), 9, &seal).expect("own seal");
        assert!(matches!(read, Object::Seal(by) if by == operation), "{read:?}");
    }
}
