//! What the state machine refuses, and what a local snapshot keeps or finds damaged.

use super::catalog::{Catalog, Database, PartsHash, State};
use super::machine::Machine;
use super::snapshot_file::Captured;
use super::{Error, snapshot_file};
use crate::base::{Bases, Options};
use crate::entry::{
    self, Commit, CommitBody, Create, Kind, Limits, Materialized, PageChange, PageContent, Proposal, Purged,
    Record,
};
use crate::overlay::{PageCache, Pages, Snapshot};
use crate::page::{PageNo, checksum};
use crate::raft::SnapshotFile;
use crate::raft::{Applied, Entry, Refused, StoredMembership};
use crate::store::Store;
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::RaftStateMachine;
use orion_api::{DatabaseId, Version};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PAGE: usize = 512;

/// The snapshot as a restarted member finds it.
pub(crate) fn round_trip(snapshot: &Snapshot) -> Snapshot {
    let dir = tempfile::tempdir().expect("a folder");
    let create = create(snapshot.database, "app", snapshot.epoch.0);
    let database = Arc::new(Database::new(
        &create,
        snapshot.database,
        "app".parse().expect("a name"),
    ));
    database.published.store(Arc::new(snapshot.clone()));
    let captured = Captured {
        last: None,
        membership: StoredMembership::default(),
        format_level: 1,
        departed: BTreeSet::new(),
        signing_key: Some([7; 32]),
        archived_below: 0,
        databases: vec![Captured::database(&database)],
        path: dir.path().join("snapshot"),
    };
    let mut loaded = captured.write().expect("written").load().expect("loaded");
    let restored = loaded.databases.remove(0).published.load_full();
    Snapshot::clone(&restored)
}

fn create(id: DatabaseId, name: &str, epoch: u64) -> Create {
    Create {
        database: Bytes::copy_from_slice(id.as_bytes()),
        name: name.to_owned(),
        epoch,
        created_at_ms: 5,
        limits: Some(Limits {
            streams: 3,
            ..Limits::default()
        }),
        name_position: 2,
    }
}

/// A state machine and the commands for one database in it.
struct Member {
    machine: Machine,
    catalog: Arc<Catalog>,
    index: u64,
    id: DatabaseId,
}

impl Member {
    fn new(dir: &Path) -> Member {
        let catalog = Arc::new(Catalog::default());
        let bases = Arc::new(Bases::new(Store::memory(), Options::default()));
        let runtime = tokio::runtime::Handle::current();
        let pages = Pages::new(PageCache::new(1 << 20), bases, runtime, Duration::from_secs(5));
        let path = dir.join("snapshot");
        let machine = Machine::new(Arc::clone(&catalog), Arc::new(pages), path, entry::FORMAT_LEVEL);
        Member {
            machine,
            catalog,
            index: 0,
            id: DatabaseId::random(),
        }
    }

    /// With a database in epoch 4.
    fn with_database(dir: &Path) -> Member {
        let mut member = Member::new(dir);
        let create = create(member.id, "app", 4);
        assert_eq!(member.apply(Kind::Create(create)), Applied::Done(None));
        member
    }

    fn apply(&mut self, kind: Kind) -> Applied {
        self.index += 1;
        let id = crate::log::log_id(1, 1, self.index);
        let entry = Entry::new(id, EntryPayload::Normal(Proposal::new(kind)));
        self.machine.apply_entry(&entry)
    }

    /// The first entry of another leader's term.
    fn begin_term(&mut self) {
        self.index += 1;
        let id = crate::log::log_id(2, 1, self.index);
        self.machine.apply_entry(&Entry::new(id, EntryPayload::Blank));
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.catalog.get(self.id).expect("there").published.load_full()
    }

    /// A commit that fits, of one page with these bytes.
    fn body(&self, byte: u8) -> CommitBody {
        let snapshot = self.snapshot();
        CommitBody {
            database: Bytes::copy_from_slice(self.id.as_bytes()),
            epoch: snapshot.epoch.0,
            base_version: snapshot.version.0,
            page_count: 3,
            page_size: PAGE as u32,
            pages: vec![self.change(1, byte)],
            ..CommitBody::default()
        }
    }

    fn change(&self, no: u32, byte: u8) -> PageChange {
        let image = Bytes::from(vec![byte; PAGE]);
        PageChange {
            number: no,
            checksum: checksum(self.id, PageNo::new(no).expect("from 1"), &image).0,
            content: Some(PageContent::Image(image)),
        }
    }

    fn commit(&mut self, body: &CommitBody) -> Applied {
        let (commit, _) = Commit::link(self.snapshot().chain, body);
        self.apply(Kind::Commit(commit))
    }

    fn part(&self, transaction: u64, part: u32) -> entry::Pages {
        entry::Pages {
            database: Bytes::copy_from_slice(self.id.as_bytes()),
            epoch: 4,
            transaction,
            part,
            pages: vec![self.change(part + 1, part as u8 + 10)],
        }
    }

    fn materialized(&self, version: u64) -> Materialized {
        Materialized {
            records_expired_ms: 0,
            database: Bytes::copy_from_slice(self.id.as_bytes()),
            epoch: 4,
            version,
            checkpoint: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
            page_count: 3,
        }
    }

    /// Applies what must be refused, and sees to it that nothing changed.
    fn refused(&mut self, kind: Kind) -> Refused {
        let before = self
            .catalog
            .get(self.id)
            .map(|database| database.published.load_full());
        let Applied::Refused(refused) = self.apply(kind) else {
            panic!("it was not refused");
        };
        let after = self
            .catalog
            .get(self.id)
            .map(|database| database.published.load_full());
        if let (Some(before), Some(after)) = (before, after) {
            assert!(Arc::ptr_eq(&before, &after), "a refused command has no effect");
        }
        refused
    }
}

#[tokio::test]
async fn a_commit_of_another_epoch_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut member = Member::with_database(dir.path());
    for epoch in [0, 3, 5] {
        let body = CommitBody {
            epoch,
            ..member.body(1)
        };
        let (commit, _) = Commit::link(member.snapshot().chain, &body);
        assert_eq!(member.refused(Kind::Commit(commit)), Refused::Epoch);
    }
    let part = entry::Pages {
        epoch: 3,
        ..member.part(1, 0)
    };
    assert_eq!(member.refused(Kind::Pages(part)), Refused::Epoch);
}

#[tokio::test]
async fn a_commit_on_another_version_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut member = Member::with_database(dir.path());
    let first = member.body(1);
    assert_eq!(member.commit(&first), Applied::Done(Some(Version(1))));
    for base_version in [0, 2] {
        let body = CommitBody {
            base_version,
            ..member.body(2)
        };
        let (commit, _) = Commit::link(member.snapshot().chain, &body);
        assert_eq!(member.refused(Kind::Commit(commit)), Refused::Version);
    }
    let body = member.body(2);
    assert_eq!(member.commit(&body), Applied::Done(Some(Version(2))));
}

#[tokio::test]
async fn a_commit_that_is_not_the_next_link_of_the_chain_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut member = Member::with_database(dir.path());
    let chain_before = member.snapshot().chain;
    let body = member.body(1);
    member.commit(&body);
    let body = member.body(2);
    let (other_chain, _) = Commit::link(chain_before, &body);
    assert_eq!(member.refused(Kind::Commit(other_chain)), Refused::Chain);
    let (good, _) = Commit::link(member.snapshot().chain, &body);
    let changed = Commit {
        body: Bytes::from(prost::Message::encode_to_vec(&member.body(3))),
        ..good.clone()
    };
    assert_eq!(member.refused(Kind::Commit(changed)), Refused::Chain);
    let short = Commit {
        chain: good.chain.slice(..8),
        ..good
    };
    assert_eq!(member.refused(Kind::Commit(short)), Refused::Malformed);
}

#[tokio::test]
async fn a_dropped_database_takes_nothing_and_its_id_is_never_used_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut member = Member::with_database(dir.path());
    let body = member.body(1);
    let (commit, _) = Commit::link(member.snapshot().chain, &body);
    let drop = entry::Drop {
        database: body.database.clone(),
        dropped_at_ms: 7,
    };
    let purged = Purged {
        database: body.database.clone(),
        purged_at_ms: 9,
    };
    assert_eq!(
        member.refused(Kind::Purged(purged.clone())),
        Refused::NoDatabase,
        "it is still served"
    );
    assert_eq!(member.apply(Kind::Drop(drop.clone())), Applied::Done(None));
    assert_eq!(member.refused(Kind::Commit(commit)), Refused::NoDatabase);
    assert_eq!(
        member.refused(Kind::Pages(member.part(1, 0))),
        Refused::NoDatabase
    );
    assert_eq!(
        member.refused(Kind::Materialized(member.materialized(1))),
        Refused::NoDatabase
    );
    assert_eq!(member.refused(Kind::Drop(drop)), Refused::NoDatabase);
    assert!(member.catalog.find("app").is_none());
    assert_eq!(
        member.refused(Kind::Create(create(member.id, "other", 1))),
        Refused::Taken
    );
    let another = create(DatabaseId::random(), "app", 1);
    assert_eq!(member.apply(Kind::Create(another)), Applied::Done(None));
    assert_eq!(member.apply(Kind::Purged(purged.clone())), Applied::Done(None));
    assert_eq!(member.refused(Kind::Purged(purged)), Refused::NoDatabase);
}

#[tokio::test]
async fn a_name_belongs_to_one_database() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut member = Member::with_database(dir.path());
    let second = create(DatabaseId::random(), "app", 1);
    assert_eq!(member.refused(Kind::Create(second)), Refused::Taken);
}

#[tokio::test]
async fn a_materialization_of_another_epoch_or_not_newer_or_of_the_future_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut member = Member::with_database(dir.path());
    for byte in 1..4 {
        let body = member.body(byte);
        member.commit(&body);
    }
    let stale = Materialized {
        epoch: 3,
        ..member.materialized(2)
    };
    assert_eq!(member.refused(Kind::Materialized(stale)), Refused::Epoch);
    assert_eq!(
        member.refused(Kind::Materialized(member.materialized(4))),
        Refused::Version
    );
    assert_eq!(
        member.apply(Kind::Materialized(member.materialized(2))),
        Applied::Done(None)
    );
    for version in [0, 1, 2] {
        let again = member.materialized(version);
        assert_eq!(member.refused(Kind::Materialized(again)), Refused::Version);
    }
    let nameless = Materialized {
        checkpoint: Bytes::from_static(b"short"),
        ..member.materialized(3)
    };
    assert_eq!(member.refused(Kind::Materialized(nameless)), Refused::Malformed);
    assert_eq!(
        member.apply(Kind::Materialized(member.materialized(3))),
        Applied::Done(None)
    );
    assert_eq!(member.snapshot().overlay_bytes, 0);
}

#[tokio::test]
async fn a_commit_whose_parts_are_not_all_there_in_order_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut member = Member::with_database(dir.path());
    let parts: Vec<entry::Pages> = (0..3).map(|part| member.part(8, part)).collect();
    let body = |member: &Member| CommitBody {
        transaction: 8,
        parts: 3,
        parts_hash: Bytes::copy_from_slice(&PartsHash::of(&parts).finish()),
        pages: Vec::new(),
        ..member.body(1)
    };
    let mut attempt = |sent: &[entry::Pages]| {
        let mut last = Applied::Nothing;
        for part in sent {
            last = member.apply(Kind::Pages(part.clone()));
        }
        let body = body(&member);
        let commit = Commit::link(member.snapshot().chain, &body).0;
        (last, member.apply(Kind::Commit(commit)))
    };
    let refused = Applied::Refused(Refused::Malformed);
    assert_eq!(attempt(&[]).1, refused);
    assert_eq!(attempt(&parts[..2]).1, refused);
    assert_eq!(attempt(&[parts[0].clone(), parts[2].clone()]).0, refused);
    assert_eq!(attempt(&parts[1..]).1, refused);
    let other = entry::Pages {
        pages: Vec::new(),
        ..parts[2].clone()
    };
    assert_eq!(attempt(&[parts[0].clone(), parts[1].clone(), other]).1, refused);
    assert_eq!(attempt(&parts).1, Applied::Done(Some(Version(1))));
    let snapshot = member.snapshot();
    assert_eq!(snapshot.slots().count(), 3);
}

#[tokio::test]
async fn parts_that_an_earlier_writer_left_do_not_get_into_another_transaction() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut member = Member::with_database(dir.path());
    member.apply(Kind::Pages(member.part(8, 0)));
    member.apply(Kind::Pages(member.part(8, 1)));
    let body = member.body(1);
    assert_eq!(member.commit(&body), Applied::Done(Some(Version(1))));
    let body = CommitBody {
        transaction: 8,
        parts: 2,
        parts_hash: Bytes::copy_from_slice(&PartsHash::of(&[member.part(8, 0), member.part(8, 1)]).finish()),
        ..member.body(1)
    };
    assert_eq!(member.commit(&body), Applied::Refused(Refused::Malformed));
}

#[tokio::test]
async fn parts_of_a_dead_writer_go_with_the_next_term() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut member = Member::with_database(dir.path());
    member.apply(Kind::Pages(member.part(8, 0)));
    member.apply(Kind::Pages(member.part(8, 1)));
    member.begin_term();
    let database = member.catalog.get(member.id).expect("there");
    assert!(database.parts.lock().arrived().is_empty());
}

#[tokio::test]
async fn bytes_of_all_overlays_follow_commits_materializations_drops_and_snapshots() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut member = Member::with_database(dir.path());
    for byte in 1..4 {
        member.commit(&member.body(byte));
        assert_eq!(member.catalog.overlay_bytes(), member.snapshot().overlay_bytes);
    }
    assert!(member.catalog.overlay_bytes() > 0);
    let databases = member.catalog.all();
    member.catalog.replace(databases);
    assert_eq!(member.catalog.overlay_bytes(), member.snapshot().overlay_bytes);
    member.apply(Kind::Materialized(member.materialized(3)));
    assert_eq!(member.catalog.overlay_bytes(), member.snapshot().overlay_bytes);
    member.commit(&member.body(9));
    let database = Bytes::copy_from_slice(member.id.as_bytes());
    member.apply(Kind::Drop(entry::Drop {
        database,
        dropped_at_ms: 11,
    }));
    assert_eq!(member.catalog.overlay_bytes(), 0);
}

/// Databases in every state, with everything that a local snapshot keeps.
async fn rich(dir: &Path) -> (Member, SnapshotFile) {
    let mut member = Member::with_database(dir);
    for byte in 1..4 {
        let body = CommitBody {
            records: vec![Record {
                key: Bytes::from_static(b"i/key"),
                value: Bytes::from(vec![byte; 9]),
                expires_at_ms: 77,
            }],
            page_count: 4 - u32::from(byte == 3),
            ..member.body(byte)
        };
        member.commit(&body);
    }
    member.apply(Kind::Materialized(member.materialized(2)));
    member.apply(Kind::Pages(member.part(5, 0)));
    for (name, purged) in [("dropped", false), ("purged", true)] {
        let id = DatabaseId::random();
        let database = Bytes::copy_from_slice(id.as_bytes());
        member.apply(Kind::Create(create(id, name, 1)));
        member.apply(Kind::Drop(entry::Drop {
            database: database.clone(),
            dropped_at_ms: 11,
        }));
        if purged {
            let purged_at_ms = 12;
            member.apply(Kind::Purged(Purged {
                database,
                purged_at_ms,
            }));
        }
    }
    let file = member
        .machine
        .get_snapshot_builder()
        .await
        .write()
        .expect("written");
    (member, file)
}

/// Everything that a loaded snapshot says, as text.
fn described(loaded: &snapshot_file::Loaded) -> String {
    let mut databases: Vec<String> = loaded
        .databases
        .iter()
        .map(|database| {
            let snapshot = database.published.load();
            let slots: Vec<String> = snapshot
                .slots()
                .map(|(no, slot)| format!("{no} {slot:?}"))
                .collect();
            let records: Vec<String> = snapshot.records().map(|record| format!("{record:?}")).collect();
            format!(
                "{} {} {} {:?} {:?} {} {} {:?} {:?} {:?} {} {:?} {:?} {:?} {}",
                database.id,
                database.name,
                database.name_position,
                *database.state.read(),
                database.limits.load(),
                snapshot.epoch,
                snapshot.version,
                snapshot.chain,
                snapshot.extent,
                snapshot.checkpoint,
                snapshot.base_limit,
                snapshot.shrinks(),
                slots,
                records,
                snapshot.overlay_bytes,
            )
        })
        .collect();
    databases.sort();
    format!("{} {}", loaded.format_level, databases.join("\n"))
}

#[tokio::test]
async fn a_local_snapshot_keeps_databases_tombstones_overlays_and_parts() {
    let dir = tempfile::tempdir().expect("a folder");
    let (member, file) = rich(dir.path()).await;
    let meta = file.meta().expect("readable");
    assert_eq!(meta.last_log_id.map(|id| id.index), Some(member.index));
    let loaded = file.load().expect("readable");
    assert_eq!(loaded.databases.len(), 3);
    for database in &loaded.databases {
        let before = member.catalog.get(database.id).expect("there");
        assert_eq!(*database.state.read(), *before.state.read());
        assert_eq!(**database.limits.load(), **before.limits.load());
        assert_eq!(database.created_at_ms, before.created_at_ms);
        let (found, expected) = (database.published.load(), before.published.load());
        assert_eq!(found.version, expected.version);
        assert_eq!(found.chain, expected.chain);
        assert_eq!(found.extent, expected.extent);
        assert_eq!(found.shrinks(), expected.shrinks());
        assert_eq!(found.overlay_bytes, expected.overlay_bytes);
        assert_eq!(found.base_limit, expected.base_limit);
    }
    // The transaction under way goes on after a restart.
    let restarted_dir = tempfile::tempdir().expect("a folder");
    let mut restarted = Member::new(restarted_dir.path());
    restarted.id = member.id;
    restarted
        .machine
        .install_snapshot(&meta, file)
        .await
        .expect("installed");
    let parts = [restarted.part(5, 0), restarted.part(5, 1)];
    assert_eq!(
        restarted.apply(Kind::Pages(parts[1].clone())),
        Applied::Done(None)
    );
    let body = CommitBody {
        transaction: 5,
        parts: 2,
        parts_hash: Bytes::copy_from_slice(&PartsHash::of(&parts).finish()),
        pages: Vec::new(),
        ..restarted.body(1)
    };
    assert_eq!(restarted.commit(&body), Applied::Done(Some(Version(4))));
    assert_eq!(
        restarted.catalog.dirty().len(),
        1,
        "what is not in the base is known to be"
    );
}

#[tokio::test]
async fn a_flipped_bit_in_a_local_snapshot_is_corruption_and_never_another_state() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_, file) = rich(dir.path()).await;
    let whole = described(&file.load().expect("intact"));
    let bytes = std::fs::read(&file.path).expect("it reads");
    for at in (0..bytes.len()).filter(|at| *at < 200 || at % 5 == 0) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&file.path, &damaged).expect("it writes");
        match file.load() {
            Err(Error::CorruptSnapshot { path, .. }) => assert_eq!(path, file.path),
            Err(other) => panic!("byte {at}: {other}"),
            Ok(loaded) => panic!(
                "byte {at} was not noticed; the state is {}",
                if described(&loaded) == whole {
                    "equal"
                } else {
                    "another"
                }
            ),
        }
    }
    for len in (0..bytes.len()).step_by(13) {
        std::fs::write(&file.path, &bytes[..len]).expect("it writes");
        let result = file.load().map(|loaded| described(&loaded));
        assert!(
            matches!(result, Err(Error::CorruptSnapshot { .. })),
            "cut at {len}: {result:?}"
        );
    }
    std::fs::write(&file.path, [&bytes[..], &[0]].concat()).expect("it writes");
    assert!(matches!(file.load().err(), Some(Error::CorruptSnapshot { .. })));
}

#[tokio::test]
async fn two_members_decide_the_same() {
    let dirs = [
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    ];
    let mut members = dirs.each_ref().map(|dir| Member::new(dir.path()));
    let id = members[0].id;
    members[1].id = id;
    let mut commands = vec![Kind::Create(create(id, "app", 4))];
    let mut model = Member::with_database(dirs[0].path());
    model.id = id;
    model.apply(Kind::Create(create(id, "app2", 4)));
    for byte in 1..5 {
        let body = model.body(byte);
        let (commit, _) = Commit::link(model.snapshot().chain, &body);
        model.apply(Kind::Commit(commit.clone()));
        commands.push(Kind::Commit(commit.clone()));
        commands.push(Kind::Commit(commit));
        commands.push(Kind::Materialized(model.materialized(u64::from(byte) / 2)));
    }
    for kind in commands {
        let [a, b] = &mut members;
        assert_eq!(a.apply(kind.clone()), b.apply(kind));
        if a.catalog.get(id).is_some() {
            assert_eq!(a.snapshot().chain, b.snapshot().chain);
        }
    }
    assert_eq!(members[0].snapshot().version, Version(4));
    assert_eq!(
        *members[0].catalog.get(id).expect("there").state.read(),
        State::Active
    );
}
