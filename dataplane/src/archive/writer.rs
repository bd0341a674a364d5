//! The archiver: brings a group's committed entries into the archive while this node leads it. See the head of this module.

use super::chain::Chain;
use super::object::{self, Life, OBJECT_BYTES, Object};
use super::retention::{self, Mark};
use super::{Error, snapshots};
use crate::causes;
use crate::clock::now_ms;
use crate::entry::{Archived, Kind, Proposal};
use crate::group::Group;
use crate::raft::Entry;
use crate::store::Store;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How a log is archived.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often: about what is lost if all disks are.
    pub interval: Duration,
    /// Bytes of log that are kept for an archive that lags. Past it there is a gap.
    pub log_bytes_max: u64,
    /// How long what is archived stays.
    pub retention: Duration,
    /// Age of the newest snapshot after which there is another, if anything was archived since.
    pub snapshot_age: Duration,
    /// Archived bytes after which there is another, because all behind the newest is replayed at a recovery.
    pub snapshot_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            interval: Duration::from_secs(1),
            // Some minutes of the heaviest load, and days of a light one.
            log_bytes_max: 1 << 30,
            retention: Duration::from_secs(168 * 3600),
            snapshot_age: Duration::from_secs(3600),
            // Replayed in a few seconds.
            snapshot_bytes: 512 << 20,
        }
    }
}

/// How often members are told what need not be kept in their logs.
const TELL: Duration = Duration::from_secs(10);

/// Pause after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long the last object may take at a stop.
const LAST: Duration = Duration::from_secs(5);

/// What was done, for metrics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Objects written.
    pub(crate) objects: AtomicU64,
    /// Their bytes.
    pub(crate) bytes: AtomicU64,
    /// Attempts that failed.
    pub(crate) failures: AtomicU64,
    /// Times the log had been let go before it was archived.
    pub(crate) gaps: AtomicU64,
    /// Snapshots written.
    pub(crate) snapshots: AtomicU64,
    /// Objects that went because they were old.
    pub(crate) deleted: AtomicU64,
    /// Since when something is not archived.
    lacking: Mutex<Option<Instant>>,
}

impl Counters {
    /// Age of the oldest entry that is not archived, as far as the archiver looked: what would be lost with all disks.
    pub(crate) fn loss_window(&self) -> Duration {
        self.lacking
            .lock()
            .map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// Archives one group while this node leads it.
pub(crate) struct Archiver {
    group: Arc<Group>,
    chain: Chain,
    options: Options,
    counters: Arc<Counters>,
    lead: Option<Lead>,
    /// What was said of a failure that lasts.
    said: Option<String>,
}

/// What it knows while this node leads.
struct Lead {
    /// Everything before this index is archived.
    next: u64,
    /// Everything that was applied by then is archived.
    complete: Instant,
    /// The newest snapshot: when it was taken, ms since 1970. Looked up at the first object.
    snapshot_at_ms: Option<u64>,
    /// Bytes archived since.
    bytes: u64,
    told: (u64, Instant),
}

impl Archiver {
    pub(crate) fn new(
        group: Arc<Group>,
        store: Store,
        options: Options,
        counters: Arc<Counters>,
    ) -> Archiver {
        let life = Life {
            group: group.name.clone(),
            incarnation: group.incarnation,
        };
        Archiver {
            group,
            chain: Chain { store, life },
            options,
            counters,
            lead: None,
            said: None,
        }
    }

    /// Runs until `stop`; what was applied by then is archived first, if the store goes along.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.options.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let stopped = stop.run_until_cancelled(ticks.tick()).await.is_none();
            if stopped {
                let _ = tokio::time::timeout(LAST, self.tick()).await;
                return;
            }
            if !self.tick().await
                && stop
                    .run_until_cancelled(tokio::time::sleep(RETRY_AFTER))
                    .await
                    .is_none()
            {
                return;
            }
        }
    }

    /// Looks once. False after a failure.
    pub(crate) async fn tick(&mut self) -> bool {
        if !self.group.serves() {
            self.lead = None;
            *self.counters.lacking.lock() = None;
            return true;
        }
        match self.step().await {
            Ok(()) => {
                if self.said.take().is_some() {
                    tracing::info!(group = %self.group.name, "the log archive goes on");
                }
                true
            }
            Err(Error::Sealed) => {
                self.group.retire();
                tracing::error!(group = %self.group.name, incarnation = self.chain.life.incarnation.0, "this group was recovered as another incarnation: this member serves no more. Stop it, and start it with an empty data directory");
                false
            }
            Err(error) => {
                self.counters.failures.fetch_add(1, Relaxed);
                let text = causes::text(&error);
                if self.said.as_ref() != Some(&text) && matches!(error, Error::Forked { .. }) {
                    tracing::error!(group = %self.group.name, "nothing more is archived by this member: {text}. Two nodes were started with copies of one data directory, or a group was begun twice in one object store");
                    self.said = Some(text);
                } else if self.said.as_ref() != Some(&text) {
                    tracing::warn!(group = %self.group.name, "the log archive lags, and is tried again: {text}");
                    self.said = Some(text);
                }
                // Somebody else may have gone on meanwhile.
                self.lead = None;
                false
            }
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        let mut lead = match self.lead.take() {
            Some(lead) => lead,
            None => self.begin().await?,
        };
        while self.one(&mut lead).await? {}
        self.keep(&mut lead).await?;
        self.tell(&mut lead);
        self.lead = Some(lead);
        Ok(())
    }

    /// Finds out where to go on.
    async fn begin(&self) -> Result<Lead, Error> {
        let known = self.group.archived_below();
        let newest = self.chain.firsts(known, |_| true).await?.pop();
        let next = match newest {
            None => known,
            Some(first) => match self.chain.get(first).await {
                Ok(Some(object)) => self.behind(first, &object)?,
                Ok(None) => known,
                // It counts as a gap: a snapshot is put, and all is well from there on.
                Err(error @ Error::Damaged { .. }) => {
                    tracing::error!(group = %self.group.name, error = causes::text(&error), "the newest object of the log archive is damaged");
                    self.begin_anew().await?
                }
                Err(error) => return Err(error),
            },
        };
        let now = Instant::now();
        Ok(Lead {
            next,
            complete: now,
            snapshot_at_ms: None,
            bytes: 0,
            told: (known, now),
        })
    }

    /// The index behind an object that is there.
    ///
    /// INVARIANT: the chain is not continued from a history that is not this member's.
    fn behind(&self, first: u64, object: &Object) -> Result<u64, Error> {
        let Object::Entries(entries) = object else {
            return Err(Error::Sealed);
        };
        let last = entries.last().map_or(first, |last| last.index);
        let forked = |index| Error::Forked {
            path: self.chain.life.object(first),
            index,
        };
        for theirs in [entries.first(), entries.last()].into_iter().flatten() {
            if let Some(own) = self.group.entry_id(theirs.index)?
                && own != theirs
            {
                return Err(forked(theirs.index));
            }
        }
        Ok(last + 1)
    }

    /// Archives what fits into one object. True if there may be more.
    async fn one(&mut self, lead: &mut Lead) -> Result<bool, Error> {
        let (now, until_ms) = (Instant::now(), now_ms());
        let applied = self.group.applied_index().0;
        if applied < lead.next {
            self.complete(lead, now);
            return Ok(false);
        }
        self.counters.lacking.lock().get_or_insert(lead.complete);
        let entries = self.entries(lead.next, applied).await?;
        if entries.first().map(RaftEntry::index) != Some(lead.next) {
            self.counters.gaps.fetch_add(1, Relaxed);
            tracing::error!(group = %self.group.name, from = lead.next, "the log archive has a gap: it lagged for longer than the log is kept; it begins anew with a snapshot");
            lead.next = self.begin_anew().await?;
            (lead.snapshot_at_ms, lead.bytes) = (Some(now_ms()), 0);
            return Ok(true);
        }
        let last = entries.last().map_or(lead.next, RaftEntry::index);
        if last == applied && entries.iter().all(is_note) {
            // Nobody misses these; with them an idle group would never come to rest.
            self.complete(lead, now);
            return Ok(false);
        }
        // Of an object that ends before, nobody knows which moment is whole.
        let until_ms = if last == applied { until_ms } else { 0 };
        let life = self.chain.life.clone();
        let encoded = tokio::task::spawn_blocking(move || object::encode(&life, &entries, until_ms));
        let encoded = encoded.await.map_err(|_| Error::Stopped)?;
        let bytes = encoded.len() as u64;
        fail::fail_point!("archive::before_put");
        let found = self.chain.put(lead.next, encoded).await?;
        fail::fail_point!("archive::after_put");
        lead.next = match found {
            Some(found) => self.behind(lead.next, &found)?,
            None => {
                self.counters.objects.fetch_add(1, Relaxed);
                self.counters.bytes.fetch_add(bytes, Relaxed);
                last + 1
            }
        };
        lead.bytes += bytes;
        self.group.note_archived(lead.next);
        if lead.next > applied {
            self.complete(lead, now);
        }
        Ok(lead.next <= applied)
    }

    fn complete(&self, lead: &mut Lead, when: Instant) {
        lead.complete = when;
        *self.counters.lacking.lock() = None;
    }

    async fn entries(&self, first: u64, last: u64) -> Result<Vec<Entry>, Error> {
        let group = Arc::clone(&self.group);
        let read = tokio::task::spawn_blocking(move || group.entries(first, last, OBJECT_BYTES));
        Ok(read.await.map_err(|_| Error::Stopped)??)
    }

    /// Puts a snapshot; answers the index behind it.
    async fn begin_anew(&self) -> Result<u64, Error> {
        let taken_at_ms = now_ms();
        self.group.snapshot().await?;
        let (file, index) = self.group.snapshot_file()?;
        snapshots::upload(&self.chain.store, &self.chain.life, file, index, taken_at_ms).await?;
        self.counters.snapshots.fetch_add(1, Relaxed);
        Ok(index + 1)
    }

    /// A snapshot, when it is time, and what may go after it.
    async fn keep(&self, lead: &mut Lead) -> Result<(), Error> {
        if lead.bytes == 0 {
            return Ok(());
        }
        let newest = match lead.snapshot_at_ms {
            Some(at_ms) => at_ms,
            None => {
                let all = snapshots::list(&self.chain.store, &self.chain.life).await?;
                // Without any the chain goes back to its beginning, and this leader's time counts.
                all.last().map_or_else(now_ms, |newest| newest.taken_at_ms)
            }
        };
        lead.snapshot_at_ms = Some(newest);
        let age = now_ms().saturating_sub(newest);
        let is_old = u128::from(age) >= self.options.snapshot_age.as_millis();
        if !is_old && lead.bytes < self.options.snapshot_bytes {
            return Ok(());
        }
        self.begin_anew().await?;
        (lead.snapshot_at_ms, lead.bytes) = (Some(now_ms()), 0);
        self.forget().await
    }

    /// Lets go of what is older than the retention.
    async fn forget(&self) -> Result<(), Error> {
        let chain = &self.chain;
        let all = snapshots::list(&chain.store, &chain.life).await?;
        let marks: Vec<Mark> = all
            .iter()
            .map(|stored| Mark {
                index: stored.index,
                taken_at_ms: stored.taken_at_ms,
            })
            .collect();
        let Some(cut) = retention::cut(&marks, now_ms(), self.options.retention) else {
            return Ok(());
        };
        let old = snapshots::older(&chain.store, &chain.life, cut).await?;
        chain.store.delete_all(old).await?;
        let deleted = chain.delete_upto(cut).await?;
        self.counters.deleted.fetch_add(deleted, Relaxed);
        Ok(())
    }

    /// Tells the members what they need not keep for the archive: whoever leads next goes on from there.
    fn tell(&self, lead: &mut Lead) {
        let (told, at) = lead.told;
        if !self.group.has_peers() || told >= lead.next || at.elapsed() < TELL {
            return;
        }
        let note = Kind::Archived(Archived { below: lead.next });
        // It is told again with the next.
        if self.group.propose(Proposal::new(note), |_| ()).is_ok() {
            lead.told = (lead.next, Instant::now());
        }
    }
}

/// An entry that only says how far the archive is.
fn is_note(entry: &Entry) -> bool {
    match &entry.payload {
        EntryPayload::Normal(proposal) => matches!(proposal.command.kind, Some(Kind::Archived(_))),
        EntryPayload::Blank | EntryPayload::Membership(_) => false,
    }
}
