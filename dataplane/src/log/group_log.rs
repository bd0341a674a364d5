//! One group's log, as openraft sees it.

use super::Error;
use super::disk::Core;
use super::flusher::{Append, Desk, Job};
use super::recovery::{Found, Meta, Position};
use super::stored;
use super::tail::Tail;
use crate::raft::{Entry, LogId, Types, Vote};
use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::oneshot;

/// Bytes of entries that are read for one message to a follower, besides the first.
const MESSAGE_BYTES: usize = 1 << 20;

/// State of one group that the flusher and the group share.
#[derive(Debug)]
pub(super) struct Shared {
    number: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    meta: Meta,
    /// Log id of the newest entry.
    last: Option<LogId>,
    tail: Tail,
    /// Index of the first position.
    first: u64,
    positions: VecDeque<Position>,
    committed_changed: bool,
}

impl Shared {
    pub(super) fn new(number: u32, found: Found) -> Shared {
        let Found {
            meta,
            first,
            positions,
        } = found;
        let state = State {
            meta,
            last: None,
            tail: Tail::default(),
            first,
            positions,
            committed_changed: false,
        };
        Shared {
            number,
            state: Mutex::new(state),
        }
    }

    /// Entries from `index` on are void on disk. Those that were on their way there when they were truncated
    /// got positions meanwhile.
    pub(super) fn voided(&self, index: u64) {
        let state = &mut *self.state.lock();
        let keep = index.saturating_sub(state.first);
        state.positions.truncate(keep as usize);
    }

    /// The entry at `index` is on disk, at `position`.
    pub(super) fn flushed(&self, index: u64, position: Position) {
        let state = &mut *self.state.lock();
        if state.meta.purged.is_some_and(|purged| index <= purged.index) {
            return;
        }
        if state.positions.is_empty() {
            state.first = index;
        }
        // Less than the next index: the entry replaces one that was truncated while this was on its way, or
        // was purged meanwhile.
        let Some(at) = index.checked_sub(state.first) else {
            return;
        };
        state.positions.truncate(at as usize);
        if state.positions.len() as u64 == at {
            state.positions.push_back(position);
        }
    }

    pub(super) fn shrink_tail(&self, bytes_max: usize) {
        let state = &mut *self.state.lock();
        let flushed = (state.first + state.positions.len() as u64).saturating_sub(1);
        state.tail.shrink(flushed, bytes_max);
    }
}

/// One group's log: appends, reads, vote, purge.
#[derive(Clone, Debug)]
pub(crate) struct GroupLog {
    core: Arc<Core>,
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    /// Proposals on their way.
    proposals: Arc<AtomicUsize>,
    /// See [`GroupLog::set_replicated`].
    is_replicated: Arc<AtomicBool>,
}

impl GroupLog {
    pub(super) fn new(core: Arc<Core>, shared: Arc<Shared>, desk: Arc<Desk>) -> GroupLog {
        GroupLog {
            core,
            shared,
            desk,
            proposals: Arc::default(),
            is_replicated: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Whether there are other members: their leader sends an entry to them while its own disk writes it. From the next
    /// append on; the order of entries stays as it is.
    pub(crate) fn set_replicated(&self, is_replicated: bool) {
        self.is_replicated.store(is_replicated, Ordering::Relaxed);
    }

    /// True if an entry that a follower appends now is one that comes alone.
    #[cfg(test)]
    pub(super) fn is_quiet(&self) -> bool {
        self.desk.is_quiet()
    }

    /// True if the task that appends has nothing else to do until the entry is durable. As the only voter: no other
    /// proposal is on its way. As a follower: it comes alone, and did not come while the one before was written.
    fn is_alone(&self, append: &Append) -> bool {
        let proposals = self.proposals.load(Ordering::Relaxed);
        match self.is_replicated.load(Ordering::Relaxed) {
            false => proposals == 1,
            true => proposals == 0 && append.entries.len() == 1 && self.desk.is_quiet(),
        }
    }

    /// Counts the proposals that were made to the group and have no outcome yet, for whoever proposes: an entry
    /// that is alone is written at once by the one who appends it, several are collected by the flusher.
    pub(crate) fn proposals(&self) -> &Arc<AtomicUsize> {
        &self.proposals
    }

    /// False if nothing was ever written: no vote, no entry.
    pub(crate) fn is_begun(&self) -> bool {
        let state = self.shared.state.lock();
        state.meta.vote.is_some() || state.meta.purged.is_some() || !state.positions.is_empty()
    }

    /// Bytes of the entries that are on disk and not purged.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.shared.state.lock();
        state
            .positions
            .iter()
            .map(|position| u64::from(position.len))
            .sum()
    }

    /// False when the disk has no room for more.
    pub(crate) fn is_writable(&self) -> bool {
        self.core.is_writable()
    }

    fn send(&self, job: Job) -> io::Result<()> {
        if self.desk.send(job) {
            Ok(())
        } else {
            Err(Error::Poisoned.into())
        }
    }

    async fn save_meta(&self, change: impl FnOnce(&mut Meta)) -> io::Result<()> {
        let (done, saved) = oneshot::channel();
        let meta = {
            let state = &mut *self.shared.state.lock();
            change(&mut state.meta);
            state.meta.clone()
        };
        self.send(Job::SaveMeta {
            group: self.shared.number,
            meta,
            done,
        })?;
        saved.await.map_err(|_| io::Error::from(Error::Poisoned))?
    }

    /// Entries of `range`, as many as have `bytes_max`, but one at least. They begin later where the first ones were purged.
    pub(crate) fn some(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        let (tail, tail_first) = {
            let state = self.shared.state.lock();
            (state.tail.get(&range), state.tail.first())
        };
        let Some(mut newest) = tail else {
            let end = range.end.min(tail_first.unwrap_or(u64::MAX));
            let older = self.read(range.start..end, bytes_max)?;
            if older.is_empty() && end < range.end {
                return self.some(end..range.end, bytes_max);
            }
            return Ok(older);
        };
        let mut bytes = 0;
        let fits = newest.iter().take_while(|entry| {
            let is_first = bytes == 0;
            bytes += payload_len(entry).max(1);
            is_first || bytes <= bytes_max
        });
        let fits = fits.count();
        newest.truncate(fits);
        Ok(newest)
    }

    /// The index before which everything can go if the newest `bytes` are kept.
    pub(crate) fn index_before(&self, bytes: u64) -> u64 {
        let state = self.shared.state.lock();
        let mut kept = 0;
        let newest = state.positions.iter().rev();
        let many = newest.take_while(|position| {
            kept += u64::from(position.len);
            kept <= bytes
        });
        let many = many.count() as u64;
        (state.first + state.positions.len() as u64).saturating_sub(many + 1)
    }

    /// Entries of `range` from disk, without those that are not there; at least one if there is any, and no more than
    /// `bytes_max` besides.
    fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        let positions: Vec<(u64, Position)> = {
            let state = self.shared.state.lock();
            let start = range.start.max(state.first);
            let mut bytes = 0;
            let indexed = (start..range.end).map_while(|index| {
                let at = usize::try_from(index - state.first).ok()?;
                let position = *state.positions.get(at)?;
                let is_first = bytes == 0;
                bytes += position.len as usize;
                (is_first || bytes <= bytes_max).then_some((index, position))
            });
            indexed.collect()
        };
        positions
            .into_iter()
            .map(|(index, position)| self.read_one(index, position))
            .collect()
    }

    fn read_one(&self, index: u64, position: Position) -> Result<Entry, Error> {
        let group = self.shared.number;
        let lost = |detail: String| Error::CorruptEntry { group, index, detail };
        let file = self.core.files.lock().get(&position.segment).cloned();
        let file = file.ok_or_else(|| lost(format!("segment {:016x} is gone", position.segment)))?;
        let mut bytes = vec![0; position.len as usize];
        let read = file.read_exact_at(&mut bytes, u64::from(position.offset));
        read.map_err(|error| lost(error.to_string()))?;
        stored::decode(group, index, Bytes::from(bytes))
    }
}

impl RaftLogReader<Types> for GroupLog {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        let mut range = half_open(&range);
        let purged = self.shared.state.lock().meta.purged;
        range.start = range.start.max(purged.map_or(0, |id| id.index + 1));
        let mut entries = Vec::new();
        while range.start < range.end {
            let (tail, tail_first) = {
                let state = self.shared.state.lock();
                (state.tail.get(&range), state.tail.first())
            };
            if let Some(newest) = tail {
                entries.extend(newest);
                break;
            }
            let older = self.read(
                range.start..range.end.min(tail_first.unwrap_or(u64::MAX)),
                usize::MAX,
            )?;
            if older.is_empty() {
                break;
            }
            range.start += older.len() as u64;
            entries.extend(older);
        }
        Ok(entries)
    }

    /// What one message to a follower holds: large transactions go in many small pieces, between which others find room.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let mut found = self.some(start..end, MESSAGE_BYTES)?;
        if found.first().is_some_and(|first| first.index() != start) {
            found.clear();
        }
        Ok(found)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.state.lock().meta.vote.map(Vote::from))
    }
}

impl RaftLogStorage<Types> for GroupLog {
    type LogReader = GroupLog;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let (purged, next) = {
            let state = self.shared.state.lock();
            (
                state.meta.purged.map(LogId::from),
                state.first + state.positions.len() as u64,
            )
        };
        let last = match next.checked_sub(1) {
            Some(index) => self.read(index..next, usize::MAX)?.first().map(RaftEntry::log_id),
            None => None,
        };
        let last = self.shared.state.lock().last.or(last).or(purged);
        Ok(LogState {
            last_purged_log_id: purged,
            last_log_id: last,
        })
    }

    async fn get_log_reader(&mut self) -> GroupLog {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.save_meta(|meta| meta.vote = Some(vote.into())).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        // Not worth an fdatasync of its own: it goes with the next append. Behind the truth it only means
        // that a restarted member replays to an older point before it hears from the leader.
        let state = &mut *self.shared.state.lock();
        state.meta.committed = committed.map(Into::into);
        state.committed_changed = true;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.state.lock().meta.committed.map(LogId::from))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let group = self.shared.number;
        let mut encoded = Vec::new();
        let committed = {
            let state = &mut *self.shared.state.lock();
            for entry in entries {
                encoded.push((entry.index(), stored::encode(group, &entry)));
                state.last = Some(entry.log_id());
                state.tail.push(entry);
            }
            std::mem::take(&mut state.committed_changed)
                .then_some(state.meta.committed)
                .flatten()
        };
        let append = Append {
            group,
            entries: encoded,
            committed: committed.map(LogId::from),
            done: callback,
        };
        let left = match self.is_alone(&append) {
            true => self.desk.append_here(append),
            false => Err(append),
        };
        match left {
            Ok(()) => Ok(()),
            Err(append) => self.send(Job::Append(append)),
        }
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let (done, truncated) = oneshot::channel();
        let from = last.map_or(0, |id| id.index + 1);
        {
            let state = &mut *self.shared.state.lock();
            state.tail.truncate(from);
            let keep = from.saturating_sub(state.first);
            state.positions.truncate(keep as usize);
            state.last = last;
        }
        self.send(Job::Truncate {
            group: self.shared.number,
            from,
            done,
        })?;
        truncated.await.map_err(|_| io::Error::from(Error::Poisoned))?
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        {
            let state = &mut *self.shared.state.lock();
            state.tail.purge(upto.index);
            while state.first <= upto.index && state.positions.pop_front().is_some() {
                state.first += 1;
            }
            // `None` after a start only says that nothing was appended since.
            if state.positions.is_empty() && state.last.is_none_or(|last| last.index < upto.index) {
                state.last = Some(upto);
            }
        }
        self.save_meta(|meta| meta.purged = Some(upto.into())).await
    }
}

fn payload_len(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
