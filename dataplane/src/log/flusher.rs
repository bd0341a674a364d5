//! Writing: many jobs, one frame, one fdatasync.
//!
//! The flusher's thread takes what is queued, and whatever comes while it writes goes into the next frame: one
//! fdatasync for many. An entry that comes alone gains nothing by that and would pay two hand-overs between
//! threads, each of which costs a third of an fdatasync on an idle machine. So [`Desk::append_here`] lets the
//! one who appends write it where it is, if nothing is queued or being written and the disk is quick.

use super::Error;
use super::disk::Core;
use super::frame::{Builder, HEADER as SEAL_BYTES, Kind};
use super::recovery::{Meta, Position};
use super::segment::{HEADER, Segment};
use super::stored::LogIdMessage;
use crate::causes;
use crate::raft::{LogId, Types};
use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use prost::Message;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Bytes after which a frame takes no more: bounds the time of one fdatasync.
const FRAME_BYTES: usize = 4 << 20;

/// Room that stays for what was proposed before the disk was found full.
const RESERVE_BYTES: u64 = 8 << 20;

/// Idle time after which the last frame is sealed by an empty one.
const SEAL_AFTER: Duration = Duration::from_millis(50);

/// Bytes of entries that are written by the thread that appends them, at most.
const HERE_BYTES: usize = 64 << 10;

/// So long after a write the next entry is one that comes alone: less than a round from client to client.
const QUIET: Duration = Duration::from_micros(100);

/// So long after a flush that took longer than [`HERE_TIME`] the disk is taken to be busy. Measured with a transaction of
/// 248 MiB: an fdatasync of one small entry behind it took 134 ms, on the thread that answers heartbeats.
const CALM: Duration = Duration::from_secs(1);

/// Mean time of a flush above which nobody but the flusher's thread waits for the disk.
const HERE_TIME: Duration = Duration::from_millis(1);

/// What a group asks of the flusher.
pub(super) enum Job {
    Append(Append),
    /// The last frame was written elsewhere and is not sealed.
    Unsealed,
    Truncate {
        group: u32,
        from: u64,
        done: oneshot::Sender<io::Result<()>>,
    },
    SaveMeta {
        group: u32,
        meta: Meta,
        done: oneshot::Sender<io::Result<()>>,
    },
    Stop,
}

/// Entries of one group to be made durable.
pub(super) struct Append {
    pub(super) group: u32,
    pub(super) entries: Vec<(u64, Vec<u8>)>,
    pub(super) committed: Option<LogId>,
    pub(super) done: IOFlushed<Types>,
}

/// Where jobs are handed in.
pub(super) struct Desk {
    jobs: Sender<Job>,
    flusher: Mutex<Flusher>,
    /// Jobs that were sent and are not in a frame yet.
    queued: AtomicUsize,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("queued", &self.queued)
            .finish_non_exhaustive()
    }
}

impl Desk {
    pub(super) fn new(jobs: Sender<Job>, flusher: Flusher) -> Desk {
        Desk {
            jobs,
            flusher: Mutex::new(flusher),
            queued: AtomicUsize::new(0),
        }
    }

    /// True if the last write ended a while ago, so that what comes now is not one of many, and the disk was quick for a
    /// while: whoever answers heartbeats must not wait for one that is busy.
    pub(super) fn is_quiet(&self) -> bool {
        let flusher = self.flusher.try_lock();
        flusher.is_some_and(|flusher| {
            let is_calm = flusher.last_slow.is_none_or(|slow| slow.elapsed() > CALM);
            is_calm && flusher.last_write.elapsed() > QUIET
        })
    }

    /// Queues a job for the flusher's thread; false if that has ended.
    pub(super) fn send(&self, job: Job) -> bool {
        self.queued.fetch_add(1, Ordering::AcqRel);
        self.jobs.send(job).is_ok()
    }

    /// Makes the entries durable before it returns, if it is not a detour for anybody; else gives them back.
    ///
    /// INVARIANT: the jobs of a group reach the disk in their order: here only while none is queued. Jobs of one
    /// group come from one task, so none of them can come in between.
    pub(super) fn append_here(&self, append: Append) -> Result<(), Append> {
        let bytes: usize = append.entries.iter().map(|(_, bytes)| bytes.len()).sum();
        if bytes > HERE_BYTES || self.queued.load(Ordering::Acquire) > 0 {
            return Err(append);
        }
        let Some(mut flusher) = self.flusher.try_lock() else {
            return Err(append);
        };
        // Twice the bytes have room for all headers and the seal. The next segment may have to be waited for.
        let fits = flusher.left() >= 2 * bytes as u64 + 4096;
        if !fits || flusher.mean_time > HERE_TIME || self.queued.load(Ordering::Acquire) > 0 {
            return Err(append);
        }
        let was_sealed = flusher.sealed;
        flusher.take(Job::Append(append));
        flusher.flush();
        if was_sealed {
            self.send(Job::Unsealed);
        }
        Ok(())
    }

    /// The flusher's thread, until it is told to stop.
    pub(super) fn run(&self, queue: &Receiver<Job>) {
        self.flusher.lock().begin();
        loop {
            let stop = match queue.recv_timeout(SEAL_AFTER) {
                Ok(job) => self.write(job, queue),
                Err(RecvTimeoutError::Timeout) if self.flusher.lock().seal_if_idle() => match queue.recv() {
                    Ok(job) => self.write(job, queue),
                    Err(_) => true,
                },
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if stop {
                self.flusher.lock().seal();
                return;
            }
        }
    }

    /// Writes the job and what else is queued, up to the size of a frame. True when the thread is to stop.
    fn write(&self, first: Job, queue: &Receiver<Job>) -> bool {
        let mut flusher = self.flusher.lock();
        let mut taken = 1;
        let mut stop = flusher.take(first);
        while !stop && flusher.frame.len() < FRAME_BYTES {
            let Ok(job) = queue.try_recv() else { break };
            taken += 1;
            stop = flusher.take(job);
        }
        flusher.flush();
        self.queued.fetch_sub(taken, Ordering::AcqRel);
        stop
    }
}

enum Done {
    Append(IOFlushed<Types>),
    Other(oneshot::Sender<io::Result<()>>),
}

pub(super) struct Flusher {
    core: Arc<Core>,
    /// Of write and fdatasync, over about the last eight flushes.
    mean_time: Duration,
    /// When a flush last took longer than [`HERE_TIME`].
    last_slow: Option<Instant>,
    last_write: Instant,
    segments: VecDeque<Segment>,
    end: u64,
    next_frame: u64,
    sealed: bool,
    metas: BTreeMap<u32, Meta>,
    frame: Builder,
    /// Entries of the frame under construction: group, index, offset in the frame, length.
    placed: Vec<(u32, u64, usize, u32)>,
    /// Truncations in the frame under construction: group, first void index.
    voided: Vec<(u32, u64)>,
    dones: Vec<Done>,
}

impl Flusher {
    pub(super) fn new(
        core: Arc<Core>,
        segments: VecDeque<Segment>,
        end: u64,
        next_frame: u64,
        metas: BTreeMap<u32, Meta>,
    ) -> Flusher {
        Flusher {
            core,
            mean_time: Duration::ZERO,
            last_slow: None,
            last_write: Instant::now(),
            segments,
            end,
            next_frame,
            sealed: true,
            metas,
            frame: Builder::new(),
            placed: Vec::new(),
            voided: Vec::new(),
            dones: Vec::new(),
        }
    }

    fn begin(&mut self) {
        // CRASH: after a segment got its name and before its first frame.
        let lacks_metas = self.end == HEADER as u64 && !self.metas.is_empty();
        if lacks_metas && let Err(error) = self.write_metas(self.metas_frame()) {
            self.core.poisoned.store(true, Ordering::Relaxed);
            tracing::error!(error = %causes::text(&error), "the log's disk failed at the start");
        }
    }

    /// Seals the last frame if nothing was written for a while. True if it is sealed.
    fn seal_if_idle(&mut self) -> bool {
        if self.sealed || self.last_write.elapsed() < SEAL_AFTER {
            return self.sealed;
        }
        self.seal();
        // What cannot be sealed, because its segment is full or the disk failed, is not tried for ever.
        true
    }

    fn take(&mut self, job: Job) -> bool {
        match job {
            Job::Append(Append {
                group,
                entries,
                committed,
                done,
            }) => {
                if let Some(id) = committed {
                    self.note_committed(group, id);
                }
                for (index, bytes) in entries {
                    if self.frame.len() >= FRAME_BYTES {
                        self.write_part();
                    }
                    let at = self.frame.push(Kind::Entry, group, index, &bytes);
                    self.placed.push((group, index, at, bytes.len() as u32));
                }
                self.dones.push(Done::Append(done));
            }
            Job::Truncate { group, from, done } => {
                self.placed
                    .retain(|(of, index, ..)| *of != group || *index < from);
                self.voided.push((group, from));
                self.frame.push(Kind::Truncate, group, from, &[]);
                self.dones.push(Done::Other(done));
            }
            Job::SaveMeta {
                group,
                mut meta,
                done,
            } => {
                meta.committed = meta
                    .committed
                    .or(self.metas.get(&group).and_then(|meta| meta.committed));
                self.frame.push(Kind::Meta, group, 0, &meta.encode_to_vec());
                self.metas.insert(group, meta);
                self.dones.push(Done::Other(done));
            }
            Job::Unsealed => {}
            Job::Stop => return true,
        }
        false
    }

    fn note_committed(&mut self, group: u32, id: LogId) {
        let id = LogIdMessage::from(id);
        let meta = self.metas.entry(group).or_default();
        if meta.committed != Some(id) {
            meta.committed = Some(id);
            self.frame.push(Kind::Committed, group, 0, &id.encode_to_vec());
        }
    }

    /// The frame is large enough, and an append goes on in the next one. Nobody is told before the last of its
    /// entries is durable; if this fails, so does everything after it.
    fn write_part(&mut self) {
        let _ = self.write_or_poison();
    }

    fn write_or_poison(&mut self) -> Result<(), Error> {
        let result = if self.core.poisoned.load(Ordering::Relaxed) {
            Err(Error::Poisoned)
        } else {
            self.write()
        };
        if let Err(error) = &result {
            // INVARIANT: after a failed write or fdatasync nobody knows what is on the disk, and a later
            // fdatasync that answers Ok proves nothing. Nothing more is accepted.
            if !self.core.poisoned.swap(true, Ordering::Relaxed) {
                tracing::error!(error = %causes::text(error), "the log's disk failed: this node accepts no more writes until it is started again");
            }
        }
        self.frame.clear();
        self.placed.clear();
        self.voided.clear();
        result
    }

    fn flush(&mut self) {
        if self.dones.is_empty() {
            return;
        }
        let result = self.write_or_poison();
        for done in self.dones.drain(..) {
            let outcome = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::other(causes::text(error))),
            };
            match done {
                Done::Append(callback) => callback.io_completed(outcome),
                Done::Other(sender) => drop(sender.send(outcome)),
            }
        }
        if result.is_ok() {
            self.free_purged_segments();
        }
    }

    fn write(&mut self) -> Result<(), Error> {
        // With room for the seal: a frame that fills its segment must not be the one that stays unsealed.
        self.make_room((self.frame.len() + SEAL_BYTES) as u64)?;
        let start = Instant::now();
        let at = self.write_frame()?;
        let counters = &self.core.counters;
        counters.flushes.fetch_add(1, Ordering::Relaxed);
        counters.bytes.fetch_add(self.end - at, Ordering::Relaxed);
        counters
            .entries
            .fetch_add(self.placed.len() as u64, Ordering::Relaxed);
        let time = start.elapsed();
        counters
            .flush_nanos
            .fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        self.mean_time = (self.mean_time * 7 + time) / 8;
        if time > HERE_TIME {
            self.last_slow = Some(start + time);
        }
        self.publish_positions(at);
        Ok(())
    }

    /// Writes the frame at the end of the last segment and syncs it; answers where it stands.
    fn write_frame(&mut self) -> Result<u64, Error> {
        let at = self.end;
        let Some(segment) = self.segments.back() else {
            return Err(Error::Poisoned);
        };
        let bytes = self.frame.finish(self.next_frame, segment.salt);
        fail::fail_point!("log::before_write");
        with_room(&self.core, || write(segment, bytes, at))?;
        fail::fail_point!("log::before_sync");
        fail::fail_point!(
            "log::sync_error",
            crate::failpoints::strikes(&segment.path),
            |_| Err(Error::io("sync", &segment.path)(io::Error::other("injected")))
        );
        segment
            .file
            .sync_data()
            .map_err(Error::io("sync", &segment.path))?;
        fail::fail_point!("log::after_sync");
        self.end += bytes.len() as u64;
        self.next_frame += 1;
        self.sealed = false;
        self.last_write = Instant::now();
        Ok(at)
    }

    fn publish_positions(&mut self, at: u64) {
        let Some(segment) = self.segments.back_mut() else {
            return;
        };
        let groups = self.core.groups.lock();
        for (group, from) in self.voided.drain(..) {
            if let Some(shared) = groups.get(&group) {
                shared.voided(from);
            }
        }
        for (group, index, offset, len) in self.placed.drain(..) {
            let newest = segment.newest.entry(group).or_default();
            *newest = index.max(*newest);
            if let Some(shared) = groups.get(&group) {
                let offset = (at + offset as u64) as u32;
                shared.flushed(
                    index,
                    Position {
                        segment: segment.sequence,
                        offset,
                        len,
                    },
                );
            }
        }
        for shared in groups.values() {
            shared.shrink_tail(self.core.options.tail_bytes_max);
        }
    }

    /// An empty frame behind the last: whoever damages that one is found out.
    fn seal(&mut self) {
        let Some(segment) = self.segments.back() else {
            return;
        };
        let fits = self.end + self.frame.len() as u64 <= segment.len;
        if self.sealed || !fits || self.core.poisoned.load(Ordering::Relaxed) {
            return;
        }
        match self.write_frame() {
            Ok(_) => self.sealed = true,
            Err(error) => {
                self.core.poisoned.store(true, Ordering::Relaxed);
                tracing::error!(error = %causes::text(&error), "the log's disk failed while idle");
            }
        }
        self.frame.clear();
    }

    /// Bytes left in the segment.
    fn left(&self) -> u64 {
        self.segments
            .back()
            .map_or(0, |segment| segment.len.saturating_sub(self.end))
    }

    /// Goes to the next segment if `bytes` do not fit into this one.
    fn make_room(&mut self, bytes: u64) -> Result<(), Error> {
        if self.left() >= bytes {
            self.note_room(bytes);
            return Ok(());
        }
        let last = self.segments.back().map(|segment| segment.path.clone());
        let metas = self.metas_frame();
        // The header, the first frame, and this one.
        let needed = HEADER as u64 + metas.len() as u64 + bytes;
        let blank = with_room(&self.core, || {
            let spare = self.core.spare.take(needed);
            spare.ok_or_else(|| Error::Full(last.clone().unwrap_or_default()))
        })?;
        let sequence = self.segments.back().map_or(1, |segment| segment.sequence + 1);
        let next = with_room(&self.core, || Segment::name(&blank, sequence, rand::random()))?;
        self.core
            .files
            .lock()
            .insert(next.sequence, Arc::clone(&next.file));
        self.segments.push_back(next);
        self.end = HEADER as u64;
        self.write_metas(metas)?;
        debug_assert!(self.left() >= bytes, "the segment was made for this frame");
        // Even if the disk has no room for the one after it, this one is there to be filled.
        self.note_room(bytes);
        Ok(())
    }

    /// Whether the segment holds the reserve after `bytes` more.
    fn note_room(&self, bytes: u64) {
        let has_room = self.left().saturating_sub(bytes) >= RESERVE_BYTES;
        self.core.has_room.store(has_room, Ordering::Relaxed);
    }

    /// The first frame of a segment: the meta data of all groups.
    fn metas_frame(&self) -> Builder {
        let mut frame = Builder::new();
        for (group, meta) in &self.metas {
            frame.push(Kind::Meta, *group, 0, &meta.encode_to_vec());
        }
        frame
    }

    fn write_metas(&mut self, mut frame: Builder) -> Result<(), Error> {
        std::mem::swap(&mut self.frame, &mut frame);
        let written = self.write_frame();
        std::mem::swap(&mut self.frame, &mut frame);
        written.map(drop)
    }

    /// Gives back the oldest segments as long as everything in them is purged.
    ///
    /// INVARIANT: the purge positions that allow this are on disk, in this segment or a later one.
    fn free_purged_segments(&mut self) {
        while self.segments.len() > 1 {
            let purged = |(group, newest): (&u32, &u64)| {
                self.metas
                    .get(group)
                    .and_then(|meta| meta.purged)
                    .is_some_and(|id| id.index >= *newest)
            };
            if !self
                .segments
                .front()
                .is_some_and(|segment| segment.newest.iter().all(purged))
            {
                return;
            }
            if let Some(segment) = self.segments.pop_front() {
                self.core.files.lock().remove(&segment.sequence);
                self.core.spare.give_back(&segment.path, segment.len);
            }
        }
    }
}

/// Does it again until the disk has room for it, unless the log is being closed.
///
/// Nothing that is tried here is durable or told to anybody before it worked: a frame at the end of its
/// segment is written anew from its first byte, a blank segment has no name yet. Others who want to write are
/// refused meanwhile ([`Core::is_writable`]).
/// CRASH: of a frame that was written in part the next start sees a torn last frame.
fn with_room<T>(core: &Core, attempt: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    loop {
        match attempt() {
            Err(Error::Full(path)) if !core.closing.load(Ordering::Relaxed) => {
                if !core.waits_for_room.swap(true, Ordering::Relaxed) {
                    tracing::error!(path = %path.display(), "the disk is full: what is in flight waits for room");
                }
                core.spare.pause(|| core.closing.load(Ordering::Relaxed));
            }
            outcome => {
                core.waits_for_room.store(false, Ordering::Relaxed);
                return outcome;
            }
        }
    }
}

fn write(segment: &Segment, bytes: &[u8], at: u64) -> Result<(), Error> {
    fail::fail_point!(
        "log::write_full",
        crate::failpoints::strikes(&segment.path),
        |_| Err(Error::Full(segment.path.clone()))
    );
    segment
        .file
        .write_all_at(bytes, at)
        .map_err(Error::io_or_full("write", &segment.path))
}
