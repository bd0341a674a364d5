//! The state machine: what each committed entry does to the catalog and to the databases.
//!
//! Every rule here is a function of the entry and of the state, so that all members decide the same.

use super::Error;
use super::catalog::{Catalog, Database, State};
use super::rules::{self, Position};
use super::snapshot_file::{Captured, Loaded};
use crate::base::Checkpoint;
use crate::entry::{self, Commit, Kind, Proposal};
use crate::overlay::{Pages, Snapshot};
use crate::page::Chain;
use crate::raft::{Applied, Entry, LogId, Refused, SnapshotFile, StoredMembership, Types};
use futures::{Stream, TryStreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use orion_api::{DatabaseId, Epoch, Version};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::runtime::{Handle, RuntimeFlavor};

/// openraft's side of the catalog.
pub(crate) struct Machine {
    catalog: Arc<Catalog>,
    pages: Arc<Pages>,
    last: Option<LogId>,
    membership: StoredMembership,
    /// Where local snapshots of this group lie.
    path: PathBuf,
    /// The newest format level that this release reads.
    reads_format: u32,
}

impl Machine {
    /// An empty state machine; openraft installs the last local snapshot, if there is one at `path`.
    pub(crate) fn new(catalog: Arc<Catalog>, pages: Arc<Pages>, path: PathBuf, reads_format: u32) -> Machine {
        Machine {
            catalog,
            pages,
            last: None,
            membership: StoredMembership::default(),
            path,
            reads_format,
        }
    }

    /// Becomes what a snapshot held.
    pub(super) fn take_over(&mut self, meta: &SnapshotMetaOf<Types>, loaded: Loaded) {
        *self.catalog.departed.write() = loaded.departed;
        self.catalog.replace(loaded.databases);
        if let Some(key) = loaded.signing_key {
            self.catalog.secret().set(key);
        }
        self.catalog
            .format_level
            .store(loaded.format_level, Ordering::Relaxed);
        self.catalog
            .archived_below
            .fetch_max(loaded.archived_below, Ordering::Relaxed);
        self.catalog
            .applied_index
            .store(meta.last_log_id.map_or(0, |id| id.index), Ordering::Release);
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
    }

    /// The members, by the newest entry that says so.
    pub(super) fn membership(&self) -> &StoredMembership {
        &self.membership
    }

    pub(super) fn apply_entry(&mut self, entry: &Entry) -> Applied {
        let id = entry.log_id();
        self.last = Some(id);
        let applied = match &entry.payload {
            EntryPayload::Blank => {
                // A new term: what a writer of an earlier one left of a transaction will never be committed.
                self.catalog.drop_parts();
                Applied::Nothing
            }
            EntryPayload::Membership(membership) => {
                let before = std::mem::replace(
                    &mut self.membership,
                    StoredMembership::new(Some(id), membership.clone()),
                );
                let left = before
                    .membership()
                    .nodes()
                    .map(|(node, _)| *node)
                    .filter(|node| membership.get_node(node).is_none());
                self.catalog.departed.write().extend(left);
                Applied::Nothing
            }
            EntryPayload::Normal(proposal) => {
                self.catalog
                    .applied_bytes
                    .fetch_add(proposal.len() as u64, Ordering::Relaxed);
                match self.apply_command(proposal) {
                    Ok(version) => Applied::Done(version),
                    Err(refused) => Applied::Refused(refused),
                }
            }
        };
        self.catalog.applied_index.store(id.index, Ordering::Release);
        applied
    }

    /// INVARIANT: entries of a format that this release may not know are not applied: it would refuse what the others do.
    pub(super) fn check_readable(&self, entry: &Entry) -> Result<(), Error> {
        match &entry.payload {
            EntryPayload::Normal(proposal) => match &proposal.command.kind {
                Some(Kind::SetFormatLevel(set)) => self.check_level(set.level),
                _ => Ok(()),
            },
            EntryPayload::Blank | EntryPayload::Membership(_) => Ok(()),
        }
    }

    /// The same of a whole snapshot.
    pub(super) fn check_level(&self, level: u32) -> Result<(), Error> {
        if level <= self.reads_format {
            return Ok(());
        }
        self.catalog.unreadable_level.send_replace(level);
        Err(Error::FormatLevel {
            level,
            reads: self.reads_format,
        })
    }

    fn apply_command(&self, proposal: &Proposal) -> Result<Option<Version>, Refused> {
        match proposal.command.kind.as_ref().ok_or(Refused::Malformed)? {
            Kind::Commit(commit) => self.commit(commit, proposal).map(Some),
            Kind::Pages(pages) => self.pages_part(pages).map(|()| None),
            Kind::Create(create) => self.create(create).map(|()| None),
            Kind::Drop(drop) => self.drop_database(drop).map(|()| None),
            Kind::Purged(purged) => self.purged(purged).map(|()| None),
            Kind::Materialized(materialized) => self.materialized(materialized).map(|()| None),
            Kind::Unpin(unpin) => self.active(&unpin.database).map(|_| None),
            Kind::SetLimits(limits) => {
                self.active(&limits.database)?
                    .limits
                    .store(Arc::new(limits.limits.unwrap_or_default()));
                Ok(None)
            }
            Kind::SetFormatLevel(level) => {
                self.catalog
                    .format_level
                    .fetch_max(level.level, Ordering::Relaxed);
                Ok(None)
            }
            Kind::Archived(archived) => {
                self.catalog
                    .archived_below
                    .fetch_max(archived.below, Ordering::Relaxed);
                Ok(None)
            }
            Kind::SetSigningKey(set) => {
                let key = set.key.as_ref().try_into().map_err(|_| Refused::Malformed)?;
                let is_first = self.catalog.secret().set(key);
                is_first.then_some(None).ok_or(Refused::Taken)
            }
        }
    }

    /// INVARIANT: a commit is applied only in the database's epoch, on top of its version, as the next link
    /// of its chain.
    fn commit(&self, commit: &Commit, proposal: &Proposal) -> Result<Version, Refused> {
        fail::fail_point!("machine::commit");
        let body = commit.body().map_err(|_| Refused::Malformed)?;
        let database = self.active(&body.database)?;
        let before = database.published.load();
        rules::commit(&Position::of(&before), body.epoch(), body.base_version())?;
        let chain = Chain::try_from(commit.chain.as_ref()).map_err(|_| Refused::Malformed)?;
        if before.chain.next(&commit.body) != chain {
            return Err(Refused::Chain);
        }
        let parts = database
            .parts
            .lock()
            .take(body.transaction, body.parts, &body.parts_hash);
        let parts = parts.ok_or(Refused::Malformed)?;
        let is_cut = body.page_count < before.extent.page_count;
        let is_large = !parts.is_empty() || (is_cut && before.is_large());
        let publish = move || {
            let next = before.apply(&body, &parts, chain).ok_or(Refused::Malformed)?;
            let version = next.version;
            if let Some(images) = &proposal.images {
                for (no, image) in images.iter() {
                    self.pages
                        .cache
                        .put((database.id, next.epoch), *no, version, image.clone());
                }
            }
            if before.changed_since.is_none() {
                self.catalog.mark(database.id, true);
            }
            self.catalog.publish(&database, next);
            Ok(version)
        };
        aside_if(is_large, publish)
    }

    fn pages_part(&self, pages: &entry::Pages) -> Result<(), Refused> {
        fail::fail_point!("machine::part");
        let database = self.active(&pages.database)?;
        if Epoch(pages.epoch) != database.published.load().epoch {
            return Err(Refused::Epoch);
        }
        let added = database.parts.lock().add(pages.clone());
        added.then_some(()).ok_or(Refused::Malformed)
    }

    fn create(&self, create: &entry::Create) -> Result<(), Refused> {
        let id = database_id(&create.database)?;
        let name = create.name.parse().map_err(|_| Refused::Malformed)?;
        let database = Arc::new(Database::new(create, id, name));
        self.catalog.insert(database).then_some(()).ok_or(Refused::Taken)
    }

    fn drop_database(&self, drop: &entry::Drop) -> Result<(), Refused> {
        let database = self.active(&drop.database)?;
        *database.state.write() = State::Dropped {
            at_ms: drop.dropped_at_ms,
        };
        self.catalog.release_name(&database);
        self.catalog.mark(database.id, false);
        let is_large = database.published.load().is_large();
        // Nothing reads it any more but transactions that pinned a version already.
        let publish = || {
            let empty = Snapshot::empty(database.id, database.epoch);
            self.catalog.publish(&database, empty);
        };
        aside_if(is_large, publish);
        Ok(())
    }

    fn purged(&self, purged: &entry::Purged) -> Result<(), Refused> {
        let database = self
            .catalog
            .get(database_id(&purged.database)?)
            .ok_or(Refused::NoDatabase)?;
        let state = &mut *database.state.write();
        let State::Dropped { at_ms } = *state else {
            return Err(Refused::NoDatabase);
        };
        *state = State::Purged {
            dropped_at_ms: at_ms,
            at_ms: purged.purged_at_ms,
        };
        Ok(())
    }

    /// INVARIANT: refused unless it is of the database's epoch and newer than what is materialized.
    fn materialized(&self, materialized: &entry::Materialized) -> Result<(), Refused> {
        fail::fail_point!("machine::materialized");
        let database = self.active(&materialized.database)?;
        let before = database.published.load();
        let (epoch, version) = (Epoch(materialized.epoch), Version(materialized.version));
        rules::materialized(&Position::of(&before), epoch, version)?;
        let id = materialized
            .checkpoint
            .as_ref()
            .try_into()
            .map_err(|_| Refused::Malformed)?;
        let checkpoint = Checkpoint {
            database: database.id,
            epoch,
            id: uuid::Uuid::from_bytes(id),
            version,
        };
        let is_large = before.is_large();
        let publish = move || {
            let next = before.materialized(
                Arc::new(checkpoint),
                materialized.page_count,
                materialized.records_expired_ms,
            );
            self.catalog.mark(database.id, next.changed_since.is_some());
            self.catalog.publish(&database, next);
            // Whoever is the last to have it frees all that is in the object store now.
            drop(before);
        };
        aside_if(is_large, publish);
        Ok(())
    }

    fn active(&self, id: &[u8]) -> Result<Arc<Database>, Refused> {
        let database = self.catalog.get(database_id(id)?).ok_or(Refused::NoDatabase)?;
        if database.is_active() {
            Ok(database)
        } else {
            Err(Refused::NoDatabase)
        }
    }
}

/// Runs what takes long, where it does, while Raft's other tasks, which share this thread, go on elsewhere.
///
/// INVARIANT: nothing holds up heartbeats for a good part of the lease: 65,000 pages of one transaction would, and cost the
/// group its leader. Tested by `the_largest_transaction_costs_no_leader_and_stops_no_other_database`.
fn aside_if<T>(is_large: bool, work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) if is_large => tokio::task::block_in_place(work),
        // What is small; and tests without a runtime, or with one thread, have nobody who waits.
        _ => work(),
    }
}

fn database_id(bytes: &[u8]) -> Result<DatabaseId, Refused> {
    bytes
        .try_into()
        .map(DatabaseId::from_bytes)
        .map_err(|_| Refused::Malformed)
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Captured;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.check_readable(&entry).map_err(io::Error::other)?;
            let applied = self.apply_entry(&entry);
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Captured {
        Captured {
            last: self.last,
            membership: self.membership.clone(),
            format_level: self.catalog.format_level(),
            departed: self.catalog.departed.read().clone(),
            signing_key: self.catalog.secret().bytes(),
            archived_below: self.catalog.archived_below.load(Ordering::Relaxed),
            databases: self.catalog.all().iter().map(Captured::database).collect(),
            path: self.path.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        snapshot: SnapshotFile,
    ) -> io::Result<()> {
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || snapshot.adopt(&path))
            .await
            .map_err(io::Error::other)?;
        let loaded = loaded.map_err(io::Error::other)?;
        self.check_level(loaded.format_level).map_err(io::Error::other)?;
        self.take_over(meta, loaded);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, SnapshotFile>>> {
        let file = SnapshotFile {
            path: self.path.clone(),
        };
        if !file.path.exists() {
            return Ok(None);
        }
        let meta = file.meta().map_err(io::Error::other)?;
        Ok(Some(SnapshotOf::<Types, SnapshotFile> { meta, snapshot: file }))
    }
}

impl RaftSnapshotBuilder<Types> for Captured {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, SnapshotFile>> {
        let captured = self.clone();
        let written = tokio::task::spawn_blocking(move || captured.write()).await;
        match written.map_err(io::Error::other)? {
            Ok(snapshot) => Ok(SnapshotOf::<Types, SnapshotFile> {
                meta: SnapshotMetaOf::<Types> {
                    last_log_id: self.last,
                    last_membership: self.membership.clone(),
                },
                snapshot,
            }),
            // To Raft a snapshot that failed is the end of the group. One that holds nothing is older than any and
            // changes nothing; the next that is asked for may be smaller, because what was materialized meanwhile
            // is not in it.
            Err(error) if error.is_for_lack_of_room() => {
                tracing::warn!(%error, "no room for a local snapshot; it will be tried again");
                Ok(SnapshotOf::<Types, SnapshotFile> {
                    meta: SnapshotMetaOf::<Types>::default(),
                    snapshot: SnapshotFile {
                        path: self.path.clone(),
                    },
                })
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
