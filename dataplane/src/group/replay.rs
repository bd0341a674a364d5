//! A state machine that runs outside of Raft: what a recovery replays the archive through.
//!
//! INVARIANT: it is the members' own machine, entry by entry: epoch, base version, chain and parts are checked as when they
//! were applied first. Tested by `a_replay_is_the_state_machine`.

use super::catalog::{Catalog, Database, Origin, State};
use super::machine::Machine;
use super::snapshot_file::{Captured, Loaded};
use super::{Error, snapshot_file};
use crate::entry::FORMAT_LEVEL;
use crate::log::log_id;
use crate::overlay::{Pages, Snapshot};
use crate::raft::{Applied, Entry, LogId, Place, SnapshotFile, StoredMembership};
use openraft::Membership;
use orion_api::{Epoch, NodeId};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The state of a group while its log is replayed.
pub(crate) struct Replay {
    machine: Machine,
    catalog: Arc<Catalog>,
}

impl Replay {
    /// Nothing yet.
    pub(crate) fn new(pages: Arc<Pages>) -> Replay {
        let catalog = Arc::new(Catalog::default());
        let nowhere = Path::new("").to_owned();
        let machine = Machine::new(Arc::clone(&catalog), pages, nowhere, FORMAT_LEVEL);
        Replay { machine, catalog }
    }

    /// Begins with what the local snapshot in `file` holds.
    pub(crate) fn load(&mut self, file: &Path) -> Result<(), Error> {
        let file = SnapshotFile {
            path: file.to_owned(),
        };
        let meta = file.meta()?;
        let loaded = file.load()?;
        self.machine.check_level(loaded.format_level)?;
        self.machine.take_over(&meta, loaded);
        Ok(())
    }

    /// Applies the next entry, unless a later release wrote it in a format that this one does not read.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<Applied, Error> {
        self.machine.check_readable(entry)?;
        Ok(self.machine.apply_entry(entry))
    }

    /// All databases and tombstones, by id.
    pub(crate) fn databases(&self) -> Vec<Arc<Database>> {
        let mut all = self.catalog.all();
        all.sort_by_key(|database| database.id);
        all
    }

    /// Where the members were, where they said so.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let nodes = self.machine.membership().membership().nodes();
        let addresses = nodes.map(|(_, node)| node.address.clone());
        addresses.filter(|address| !address.is_empty()).collect()
    }

    /// Writes a local snapshot of another incarnation, with these databases, to `file`; it holds everything up to `index`.
    /// Its members are nobody yet: see [`found`].
    pub(crate) fn write_seed(
        &self,
        index: u64,
        databases: &[Arc<Database>],
        file: &Path,
    ) -> Result<(), Error> {
        // Who was a member of the old incarnation is none of the new one.
        let mut departed = self.catalog.departed.read().clone();
        departed.extend(self.machine.membership().membership().nodes().map(|(id, _)| *id));
        let seed = Captured {
            last: Some(first_of_incarnation(index)),
            membership: StoredMembership::default(),
            format_level: self.catalog.format_level(),
            departed,
            signing_key: self.catalog.secret().bytes(),
            archived_below: index + 1,
            databases: databases.iter().map(Captured::database).collect(),
            path: file.to_owned(),
        };
        seed.write().map(drop)
    }
}

impl Database {
    /// The same database in its next epoch, which begins with `snapshot`.
    pub(crate) fn in_epoch(&self, epoch: Epoch, snapshot: Snapshot) -> Arc<Database> {
        let mut origins = self.origins.clone();
        origins.push(Origin {
            epoch,
            start_version: snapshot.version,
        });
        let database = Database {
            id: self.id,
            name: self.name.clone(),
            name_position: self.name_position,
            epoch,
            created_at_ms: self.created_at_ms,
            state: RwLock::new(State::Active),
            limits: arc_swap::ArcSwap::from(self.limits.load_full()),
            published: arc_swap::ArcSwap::from_pointee(snapshot),
            parts: parking_lot::Mutex::default(),
            origins,
        };
        Arc::new(database)
    }

    /// The tombstone of the same database: it was dropped, and the log's end with that entry is lost.
    pub(crate) fn as_dropped(&self, at_ms: u64) -> Arc<Database> {
        let dropped = self.in_epoch(self.epoch, Snapshot::empty(self.id, self.epoch));
        *dropped.state.write() = State::Dropped { at_ms };
        dropped
    }
}

/// An entry before the first term: a new log begins behind it.
fn first_of_incarnation(index: u64) -> LogId {
    log_id(0, 0, index)
}

/// Makes the seed in `from` the local snapshot of a group's first member in a new incarnation, in `dir`.
///
/// CRASH: durable under its name, or not there; it may be made again until the log begins.
pub(crate) fn found(from: &Path, dir: &Path, node: NodeId, place: Place) -> Result<(), Error> {
    let seed = SnapshotFile {
        path: from.to_owned(),
    };
    let last = seed.last()?;
    let Loaded {
        format_level,
        departed,
        signing_key,
        archived_below,
        databases,
    } = seed.load()?;
    std::fs::create_dir_all(dir).map_err(|source| Error::Io {
        what: "create",
        path: dir.to_owned(),
        source,
    })?;
    let voters = BTreeSet::from([node.0]);
    let members = Membership::new(vec![voters], BTreeMap::from([(node.0, place)]));
    let members = members.map_err(|error| Error::Membership(error.to_string()))?;
    let captured = Captured {
        last,
        membership: StoredMembership::new(last, members),
        format_level,
        departed,
        signing_key,
        archived_below,
        databases: databases.iter().map(Captured::database).collect(),
        path: dir.join(snapshot_file::NAME),
    };
    captured.write().map(drop)
}
