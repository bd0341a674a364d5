//! The node's log: opening it, its groups, its threads.

use super::flusher::{Desk, Flusher, Job};
use super::group_log::{GroupLog, Shared};
use super::recovery::{self, Found};
use super::segment::{self, Segment};
use super::spare::Spare;
use super::{Error, recovery::Recovered};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of a segment. The first one is smaller, so that a new node starts at once.
    pub segment_bytes: u64,
    /// Bytes of entries kept in memory per group after they are on disk.
    pub tail_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        // 32 MiB: a minute of heavy writing, 50 ms to zero-fill in the background.
        Options {
            segment_bytes: 32 << 20,
            tail_bytes_max: 8 << 20,
        }
    }
}

/// The first segment, and the smallest where the disk has no room for a whole one.
pub(super) const SMALL_SEGMENT_BYTES: u64 = 4 << 20;

/// What a segment may have at most: positions in it have 32 bits, and an entry may make it larger.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 4 << 10..=1 << 30;

/// What the log counts, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames written, each with one fdatasync.
    pub flushes: AtomicU64,
    /// Bytes of frames.
    pub bytes: AtomicU64,
    /// Entries in them.
    pub entries: AtomicU64,
    /// Nanoseconds in write and fdatasync.
    pub flush_nanos: AtomicU64,
}

/// What all groups of the node share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) files: Mutex<HashMap<u64, Arc<File>>>,
    pub(super) groups: Mutex<BTreeMap<u32, Arc<Shared>>>,
    pub(super) spare: Arc<Spare>,
    pub(super) poisoned: AtomicBool,
    /// False when the last flush left less than the reserve in its segment.
    pub(super) has_room: AtomicBool,
    /// The flusher waits for room, with a frame of which nothing is on the disk.
    pub(super) waits_for_room: AtomicBool,
    /// What has no room now will not be waited for.
    pub(super) closing: AtomicBool,
    pub(super) counters: Counters,
    pub(super) options: Options,
}

impl Core {
    /// What the last flush left is enough for what is in flight, or there is a spare, or will be. Asked anew each
    /// time: while the answer is no, nothing is proposed, so no flush would find out that there is room again.
    pub(super) fn is_writable(&self) -> bool {
        !self.waits_for_room.load(Ordering::Relaxed)
            && (self.has_room.load(Ordering::Relaxed) || self.spare.is_expected())
    }
}

/// The log of a node: one directory, owned by one process.
#[derive(Debug)]
pub struct Disk {
    core: Arc<Core>,
    desk: Arc<Desk>,
    found: Mutex<BTreeMap<u32, Found>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: File,
}

impl Disk {
    /// Opens the directory, or makes it.
    pub fn open(dir: &Path, options: Options) -> Result<Disk, Error> {
        if !SEGMENT_BYTES.contains(&options.segment_bytes) {
            return Err(Error::SegmentBytes(options.segment_bytes));
        }
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let lock = lock(dir)?;
        let recovered = recovery::recover(dir)?;
        let (spare, spare_thread) = Spare::start(dir, options.segment_bytes)?;
        let files = recovered
            .segments
            .iter()
            .map(|segment| (segment.sequence, Arc::clone(&segment.file)));
        let core = Arc::new(Core {
            files: Mutex::new(files.collect()),
            groups: Mutex::default(),
            spare,
            poisoned: AtomicBool::new(false),
            has_room: AtomicBool::new(true),
            waits_for_room: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            counters: Counters::default(),
            options,
        });
        let (jobs, queue) = mpsc::channel();
        let Recovered {
            mut segments,
            groups,
            end,
            next_frame,
        } = recovered;
        let is_new = segments.is_empty();
        if is_new {
            segments.push_back(first_segment(dir, &core)?);
        }
        let metas = groups
            .iter()
            .map(|(number, found)| (*number, found.meta.clone()))
            .collect();
        let flusher = Flusher::new(Arc::clone(&core), segments, end, next_frame, metas);
        let desk = Arc::new(Desk::new(jobs, flusher));
        let runs = Arc::clone(&desk);
        let thread = std::thread::Builder::new()
            .name("orion-log".to_owned())
            .spawn(move || runs.run(&queue))
            .map_err(Error::io("start a thread for", dir))?;
        Ok(Disk {
            core,
            desk,
            found: Mutex::new(groups),
            threads: Mutex::new(vec![thread, spare_thread]),
            _lock: lock,
        })
    }

    /// The log of a group, made if it is new. To be asked for once per group.
    pub(crate) fn group(&self, name: &str) -> GroupLog {
        let mut found = self.found.lock();
        let known = found
            .iter()
            .find(|(_, found)| found.meta.name == name)
            .map(|(number, _)| *number);
        let mut groups = self.core.groups.lock();
        let next = found
            .keys()
            .chain(groups.keys())
            .max()
            .map_or(1, |number| number + 1);
        let number = known.unwrap_or(next);
        let mut recovered = found.remove(&number).unwrap_or_default();
        recovered.meta.name = name.to_owned();
        let shared = Arc::new(Shared::new(number, recovered));
        groups.insert(number, Arc::clone(&shared));
        if known.is_none() {
            // CRASH: entries without a name would belong to nobody and never be purged, so the name goes first.
            // If the write fails, so does the group's own that follows.
            let (done, _) = tokio::sync::oneshot::channel();
            let meta = super::recovery::Meta {
                name: name.to_owned(),
                ..Default::default()
            };
            let _ = self.desk.send(Job::SaveMeta {
                group: number,
                meta,
                done,
            });
        }
        GroupLog::new(Arc::clone(&self.core), shared, Arc::clone(&self.desk))
    }

    /// False when the disk has no room for another segment: nothing new may be proposed, what is in flight
    /// still fits.
    pub fn is_writable(&self) -> bool {
        self.core.is_writable()
    }

    /// True after a write failed: the process must be started again.
    pub fn is_poisoned(&self) -> bool {
        self.core.poisoned.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    /// Numbers for metrics.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// Bytes of all segments.
    pub fn disk_bytes(&self) -> u64 {
        let files = self.core.files.lock();
        files
            .values()
            .filter_map(|file| file.metadata().ok())
            .map(|metadata| metadata.len())
            .sum()
    }

    /// Flushes what is queued, if the disk has room, and ends the threads. All groups must have been shut down.
    pub fn close(&self) {
        self.core.closing.store(true, Ordering::Relaxed);
        self.core.spare.wake();
        self.desk.send(Job::Stop);
        // The flusher is the first of the threads. The spare is stopped after it: what is queued may need one.
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
            self.core.spare.stop();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

/// INVARIANT: one process per directory. The lock is the kernel's and ends with the process.
fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Locked(dir.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
    }
}

fn first_segment(dir: &Path, core: &Core) -> Result<Segment, Error> {
    let blank: PathBuf = dir.join("first.blank");
    segment::make_blank(&blank, SMALL_SEGMENT_BYTES.min(core.options.segment_bytes))?;
    let segment = Segment::name(&blank, 1, rand::random())?;
    core.files
        .lock()
        .insert(segment.sequence, Arc::clone(&segment.file));
    Ok(segment)
}
