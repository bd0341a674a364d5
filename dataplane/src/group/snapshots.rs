//! Local snapshots, and the log that they make superfluous.

use super::{Error, Group};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Log that a new member is sent as it is.
const NEWCOMER_LOG_BYTES: u64 = 1 << 20;

/// How a group is kept.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Bytes applied since the last local snapshot after which there is a new one.
    pub(crate) snapshot_log_bytes: u64,
    /// Age of the last local snapshot after which there is a new one, if anything was applied.
    pub(crate) snapshot_age: Duration,
    /// Bytes of log that are kept for an archive that lags; none: there is no archive.
    pub(crate) archive_log_bytes_max: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        // 64 MiB replay in well under a second; the file is written in the background.
        Options {
            snapshot_log_bytes: 64 << 20,
            snapshot_age: Duration::from_secs(600),
            archive_log_bytes_max: None,
        }
    }
}

impl Group {
    /// Writes a local snapshot and lets the log up to it go, whenever there is enough of it.
    pub(crate) async fn keep_log_short(self: Arc<Group>, stop: CancellationToken) {
        let options = &self.options;
        let mut last = Instant::now();
        // What a snapshot that was asked for will hold: bytes applied, and the index that says that it is there.
        let mut asked: Option<(u64, u64)> = None;
        // The newest snapshot, and up to where the log may go: the snapshot before it, because the log since then is kept for
        // members that lag, or the newest itself where nothing has happened for long. The files of the log are all groups'
        // together, and an idle one must not keep those of a busy one.
        let (mut newest, mut before) = (0, 0);
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let written = self.metrics().snapshot.map_or(0, |id| id.index);
            if let Some((bytes, _)) = asked.take_if(|(_, index)| written >= *index) {
                self.snapshot_bytes.store(bytes, Ordering::Relaxed);
                last = Instant::now();
                before = newest;
            }
            newest = written;
            let applied = self.catalog.applied_bytes.load(Ordering::Relaxed);
            let since = applied - self.snapshot_bytes.load(Ordering::Relaxed);
            let is_old = last.elapsed() >= options.snapshot_age;
            if is_old && since == 0 {
                before = newest;
            }
            // Each time: what a member lacked, or the archive, it may have by now.
            self.let_log_go(before, newest).await;
            // On a full disk the log's oldest segments may be all the room that there is.
            let lacks_room = !self.log.is_writable();
            if since < options.snapshot_log_bytes && !(since > 0 && (is_old || lacks_room)) {
                continue;
            }
            // While Raft writes one, it takes no notice: that one may have begun before, so it is asked again.
            asked.get_or_insert((applied, self.applied_index().0));
            if let Err(error) = self.raft.trigger().snapshot().await {
                tracing::error!(group = %self.name, %error, "no local snapshot");
            }
        }
    }

    /// With other members the log is kept for one more snapshot than this one needs itself, unless all have it or the disk is
    /// full: who lags further than that gets a snapshot.
    ///
    /// LIMIT: two times `snapshot_log_bytes` of log, whatever becomes of a member.
    async fn let_log_go(&self, before: u64, newest: u64) {
        let replication = self.metrics().replication;
        let all_have = replication.and_then(|members| {
            let indexes = members
                .values()
                .map(|matched| matched.as_ref().map_or(0, |id| id.index));
            indexes.min()
        });
        let upto = match (self.log.is_writable(), &self.peers) {
            (true, Some(_)) => before.max(all_have.unwrap_or(0)).min(newest),
            _ => newest,
        };
        self.purge(upto).await;
    }

    /// Lets the log up to an index go, but for what the archive lacks; on a full disk that too.
    ///
    /// INVARIANT: a leader's log is shortened here only, so that nobody makes a gap in the archive. Tested by
    /// `a_newcomer_makes_no_gap_in_the_archive`.
    ///
    /// LIMIT: `archive_log_bytes_max` of log, whatever becomes of the archive.
    async fn purge(&self, upto: u64) {
        let upto = match self.options.archive_log_bytes_max {
            Some(bytes) if self.log.is_writable() => {
                let archived = self.archived_below().saturating_sub(1);
                upto.min(archived.max(self.log.index_before(bytes)))
            }
            _ => upto,
        };
        let purged = self.metrics().purged.map_or(0, |id| id.index);
        if upto > purged
            && let Err(error) = self.raft.trigger().purge_log(upto).await
        {
            tracing::error!(group = %self.name, %error, "the log does not get shorter");
        }
    }

    /// Before a member is taken in that has nothing: what it is to be sent is a local snapshot, which has no page that is in the
    /// object store, and not a long log of pages. Who lags behind now is sent the same.
    /// As long as nothing at all is archived, the log stays and is what is sent.
    pub(super) async fn receive_newcomer(&self) -> Result<(), Error> {
        if self.log.bytes() <= NEWCOMER_LOG_BYTES {
            return Ok(());
        }
        self.snapshot().await?;
        let newest = self.metrics().snapshot;
        self.purge(newest.map_or(0, |id| id.index)).await;
        Ok(())
    }

    /// Writes a local snapshot now and waits for it.
    pub(crate) async fn snapshot(&self) -> Result<(), Error> {
        let index = self.catalog.applied_index.load(Ordering::Acquire);
        let stopped = |error: &dyn std::fmt::Display| Error::Stopped(error.to_string());
        self.raft
            .trigger()
            .snapshot()
            .await
            .map_err(|error| stopped(&error))?;
        let wait = self.raft.wait(Some(Duration::from_secs(60)));
        let done = wait.metrics(
            |metrics| metrics.snapshot.is_some_and(|id| id.index >= index),
            "local snapshot",
        );
        done.await.map(drop).map_err(|error| stopped(&error))
    }
}
