//! What the group's log says of its databases. Only the state machine changes it; everybody reads it.

use crate::entry::{self, Limits, PageChange};
use crate::overlay::Snapshot;
use crate::secret::Secret;
use arc_swap::ArcSwap;
use orion_api::{DatabaseId, DatabaseName, Epoch, Version};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// Whether a database is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Served.
    Active,
    /// A tombstone; its objects stay until retention is over.
    Dropped {
        /// Wall clock of the leader, milliseconds since 1970.
        at_ms: u64,
    },
    /// A tombstone whose objects are gone.
    Purged {
        /// When it was dropped.
        dropped_at_ms: u64,
        /// When its objects went.
        at_ms: u64,
    },
}

/// One database of the group.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) id: DatabaseId,
    pub(crate) name: DatabaseName,
    /// Position in the name chain, needed to release the name.
    pub(crate) name_position: u64,
    pub(crate) epoch: Epoch,
    pub(crate) created_at_ms: u64,
    pub(crate) state: RwLock<State>,
    pub(crate) limits: ArcSwap<Limits>,
    /// The newest applied version. INVARIANT: only applied commits get here, so whoever reads it reads
    /// nothing that may still vanish.
    pub(crate) published: ArcSwap<Snapshot>,
    /// Parts of a transaction that has no commit yet.
    pub(super) parts: Mutex<Parts>,
    /// With which versions epochs after the first one here began.
    pub(super) origins: Vec<Origin>,
}

/// The beginning of an epoch that followed another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The epoch.
    pub(crate) epoch: Epoch,
    /// Of the versions of epochs before it only those up to this one count.
    pub(crate) start_version: Version,
}

/// Parts of the transaction that is on its way: of one writer's term there is at most one.
#[derive(Debug, Default)]
pub(super) struct Parts {
    transaction: u64,
    arrived: Vec<entry::Pages>,
    /// Over the parts so far: as each comes, because all of them at the commit would hold up the group's other entries.
    hash: PartsHash,
}

impl Parts {
    /// Takes the part if it is the next one of its transaction.
    pub(super) fn add(&mut self, part: entry::Pages) -> bool {
        // A first part says that the writer began anew: what an earlier one left will never be committed.
        if part.part == 0 {
            *self = Parts {
                transaction: part.transaction,
                ..Parts::default()
            };
        }
        let is_next = part.transaction == self.transaction && part.part as usize == self.arrived.len();
        if is_next {
            self.hash.add(&part);
            self.arrived.push(part);
        }
        is_next
    }

    /// Those that are here, to be kept.
    pub(super) fn arrived(&self) -> &[entry::Pages] {
        &self.arrived
    }

    /// All parts of a transaction, if there are `count` and they hash to `hash`; none are left.
    pub(super) fn take(&mut self, transaction: u64, count: u32, hash: &[u8]) -> Option<Vec<PageChange>> {
        let parts = std::mem::take(self);
        if count == 0 {
            return Some(Vec::new());
        }
        let is_complete = parts.transaction == transaction
            && parts.arrived.len() == count as usize
            && parts.hash.finish() == hash;
        is_complete.then(|| parts.arrived.into_iter().flat_map(|part| part.pages).collect())
    }
}

/// First 16 bytes of BLAKE3 over the encoded parts, in order.
///
/// The state is 1.9 KiB, and hardly any database has parts: made with the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartsHash(Option<Box<blake3::Hasher>>);

impl PartsHash {
    pub(crate) fn of(parts: &[entry::Pages]) -> PartsHash {
        let mut hash = PartsHash::default();
        parts.iter().for_each(|part| hash.add(part));
        hash
    }

    fn add(&mut self, part: &entry::Pages) {
        self.0
            .get_or_insert_default()
            .update(&prost::Message::encode_to_vec(part));
    }

    pub(crate) fn finish(&self) -> [u8; 16] {
        let mut hash = [0; 16];
        let whole = self
            .0
            .as_deref()
            .map_or_else(|| blake3::hash(&[]), blake3::Hasher::finalize);
        hash.copy_from_slice(&whole.as_bytes()[..16]);
        hash
    }
}

impl Database {
    pub(super) fn new(create: &entry::Create, id: DatabaseId, name: DatabaseName) -> Database {
        let epoch = Epoch(create.epoch);
        Database {
            id,
            name,
            name_position: create.name_position,
            epoch,
            created_at_ms: create.created_at_ms,
            state: RwLock::new(State::Active),
            limits: ArcSwap::from_pointee(create.limits.unwrap_or_default()),
            published: ArcSwap::from_pointee(Snapshot::empty(id, epoch)),
            parts: Mutex::default(),
            origins: Vec::new(),
        }
    }

    /// The database of the views: empty, and in no catalog.
    pub(crate) fn of_views() -> Database {
        let create = entry::Create {
            epoch: 1,
            ..entry::Create::default()
        };
        Database::new(&create, DatabaseId::from_bytes([0; 16]), DatabaseName::of_views())
    }

    /// Becomes what the same database is in a snapshot.
    fn take_over(&self, other: &Database) {
        *self.state.write() = *other.state.read();
        self.limits.store(other.limits.load_full());
        self.published.store(other.published.load_full());
        *self.parts.lock() = std::mem::take(&mut *other.parts.lock());
    }

    /// False if a version of an earlier epoch is not a part of this one's history: it was lost with that epoch's end.
    pub(crate) fn has(&self, epoch: Epoch, version: Version) -> bool {
        let mut later = self.origins.iter().filter(|origin| origin.epoch > epoch);
        later.all(|origin| version <= origin.start_version)
    }

    /// Pages of a transaction that has no commit yet.
    #[cfg(test)]
    pub(crate) fn pages_in_parts(&self) -> usize {
        self.parts
            .lock()
            .arrived()
            .iter()
            .map(|part| part.pages.len())
            .sum()
    }

    /// True while it is served.
    pub(crate) fn is_active(&self) -> bool {
        *self.state.read() == State::Active
    }
}

/// All databases of the group, tombstones included.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    databases: RwLock<HashMap<DatabaseId, Arc<Database>>>,
    names: RwLock<HashMap<DatabaseName, DatabaseId>>,
    /// Databases with something that is not in the base.
    dirty: Mutex<HashSet<DatabaseId>>,
    urgent: Mutex<HashSet<DatabaseId>>,
    urgent_changed: Notify,
    /// Bytes of all overlays.
    overlay_bytes: AtomicU64,
    pub(super) applied_index: AtomicU64,
    pub(super) applied_bytes: AtomicU64,
    pub(super) format_level: AtomicU32,
    /// The level that this release met and does not read; 0 while there is none.
    pub(super) unreadable_level: watch::Sender<u32>,
    /// Nodes that were members and left. INVARIANT: an id that left never comes back.
    pub(super) departed: RwLock<BTreeSet<u64>>,
    /// Entries before this index are in the archive. A leader knows it earlier than the entry that says so: nothing that
    /// members must agree on depends on it.
    pub(super) archived_below: AtomicU64,
    secret: Secret,
}

impl Catalog {
    /// What signs batons and session tokens; pending until the group has one.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// What may be proposed: entries of formats up to this level.
    pub(crate) fn format_level(&self) -> u32 {
        self.format_level.load(Ordering::Relaxed)
    }

    /// True if the node was a member once, and is none any more.
    pub(super) fn has_left(&self, node: u64) -> bool {
        self.departed.read().contains(&node)
    }

    /// A database or a tombstone by id.
    pub(crate) fn get(&self, id: DatabaseId) -> Option<Arc<Database>> {
        self.databases.read().get(&id).cloned()
    }

    /// A served database by name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Database>> {
        let id = *self.names.read().get(name)?;
        self.get(id)
    }

    /// All databases and tombstones, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Database>> {
        self.databases.read().values().cloned().collect()
    }

    /// Databases with changes that are not in the base.
    pub(crate) fn dirty(&self) -> Vec<Arc<Database>> {
        let ids: Vec<DatabaseId> = self.dirty.lock().iter().copied().collect();
        ids.into_iter().filter_map(|id| self.get(id)).collect()
    }

    /// Bytes of all overlays.
    pub(crate) fn overlay_bytes(&self) -> u64 {
        self.overlay_bytes.load(Ordering::Relaxed)
    }

    /// Makes `next` what everybody reads. Only the state machine calls it, one entry after the other.
    pub(super) fn publish(&self, database: &Database, next: Snapshot) {
        self.overlay_bytes
            .fetch_add(next.overlay_bytes, Ordering::Relaxed);
        let before = database.published.swap(Arc::new(next));
        self.overlay_bytes
            .fetch_sub(before.overlay_bytes, Ordering::Relaxed);
    }

    /// Drops the parts of transactions that have no commit yet.
    pub(super) fn drop_parts(&self) {
        for database in self.databases.read().values() {
            *database.parts.lock() = Parts::default();
        }
    }

    /// Asks the materializer for a database at once, because writes wait for it.
    pub(crate) fn ask_for_materialization(&self, id: DatabaseId) {
        self.urgent.lock().insert(id);
        self.urgent_changed.notify_one();
    }

    /// Databases that were asked for since the last call.
    pub(crate) fn take_urgent(&self) -> HashSet<DatabaseId> {
        std::mem::take(&mut *self.urgent.lock())
    }

    /// Waits until somebody asks for a database.
    pub(crate) async fn asked_for_materialization(&self) {
        self.urgent_changed.notified().await;
    }

    pub(super) fn mark(&self, id: DatabaseId, is_dirty: bool) {
        let mut dirty = self.dirty.lock();
        if is_dirty {
            dirty.insert(id);
        } else {
            dirty.remove(&id);
        }
    }

    /// False if the id or the name is taken.
    pub(super) fn insert(&self, database: Arc<Database>) -> bool {
        insert(&mut self.databases.write(), &mut self.names.write(), database)
    }

    /// The name of a dropped database may be given to another.
    pub(super) fn release_name(&self, database: &Database) {
        let mut names = self.names.write();
        if names.get(&database.name) == Some(&database.id) {
            names.remove(&database.name);
        }
    }

    /// Takes over everything that a snapshot held. A database that is known already stays the same object: whoever has it open
    /// sees the new state, and transactions under way keep the version that they pinned.
    pub(super) fn replace(&self, arrived: Vec<Arc<Database>>) {
        // Whoever looks for a database meanwhile waits: it is there before and after.
        let (mut databases, mut names) = (self.databases.write(), self.names.write());
        let mut known = std::mem::take(&mut *databases);
        names.clear();
        self.dirty.lock().clear();
        self.overlay_bytes.store(0, Ordering::Relaxed);
        for arrived in arrived {
            let database = match known.remove(&arrived.id) {
                Some(database) => {
                    if !Arc::ptr_eq(&database, &arrived) {
                        database.take_over(&arrived);
                    }
                    database
                }
                None => arrived,
            };
            let snapshot = database.published.load();
            self.overlay_bytes
                .fetch_add(snapshot.overlay_bytes, Ordering::Relaxed);
            if database.is_active() && snapshot.changed_since.is_some() {
                self.mark(database.id, true);
            }
            insert(&mut databases, &mut names, database);
        }
        // What the snapshot does not know is gone for good: whoever has it open must see that.
        for gone in known.into_values() {
            *gone.state.write() = State::Dropped { at_ms: 0 };
        }
    }
}

fn insert(
    databases: &mut HashMap<DatabaseId, Arc<Database>>,
    names: &mut HashMap<DatabaseName, DatabaseId>,
    database: Arc<Database>,
) -> bool {
    let is_active = database.is_active();
    if databases.contains_key(&database.id) || (is_active && names.contains_key(&database.name)) {
        return false;
    }
    if is_active {
        names.insert(database.name.clone(), database.id);
    }
    databases.insert(database.id, database);
    true
}
