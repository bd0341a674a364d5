//! A local snapshot: the catalog and the overlays of a group, as one file.
//!
//! ```text
//! "ORIONSNP" · format u32 · then frames: length u32 · XXH3-64 of the message · protobuf message
//! first frame  Head: last log id, membership, format level, number of databases
//! then         one Database per database and tombstone
//! ```
//! (little-endian). Written beside the old one, synced, renamed over it, and the folder synced.
//!
//! CRASH: the old file or the new one is there, never a half; the log is purged only after the new one is.

use super::Error;
use super::catalog::{Database, Origin, Parts, State};
use crate::base::Checkpoint;
use crate::durable;
use crate::entry::{self, Limits};
use crate::log::{LogIdMessage, membership_from_bytes, membership_to_bytes};
use crate::overlay::{Content, Prior, Slot, Snapshot, StoredRecord};
use crate::page::{Chain, Extent, PageSize};
use crate::raft::{LogId, SnapshotFile, StoredMembership, Types};
use arc_swap::ArcSwap;
use bytes::Bytes;
use openraft::Membership;
use openraft::type_config::alias::SnapshotMetaOf;
use orion_api::{DatabaseId, Epoch, Version};
use parking_lot::{Mutex, RwLock};
use prost::Message;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"ORIONSNP";
const FORMAT: u32 = 1;

/// The file's name in the group's folder.
pub(super) const NAME: &str = "snapshot";

/// What a file held.
pub(super) struct Loaded {
    pub(super) format_level: u32,
    pub(super) departed: BTreeSet<u64>,
    pub(super) signing_key: Option<[u8; 32]>,
    pub(super) archived_below: u64,
    pub(super) databases: Vec<Arc<Database>>,
}

/// A file that is open.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) meta: SnapshotMetaOf<Types>,
}

/// The state at one log id, shared with what goes on being applied.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    pub(super) last: Option<LogId>,
    pub(super) membership: StoredMembership,
    pub(super) format_level: u32,
    pub(super) departed: BTreeSet<u64>,
    pub(super) signing_key: Option<[u8; 32]>,
    pub(super) archived_below: u64,
    pub(super) databases: Vec<CapturedDatabase>,
    pub(super) path: PathBuf,
}

#[derive(Clone, Debug)]
pub(super) struct CapturedDatabase {
    database: Arc<Database>,
    state: State,
    limits: Limits,
    snapshot: Arc<Snapshot>,
    parts: Vec<entry::Pages>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(message, optional, tag = "1")]
    last: Option<LogIdMessage>,
    #[prost(message, optional, tag = "2")]
    membership_at: Option<LogIdMessage>,
    #[prost(bytes = "bytes", tag = "3")]
    membership: Bytes,
    #[prost(uint32, tag = "4")]
    format_level: u32,
    #[prost(uint64, tag = "5")]
    databases: u64,
    /// Empty if the group has none yet.
    #[prost(bytes = "bytes", tag = "6")]
    signing_key: Bytes,
    /// Node ids that were members and left.
    #[prost(fixed64, repeated, tag = "7")]
    departed: Vec<u64>,
    #[prost(uint64, tag = "8")]
    archived_below: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DatabaseMessage {
    #[prost(message, optional, tag = "1")]
    create: Option<entry::Create>,
    #[prost(uint64, optional, tag = "2")]
    dropped_at_ms: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    purged_at_ms: Option<u64>,
    #[prost(uint64, tag = "4")]
    version: u64,
    #[prost(bytes = "bytes", tag = "5")]
    chain: Bytes,
    #[prost(uint32, tag = "6")]
    page_count: u32,
    #[prost(uint32, tag = "7")]
    page_size: u32,
    #[prost(message, optional, tag = "8")]
    checkpoint: Option<CheckpointMessage>,
    #[prost(uint32, tag = "9")]
    base_limit: u32,
    #[prost(message, repeated, tag = "10")]
    shrinks: Vec<ShrinkMessage>,
    #[prost(message, repeated, tag = "11")]
    slots: Vec<SlotMessage>,
    #[prost(message, repeated, tag = "12")]
    records: Vec<RecordMessage>,
    #[prost(message, repeated, tag = "13")]
    parts: Vec<entry::Pages>,
    #[prost(message, repeated, tag = "14")]
    expiries: Vec<ExpiryMessage>,
    #[prost(message, repeated, tag = "15")]
    origins: Vec<OriginMessage>,
}

/// With which version an epoch began.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct OriginMessage {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    start_version: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CheckpointMessage {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(uint64, tag = "2")]
    version: u64,
    #[prost(uint32, tag = "3")]
    page_count: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ShrinkMessage {
    #[prost(uint64, tag = "1")]
    version: u64,
    #[prost(uint32, tag = "2")]
    page_count: u32,
}

/// How many records end at a time.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ExpiryMessage {
    #[prost(uint64, tag = "1")]
    at_ms: u64,
    #[prost(uint64, tag = "2")]
    many: u64,
}

/// A page's changes, oldest first. The first is against the base, unless it says otherwise.
#[derive(Clone, PartialEq, prost::Message)]
struct SlotMessage {
    #[prost(uint32, tag = "1")]
    page: u32,
    /// The first difference is against zeros.
    #[prost(bool, tag = "2")]
    from_zeros: bool,
    #[prost(message, repeated, tag = "3")]
    changes: Vec<ChangeMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ChangeMessage {
    #[prost(uint64, tag = "1")]
    version: u64,
    #[prost(message, optional, tag = "2")]
    change: Option<entry::PageChange>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RecordMessage {
    #[prost(uint64, tag = "1")]
    version: u64,
    #[prost(message, optional, tag = "2")]
    record: Option<entry::Record>,
}

impl Captured {
    pub(super) fn database(database: &Arc<Database>) -> CapturedDatabase {
        CapturedDatabase {
            state: *database.state.read(),
            limits: **database.limits.load(),
            snapshot: database.published.load_full(),
            parts: database.parts.lock().arrived().to_vec(),
            database: Arc::clone(database),
        }
    }

    /// Writes the file, durable under its name when this returns.
    pub(super) fn write(&self) -> Result<SnapshotFile, Error> {
        let written = self.try_write();
        if written.is_err() {
            // Half a snapshot would keep the space that a full disk needs back.
            let _ = std::fs::remove_file(self.path.with_extension("new"));
        }
        written
    }

    fn try_write(&self) -> Result<SnapshotFile, Error> {
        fail::fail_point!("snapshot::before_write");
        let temporary = self.path.with_extension("new");
        let io = |what| {
            move |source| Error::Io {
                what,
                path: self.path.clone(),
                source,
            }
        };
        let file = File::create(&temporary).map_err(io("create the local snapshot"))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        self.write_to(&mut out).map_err(io("write the local snapshot"))?;
        let file = out
            .into_inner()
            .map_err(|error| io("write the local snapshot")(error.into_error()))?;
        file.sync_all().map_err(io("sync the local snapshot"))?;
        fail::fail_point!("snapshot::before_rename");
        durable::install(&temporary, &self.path).map_err(io("rename the local snapshot"))?;
        fail::fail_point!("snapshot::after_rename");
        Ok(SnapshotFile {
            path: self.path.clone(),
        })
    }

    fn write_to(&self, out: &mut impl Write) -> std::io::Result<()> {
        out.write_all(MAGIC)?;
        out.write_all(&FORMAT.to_le_bytes())?;
        let head = Head {
            last: self.last.map(Into::into),
            membership_at: self.membership.log_id().map(Into::into),
            membership: membership_to_bytes(self.membership.membership()),
            format_level: self.format_level,
            departed: self.departed.iter().copied().collect(),
            databases: self.databases.len() as u64,
            signing_key: self
                .signing_key
                .map_or_else(Bytes::new, |key| Bytes::copy_from_slice(&key)),
            archived_below: self.archived_below,
        };
        write_frame(out, &head)?;
        self.databases
            .iter()
            .try_for_each(|database| write_frame(out, &database.message()))
    }
}

fn write_frame(out: &mut impl Write, message: &impl Message) -> std::io::Result<()> {
    let bytes = message.encode_to_vec();
    out.write_all(&(bytes.len() as u32).to_le_bytes())?;
    out.write_all(&xxh3_64(&bytes).to_le_bytes())?;
    out.write_all(&bytes)
}

impl CapturedDatabase {
    fn message(&self) -> DatabaseMessage {
        let (database, snapshot) = (&self.database, &self.snapshot);
        let (dropped_at_ms, purged_at_ms) = match self.state {
            State::Active => (None, None),
            State::Dropped { at_ms } => (Some(at_ms), None),
            State::Purged { dropped_at_ms, at_ms } => (Some(dropped_at_ms), Some(at_ms)),
        };
        let record = |(key, record): (&Bytes, &StoredRecord)| RecordMessage {
            version: record.version.0,
            record: Some(entry::Record {
                key: key.clone(),
                value: record.value.clone(),
                expires_at_ms: record.expires_at_ms,
            }),
        };
        DatabaseMessage {
            create: Some(entry::Create {
                database: Bytes::copy_from_slice(database.id.as_bytes()),
                name: database.name.to_string(),
                epoch: snapshot.epoch.0,
                created_at_ms: database.created_at_ms,
                limits: Some(self.limits),
                name_position: database.name_position,
            }),
            dropped_at_ms,
            purged_at_ms,
            version: snapshot.version.0,
            chain: Bytes::copy_from_slice(snapshot.chain.as_bytes()),
            page_count: snapshot.extent.page_count,
            page_size: snapshot.extent.page_size.map_or(0, PageSize::bytes),
            checkpoint: snapshot.checkpoint.as_ref().map(|checkpoint| CheckpointMessage {
                id: Bytes::copy_from_slice(checkpoint.id.as_bytes()),
                version: checkpoint.version.0,
                page_count: snapshot.base_page_count,
            }),
            base_limit: snapshot.base_limit,
            shrinks: snapshot
                .shrinks()
                .iter()
                .map(|(version, page_count)| ShrinkMessage {
                    version: version.0,
                    page_count: *page_count,
                })
                .collect(),
            slots: snapshot
                .slots()
                .filter_map(|(no, slot)| slot_message(no.get(), slot))
                .collect(),
            records: snapshot.records().map(record).collect(),
            expiries: snapshot
                .expiries
                .iter()
                .map(|(at_ms, many)| ExpiryMessage { at_ms, many })
                .collect(),
            parts: self.parts.clone(),
            origins: database
                .origins
                .iter()
                .map(|origin| OriginMessage {
                    epoch: origin.epoch.0,
                    start_version: origin.start_version.0,
                })
                .collect(),
        }
    }
}

/// `None` for a page that is as the base has it.
fn slot_message(page: u32, newest: &Arc<Slot>) -> Option<SlotMessage> {
    let mut message = SlotMessage {
        page,
        from_zeros: false,
        changes: Vec::new(),
    };
    let mut slot = newest;
    loop {
        let (content, below) = match &slot.content {
            Content::Stored => break,
            Content::Image(image) => (entry::PageContent::Image(image.clone()), None),
            Content::Delta { delta, prior } => (entry::PageContent::Delta(delta.clone()), Some(prior)),
        };
        let checksum = slot.checksum.map_or(0, |sum| sum.0);
        let change = entry::PageChange {
            number: page,
            checksum,
            content: Some(content),
        };
        message.changes.push(ChangeMessage {
            version: slot.version.0,
            change: Some(change),
        });
        match below {
            Some(Prior::Slot(below)) => slot = below,
            Some(Prior::Zeros) => {
                message.from_zeros = true;
                break;
            }
            Some(Prior::Stored { .. }) | None => break,
        }
    }
    message.changes.reverse();
    (!message.changes.is_empty()).then_some(message)
}

impl SnapshotFile {
    /// Log id and membership, without the databases.
    pub(super) fn meta(&self) -> Result<SnapshotMetaOf<Types>, Error> {
        let head = self.read_head(&mut self.file()?)?;
        self.meta_of(&head)
    }

    /// The file, at its beginning, and what [`SnapshotFile::meta`] says of the very same.
    pub(super) fn open(&self) -> Result<Opened, Error> {
        let mut file = self.file()?;
        let head = self.read_head(&mut file)?;
        file.rewind().map_err(self.io("read the local snapshot"))?;
        Ok(Opened {
            file,
            meta: self.meta_of(&head)?,
        })
    }

    /// Position of the newest entry in it; also of a seed, which has no members yet.
    pub(super) fn last(&self) -> Result<Option<LogId>, Error> {
        Ok(self.read_head(&mut self.file()?)?.last.map(LogId::from))
    }

    fn file(&self) -> Result<File, Error> {
        File::open(&self.path).map_err(self.io("open the local snapshot"))
    }

    fn read_head(&self, file: &mut File) -> Result<Head, Error> {
        let mut start = vec![0; 24];
        file.read_exact(&mut start)
            .map_err(|_| self.corrupt("too short"))?;
        let len = u32::from_le_bytes([start[12], start[13], start[14], start[15]]) as usize;
        start.resize(24 + len.min(1 << 24), 0);
        file.read_exact(&mut start[24..])
            .map_err(|_| self.corrupt("too short"))?;
        self.head(&mut Bytes::from(start))
    }

    fn meta_of(&self, head: &Head) -> Result<SnapshotMetaOf<Types>, Error> {
        let membership = match head.membership.is_empty() {
            true => Some(Membership::default()),
            false => membership_from_bytes(head.membership.clone()),
        };
        let membership = membership.ok_or_else(|| self.corrupt("an undecodable membership"))?;
        Ok(SnapshotMetaOf::<Types> {
            last_log_id: head.last.map(LogId::from),
            last_membership: StoredMembership::new(head.membership_at.map(LogId::from), membership),
        })
    }

    /// Everything.
    pub(super) fn load(&self) -> Result<Loaded, Error> {
        let mut bytes = Bytes::from(std::fs::read(&self.path).map_err(self.io("read the local snapshot"))?);
        let head = self.head(&mut bytes)?;
        let mut databases = Vec::new();
        for _ in 0..head.databases {
            let message: DatabaseMessage = self.frame(&mut bytes)?;
            let database = restore(message).ok_or_else(|| self.corrupt("a database that makes no sense"))?;
            databases.push(Arc::new(database));
        }
        if !bytes.is_empty() {
            return Err(self.corrupt("more than its head announces"));
        }
        let signing_key = match head.signing_key.len() {
            0 => None,
            _ => Some(
                head.signing_key
                    .as_ref()
                    .try_into()
                    .map_err(|_| self.corrupt("a signing key of another length"))?,
            ),
        };
        Ok(Loaded {
            format_level: head.format_level,
            departed: head.departed.into_iter().collect(),
            signing_key,
            archived_below: head.archived_below,
            databases,
        })
    }

    /// Loads it, and makes it this member's own snapshot at `path` if it is not.
    ///
    /// CRASH: openraft lets the log before it go only after this: it must be durable under its name by then.
    pub(super) fn adopt(&self, path: &Path) -> Result<Loaded, Error> {
        let loaded = self.load()?;
        if self.path != path {
            durable::install(&self.path, path).map_err(self.io("rename the snapshot that arrived"))?;
        }
        Ok(loaded)
    }

    fn head(&self, bytes: &mut Bytes) -> Result<Head, Error> {
        if bytes.len() < 12 || &bytes[..8] != MAGIC {
            return Err(self.corrupt("not a local snapshot"));
        }
        let format = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if format != FORMAT {
            return Err(self.corrupt(&format!("format {format} is not known to this release")));
        }
        drop(bytes.split_to(12));
        self.frame(bytes)
    }

    fn frame<M: Message + Default>(&self, bytes: &mut Bytes) -> Result<M, Error> {
        if bytes.len() < 12 {
            return Err(self.corrupt("too short"));
        }
        let header = bytes.split_to(12);
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let sum = header[4..]
            .iter()
            .rev()
            .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        if bytes.len() < len {
            return Err(self.corrupt("too short"));
        }
        let message = bytes.split_to(len);
        if xxh3_64(&message) != sum {
            return Err(self.corrupt("checksum mismatch"));
        }
        M::decode(message).map_err(|error| self.corrupt(&error.to_string()))
    }

    fn corrupt(&self, detail: &str) -> Error {
        Error::CorruptSnapshot {
            path: self.path.clone(),
            detail: detail.to_owned(),
        }
    }

    fn io(&self, what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = self.path.clone();
        move |source| Error::Io { what, path, source }
    }
}

fn restore(message: DatabaseMessage) -> Option<Database> {
    let create = message.create?;
    let id = DatabaseId::from_bytes(create.database.as_ref().try_into().ok()?);
    let database = Database::new(&create, id, create.name.parse().ok()?);
    let state = match (message.dropped_at_ms, message.purged_at_ms) {
        (None, _) => State::Active,
        (Some(at_ms), None) => State::Dropped { at_ms },
        (Some(dropped_at_ms), Some(at_ms)) => State::Purged { dropped_at_ms, at_ms },
    };
    let epoch = Epoch(create.epoch);
    let base_page_count = message
        .checkpoint
        .as_ref()
        .map_or(0, |checkpoint| checkpoint.page_count);
    let checkpoint = match &message.checkpoint {
        None => None,
        Some(checkpoint) => Some(Arc::new(Checkpoint {
            database: id,
            epoch,
            id: uuid::Uuid::from_bytes(checkpoint.id.as_ref().try_into().ok()?),
            version: Version(checkpoint.version),
        })),
    };
    let origin = checkpoint
        .as_ref()
        .map_or(Version(0), |checkpoint| checkpoint.version);
    let extent = Extent {
        page_count: message.page_count,
        page_size: PageSize::new(message.page_size),
    };
    let chain = Chain::try_from(message.chain.as_ref()).ok()?;
    let mut snapshot = Snapshot::empty(id, epoch);
    snapshot.version = Version(message.version);
    snapshot.chain = chain;
    snapshot.extent = extent;
    snapshot.checkpoint = checkpoint;
    snapshot.origin = origin;
    snapshot.base_limit = message.base_limit;
    snapshot.base_page_count = base_page_count;
    let shrinks = message
        .shrinks
        .iter()
        .map(|shrink| (Version(shrink.version), shrink.page_count))
        .collect();
    let mut slots = Vec::with_capacity(message.slots.len());
    for slot in message.slots {
        slots.push((slot.page, restore_slot(slot, origin)?));
    }
    let mut records = Vec::with_capacity(message.records.len());
    for RecordMessage { version, record } in message.records {
        let record = record?;
        let stored = StoredRecord {
            version: Version(version),
            value: record.value,
            expires_at_ms: record.expires_at_ms,
        };
        records.push((record.key, stored));
    }
    let expiries = message.expiries.iter().map(|expiry| (expiry.at_ms, expiry.many));
    let snapshot = snapshot.restore(shrinks, slots.into_iter(), records.into_iter(), expiries);
    let origins = message.origins.iter().map(|origin| Origin {
        epoch: Epoch(origin.epoch),
        start_version: Version(origin.start_version),
    });
    let origins = origins.collect();
    let mut parts = Parts::default();
    if !message.parts.into_iter().all(|part| parts.add(part)) {
        return None;
    }
    Some(Database {
        state: RwLock::new(state),
        published: ArcSwap::from_pointee(snapshot),
        parts: Mutex::new(parts),
        origins,
        ..database
    })
}

fn restore_slot(message: SlotMessage, origin: Version) -> Option<Arc<Slot>> {
    let mut prior = if message.from_zeros {
        Prior::Zeros
    } else {
        Prior::Stored { version: origin }
    };
    let mut newest = None;
    for ChangeMessage { version, change } in message.changes {
        let slot = Arc::new(Slot::changed(&change?, Version(version), prior)?);
        prior = Prior::Slot(Arc::clone(&slot));
        newest = Some(slot);
    }
    newest
}
