//! The newest entries of one group's log, in memory.
//!
//! Replication and apply read entries that were just appended; those that are on disk are let go oldest
//! first when the limit is reached, those that are not yet on disk never.

use crate::raft::Entry;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use std::collections::VecDeque;
use std::ops::Range;

#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Tail {
    /// Index of the oldest entry that is here.
    pub(super) fn first(&self) -> Option<u64> {
        self.entries.front().map(RaftEntry::index)
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += size(&entry);
        self.entries.push_back(entry);
    }

    /// Entries of `range`, if the tail reaches back to its start.
    pub(super) fn get(&self, range: &Range<u64>) -> Option<Vec<Entry>> {
        let first = self.first()?;
        let start = usize::try_from(range.start.checked_sub(first)?).ok()?;
        let end = usize::try_from(range.end.saturating_sub(first))
            .ok()?
            .min(self.entries.len());
        Some(self.entries.range(start.min(end)..end).cloned().collect())
    }

    /// Drops the entries from `index` on: they were replaced by another leader's.
    pub(super) fn truncate(&mut self, index: u64) {
        while self.entries.back().is_some_and(|entry| entry.index() >= index) {
            let gone = self.entries.pop_back();
            self.bytes -= gone.as_ref().map_or(0, size);
        }
    }

    /// Lets go of the oldest entries that are on disk, up to `flushed`, until `bytes_max` is kept.
    pub(super) fn shrink(&mut self, flushed: u64, bytes_max: usize) {
        while self.bytes > bytes_max && self.entries.front().is_some_and(|entry| entry.index() <= flushed) {
            self.pop_front();
        }
    }

    /// Drops the entries up to `index`.
    pub(super) fn purge(&mut self, index: u64) {
        while self.entries.front().is_some_and(|entry| entry.index() <= index) {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        let gone = self.entries.pop_front();
        self.bytes -= gone.as_ref().map_or(0, size);
    }
}

/// Bytes that an entry holds on to, images of its pages included.
fn size(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Normal(proposal) => {
            let images = proposal
                .images
                .as_deref()
                .map_or(0, |images| images.iter().map(|(_, image)| image.len()).sum());
            proposal.len() * 2 + images
        }
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    payload + size_of::<Entry>()
}
