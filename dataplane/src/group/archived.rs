//! What the log archive asks of its group.

use super::snapshot_file::Opened;
use super::{Error, Group};
use crate::log;
use crate::raft::{Entry, LogId, SnapshotFile};
use openraft::entry::RaftEntry;
use std::fs::File;
use std::sync::atomic::Ordering;

impl Group {
    /// Entries from `first` to `last`, both included, as many as have `bytes_max`, but one at least. They begin later where
    /// the log does not have them any more. Reads the disk.
    pub(crate) fn entries(&self, first: u64, last: u64, bytes_max: usize) -> Result<Vec<Entry>, log::Error> {
        self.log.some(first..last.saturating_add(1), bytes_max)
    }

    /// Position of the entry at `index`, if it is applied here and still in the log.
    pub(crate) fn entry_id(&self, index: u64) -> Result<Option<LogId>, log::Error> {
        if index > self.applied_index().0 {
            return Ok(None);
        }
        let found = self.log.some(index..index + 1, 0)?;
        Ok(found
            .first()
            .map(RaftEntry::log_id)
            .filter(|id| id.index == index))
    }

    /// Entries before this index are in the archive, as far as this member was told.
    pub(crate) fn archived_below(&self) -> u64 {
        self.catalog.archived_below.load(Ordering::Relaxed)
    }

    /// Entries before `below` are in the archive: the log need not keep them for it.
    pub(crate) fn note_archived(&self, below: u64) {
        self.catalog.archived_below.fetch_max(below, Ordering::Relaxed);
    }

    /// The newest local snapshot, opened, and the index up to which it holds everything. A newer one that takes its place
    /// does not change it.
    pub(crate) fn snapshot_file(&self) -> Result<(File, u64), Error> {
        let path = self.snapshot_path.clone();
        let Opened { file, meta } = SnapshotFile { path }.open()?;
        Ok((file, meta.last_log_id.map_or(0, |id| id.index)))
    }

    /// True if there can be other members.
    pub(crate) fn has_peers(&self) -> bool {
        self.peers.is_some()
    }

    /// Serves no more, for good: this incarnation of the group is over.
    pub(crate) fn retire(&self) {
        self.leadership.retire();
    }
}

#[cfg(test)]
impl Group {
    /// Lets everything go that the newest local snapshot holds.
    pub(crate) async fn let_all_go(&self) {
        let newest = self.metrics().snapshot.expect("a snapshot").index;
        self.raft.trigger().purge_log(newest).await.expect("asked");
        let wait = self.raft.wait(Some(std::time::Duration::from_secs(30)));
        let is_gone = |metrics: &openraft::RaftMetrics<crate::raft::Types>| {
            metrics.purged.is_some_and(|id| id.index >= newest)
        };
        wait.metrics(is_gone, "the log is purged").await.expect("purged");
    }

    /// As a member that was never told.
    pub(crate) fn forget_archived(&self) {
        self.catalog.archived_below.store(0, Ordering::Relaxed);
    }
}
