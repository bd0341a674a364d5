//! A whole node in process and its archive: what a replay finds, what writers do to each other, what is let go, and what a
//! recovered group is.

use super::tests::{Script, options, run};
use super::{Error, Node};
use crate::archive::{
    Archiver, Chain, Counters, End, Life, Object, Options, Recovery, Replayed, encode, encode_seal,
};
use crate::base::{self, Bases};
use crate::database::RequestOptions;
use crate::entry::Limits;
use crate::group::Database;
use crate::overlay::{self, PageCache, Pages};
use crate::owner::{Chains, Incarnation};
use crate::store::Store;
use orion_api::Code;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use uuid::Uuid;

/// A node whose archive only the test writes.
async fn node(dir: &Path) -> Arc<Node> {
    let mut options = options(dir);
    options.archive = None;
    options.flush_bytes = 30_000;
    Node::start(options).await.expect("starts")
}

/// A node on the same objects with an empty data directory.
async fn node_without_data(dir: &Path) -> Result<Arc<Node>, Error> {
    let _ = std::fs::remove_dir_all(dir.join("data"));
    Node::start(options(dir)).await
}

struct Writer {
    archiver: Archiver,
    counters: Arc<Counters>,
}

impl Writer {
    fn new(node: &Node, options: Options) -> Writer {
        let counters = Arc::<Counters>::default();
        let group = Arc::clone(&node.home.group);
        Writer {
            archiver: Archiver::new(group, node.store().clone(), options, Arc::clone(&counters)),
            counters,
        }
    }

    async fn tick(&mut self) {
        assert!(self.archiver.tick().await, "the store is there");
    }
}

fn chain(store: &Store, incarnation: u64) -> Chain {
    Chain {
        store: store.clone(),
        life: Life {
            group: "default".parse().expect("a name"),
            incarnation: Incarnation(incarnation),
        },
    }
}

fn recovery(store: &Store, dir: &Path) -> Recovery {
    let bases = Arc::new(Bases::new(store.clone(), base::Options::default()));
    let runtime = tokio::runtime::Handle::current();
    let pages = Pages::new(PageCache::new(1 << 20), bases, runtime, Duration::from_secs(30));
    Recovery {
        store: store.clone(),
        chains: Chains::new(store.clone()),
        pages: Arc::new(pages),
        group: "default".parse().expect("a name"),
        dir: dir.to_owned(),
        may_drop: Default::default(),
    }
}

/// All that a database is, but for its pages.
fn face(database: &Database) -> String {
    let snapshot = database.published.load();
    format!(
        "{} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        database.id,
        database.name,
        snapshot.epoch,
        snapshot.version,
        snapshot.chain,
        snapshot.extent,
        *database.state.read(),
        **database.limits.load(),
        snapshot.expiries,
    )
}

/// Everything that the node applied is in the archive, to the last page.
async fn assert_replays(node: &Node, dir: &Path) -> Replayed {
    let recovery = recovery(node.store(), dir);
    let replayed = recovery.look(Incarnation(1)).await.expect("replayed");
    assert_eq!(replayed.end, End::Newest);
    let replayed_databases = replayed.state.databases();
    let mut own = node.home.group.catalog.all();
    own.sort_by_key(|database| database.id);
    assert_eq!(
        replayed_databases.iter().map(|one| face(one)).collect::<Vec<_>>(),
        own.iter().map(|one| face(one)).collect::<Vec<_>>()
    );
    for (theirs, own) in replayed_databases
        .iter()
        .zip(&own)
        .filter(|(_, own)| own.is_active())
    {
        let sum = overlay::sum(&recovery.pages, &theirs.published.load_full()).await;
        let own = overlay::sum(&node.home.group.pages, &own.published.load_full()).await;
        assert_eq!(sum.expect("it reads"), own.expect("it reads"));
    }
    replayed
}

/// One random thing that a client or the node itself does.
async fn do_something(node: &Arc<Node>, random: &mut StdRng) {
    let names = node.list(false);
    let some = (!names.is_empty()).then(|| names[random.random_range(0..names.len())].name.to_string());
    match (random.random_range(0..20), some) {
        (0, _) | (_, None) => {
            let name = format!("db{}", random.random_range(0..6));
            if node.create(None, &name, Limits::default(), None).await.is_ok() {
                run(node, &name, &["CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)"]).await;
            }
        }
        (1, Some(name)) if name != "kept" => {
            node.drop_database(&name).await.expect("dropped");
        }
        (2, Some(name)) => {
            let streams = random.random_range(1..50);
            let change = |before: &Limits| Limits { streams, ..*before };
            node.change_limits(&name, change).await.expect("changed");
        }
        (3, Some(name)) => {
            let id = node.get(&name).expect("there").id;
            node.home.group.catalog.ask_for_materialization(id);
        }
        // Larger than an entry: it goes in parts.
        (4, Some(name)) => {
            run(node, &name, &["INSERT INTO t (v) VALUES (randomblob(1500000))"]).await;
        }
        (5, Some(name)) => {
            run(node, &name, &["DELETE FROM t WHERE id % 3 = 0", "VACUUM"]).await;
        }
        (_, Some(name)) => {
            let sql = format!(
                "INSERT INTO t (v) VALUES (randomblob({}))",
                random.random_range(1..6000)
            );
            let results = run(node, &name, &[&sql]).await;
            assert!(results[0].is_ok(), "{results:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_the_state_machine() {
    let mut random = StdRng::seed_from_u64(crate::seed::seed());
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path()).await;
    // A snapshot every now and then, and always all of them kept.
    let options = Options {
        snapshot_bytes: 500_000,
        ..Options::default()
    };
    let mut writer = Writer::new(&node, options);
    for _ in 0..6 {
        for _ in 0..random.random_range(1..40) {
            do_something(&node, &mut random).await;
            if random.random_bool(0.2) {
                writer.tick().await;
            }
        }
        writer.tick().await;
        assert_replays(&node, dir.path()).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_both_think_they_lead_make_one_chain() {
    let mut random = StdRng::seed_from_u64(crate::seed::seed());
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path()).await;
    let mut one = Writer::new(&node, Options::default());
    let mut two = Writer::new(&node, Options::default());
    for _ in 0..30 {
        do_something(&node, &mut random).await;
        match random.random_range(0..4) {
            0 => one.tick().await,
            1 => two.tick().await,
            _ => drop(tokio::join!(one.tick(), two.tick())),
        }
    }
    one.tick().await;
    two.tick().await;
    let chain = chain(node.store(), 1);
    let mut next = 0;
    for first in chain.firsts(0, |_| true).await.expect("listed") {
        assert_eq!(first, next, "no overlap and no gap");
        let Ok(Some(Object::Entries(entries))) = chain.get(first).await else {
            panic!("an object of entries at {first}")
        };
        next = entries.last().expect("not empty").index + 1;
    }
    assert!(one.counters.objects.load(Relaxed) > 0 && two.counters.objects.load(Relaxed) > 0);
    assert_replays(&node, dir.path()).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_ends_elsewhere_is_gone_on_from() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path()).await;
    let mut writer = Writer::new(&node, Options::default());
    writer.tick().await;
    let next = node.home.group.archived_below();
    node.create(None, "app", Limits::default(), None)
        .await
        .expect("created");
    run(&node, "app", &["CREATE TABLE t (v)", "INSERT INTO t VALUES (1)"]).await;
    // Another leader saw only the first of these when it wrote.
    let entries = node.home.group.entries(next, next, 1 << 20).expect("in the log");
    let chain = chain(node.store(), 1);
    let object = encode(&chain.life, &entries, 7);
    assert!(chain.put(next, object).await.expect("put").is_none());
    run(&node, "app", &["INSERT INTO t VALUES (2)"]).await;
    writer.tick().await;
    assert_replays(&node, dir.path()).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_gap_or_damage_nothing_is_missing() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path()).await;
    let mut random = StdRng::seed_from_u64(crate::seed::seed());
    let mut writer = Writer::new(&node, Options::default());
    for _ in 0..10 {
        do_something(&node, &mut random).await;
    }
    writer.tick().await;
    for _ in 0..30 {
        do_something(&node, &mut random).await;
    }
    // The store was away, and the log was let go meanwhile.
    node.home.group.snapshot().await.expect("a snapshot");
    node.home.group.let_all_go().await;
    do_something(&node, &mut random).await;
    writer.tick().await;
    assert_eq!(writer.counters.gaps.load(Relaxed), 1);
    let replayed = assert_replays(&node, dir.path()).await;
    assert!(replayed.snapshot.is_some());
    // Whoever leads next finds the newest object damaged.
    do_something(&node, &mut random).await;
    writer.tick().await;
    let chain = chain(node.store(), 1);
    let newest = chain
        .firsts(0, |_| true)
        .await
        .expect("listed")
        .pop()
        .expect("one");
    let path = chain.life.object(newest);
    let mut damaged = node
        .store()
        .get(&path)
        .await
        .expect("read")
        .expect("there")
        .to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    node.store()
        .delete_all(vec![path.clone()])
        .await
        .expect("deleted");
    node.store()
        .put_if_absent(&path, damaged.into())
        .await
        .expect("put");
    let found = recovery(node.store(), dir.path())
        .look(Incarnation(1))
        .await
        .expect("replayed");
    assert!(matches!(found.end, End::Damaged(_)), "{:?}", found.end);
    node.home.group.forget_archived();
    let mut writer = Writer::new(&node, Options::default());
    writer.tick().await;
    node.create(None, "after", Limits::default(), None)
        .await
        .expect("created");
    writer.tick().await;
    assert_replays(&node, dir.path()).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_the_rest_replays() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path()).await;
    let mut random = StdRng::seed_from_u64(crate::seed::seed());
    let options = Options {
        retention: Duration::ZERO,
        snapshot_bytes: 1,
        ..Options::default()
    };
    let mut writer = Writer::new(&node, options);
    for _ in 0..10 {
        for _ in 0..5 {
            do_something(&node, &mut random).await;
        }
        writer.tick().await;
        assert_replays(&node, dir.path()).await;
    }
    assert!(writer.counters.deleted.load(Relaxed) >= 8);
    let firsts = chain(node.store(), 1).firsts(0, |_| true).await.expect("listed");
    assert!(firsts.len() <= 2, "{firsts:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_group_sends_no_request() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path()).await;
    node.create(None, "app", Limits::default(), None)
        .await
        .expect("created");
    let mut writer = Writer::new(&node, Options::default());
    writer.tick().await;
    let before = node.store().metrics().requests();
    for _ in 0..5 {
        writer.tick().await;
    }
    assert_eq!(node.store().metrics().requests(), before);
    assert_eq!(writer.counters.loss_window(), Duration::ZERO);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_the_seal_serves_no_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path()).await;
    let mut writer = Writer::new(&node, Options::default());
    writer.tick().await;
    let chain = chain(node.store(), 1);
    let next = node.home.group.archived_below();
    let seal = encode_seal(&chain.life, next, Uuid::new_v4());
    assert!(chain.put(next, seal).await.expect("put").is_none());
    assert!(node.home.group.serves());
    node.create(None, "app", Limits::default(), None)
        .await
        .expect("created");
    assert!(!writer.archiver.tick().await);
    assert!(!node.home.group.serves());
    node.create(None, "other", Limits::default(), None)
        .await
        .expect_err("it is over");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_group_is_the_one_that_was() {
    let mut random = StdRng::seed_from_u64(crate::seed::seed());
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = Node::start(options(dir.path())).await.expect("starts");
    node.create(None, "kept", Limits::default(), None)
        .await
        .expect("created");
    run(
        &node,
        "kept",
        &["CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)"],
    )
    .await;
    for incarnation in 2..4 {
        for _ in 0..40 {
            do_something(&node, &mut random).await;
        }
        let key = node.home.group.catalog.secret().bytes();
        let store = node.store().clone();
        // An orderly stop archives everything.
        node.stop().await;
        let mut expected = Vec::new();
        for database in node.home.group.catalog.all() {
            let sum = match database.is_active() {
                true => Some(
                    overlay::sum(&node.home.group.pages, &database.published.load_full())
                        .await
                        .expect("it reads"),
                ),
                false => None,
            };
            let version = database.published.load().version;
            expected.push((database.id, database.name.clone(), version, sum));
        }
        expected.sort_by_key(|(id, ..)| *id);
        drop(node);
        let outcome = recovery(&store, dir.path()).run().await.expect("recovered");
        assert_eq!(outcome.recovered.incarnation, Incarnation(incarnation));
        // Nobody began it yet: the same again changes nothing.
        let again = recovery(&store, dir.path()).run().await.expect("the same");
        assert_eq!(again.recovered, outcome.recovered);
        node = node_without_data(dir.path()).await.expect("begins");
        assert_eq!(node.home.group.incarnation, Incarnation(incarnation));
        assert_eq!(node.home.group.catalog.secret().bytes(), key);
        let mut found = Vec::new();
        for database in node.home.group.catalog.all() {
            let snapshot = database.published.load_full();
            let is_active = database.is_active();
            assert!(
                !is_active
                    || snapshot.epoch.0 == database.epoch.0 && database.has(database.epoch, snapshot.version)
            );
            let sum = match is_active {
                true => Some(
                    overlay::sum(&node.home.group.pages, &snapshot)
                        .await
                        .expect("it reads"),
                ),
                false => None,
            };
            found.push((database.id, database.name.clone(), snapshot.version, sum));
        }
        found.sort_by_key(|(id, ..)| *id);
        assert_eq!(found, expected);
        for info in node.list(false) {
            let check = run(&node, info.name.as_str(), &["PRAGMA integrity_check"]).await;
            let rows = check.into_iter().next().expect("one").expect("it works").rows;
            assert_eq!(format!("{rows:?}"), "[[Text(\"ok\")]]");
        }
        // And it goes on, also after a restart.
        run(&node, "kept", &["INSERT INTO t (v) VALUES (1)"]).await;
        node.stop().await;
        drop(node);
        node = Node::start(options(dir.path())).await.expect("starts again");
        run(&node, "kept", &["INSERT INTO t (v) VALUES (2)"]).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lost_its_base_is_given_up_only_by_wish() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    for name in ["kept", "gone", "damaged"] {
        node.create(None, name, Limits::default(), None)
            .await
            .expect("created");
        run(&node, name, &["CREATE TABLE t (v)", "INSERT INTO t VALUES (1)"]).await;
        super::tests::materialize(&node, name).await;
        run(&node, name, &["INSERT INTO t VALUES (2)"]).await;
    }
    let (store, gone, damaged) = (
        node.store().clone(),
        node.get("gone").expect("there").id,
        node.get("damaged").expect("there").id,
    );
    node.stop().await;
    drop(node);
    let of = |id| object_store::path::Path::from(format!("db/{id}/{:020}", 1));
    let all = store.list(&of(gone)).await.expect("listed");
    assert!(!all.is_empty());
    store.delete_all(all).await.expect("deleted");
    // Of the other one only tables: its manifest still has the checkpoint.
    let all = store.list(&of(damaged)).await.expect("listed");
    let tables: Vec<_> = all
        .into_iter()
        .filter(|path| path.filename().is_some_and(|name| name.ends_with(".sst")))
        .collect();
    assert!(!tables.is_empty());
    store.delete_all(tables).await.expect("deleted");
    let cautious = recovery(&store, dir.path());
    let half = Recovery {
        may_drop: ["gone"].map(|name| name.parse().expect("a name")).into(),
        ..recovery(&store, dir.path())
    };
    assert!(half.run().await.is_err(), "only what is named is given up");
    let refused = cautious.run().await;
    let Err(crate::archive::Error::BasesLost(lost)) = refused.map(drop) else {
        panic!("it recovers without them");
    };
    let mut names: Vec<&str> = lost.iter().map(|lost| lost.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["damaged", "gone"]);
    // Nothing was ended: whoever has a disk goes on.
    let node = Node::start(options(dir.path())).await.expect("starts");
    node.stop().await;
    drop(node);
    let told = Recovery {
        may_drop: ["gone", "damaged"]
            .map(|name| name.parse().expect("a name"))
            .into(),
        ..recovery(&store, dir.path())
    };
    #[cfg(feature = "failpoints")]
    {
        // It dies when the tombstone is there and the name is not free yet.
        fail::cfg("recover::before_release", "panic").expect("an order");
        let died = tokio::spawn(async move { told.run().await.map(drop) }).await;
        assert!(died.is_err(), "{died:?}");
        fail::remove("recover::before_release");
    }
    #[cfg(not(feature = "failpoints"))]
    told.run().await.map(drop).expect("recovered");
    // What was planned holds for whoever goes on with it.
    cautious.run().await.expect("the same");
    let node = node_without_data(dir.path()).await.expect("begins");
    let names: Vec<_> = node
        .list(false)
        .into_iter()
        .map(|info| info.name.to_string())
        .collect();
    assert_eq!(names, ["kept"]);
    let rows = run(&node, "kept", &["SELECT count(*) FROM t"]).await;
    assert_eq!(
        format!("{:?}", rows[0].as_ref().expect("it reads").rows),
        "[[Integer(2)]]"
    );
    let tombstone = node
        .list(true)
        .into_iter()
        .find(|info| info.id == gone)
        .expect("known");
    assert!(tombstone.dropped_at_ms.is_some() && tombstone.purged_at_ms.is_none());
    // The name is free, for another database.
    let anew = node
        .create(None, "gone", Limits::default(), None)
        .await
        .expect("created");
    assert_ne!(anew.id, gone);
    run(&node, "gone", &["CREATE TABLE t (v)"]).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_members_of_a_recovered_group_do_not_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    node.create(None, "app", Limits::default(), None)
        .await
        .expect("created");
    run(&node, "app", &["CREATE TABLE t (v)"]).await;
    let store = node.store().clone();
    node.stop().await;
    drop(node);
    recovery(&store, dir.path()).run().await.expect("recovered");
    let refused = Node::start(options(dir.path())).await;
    assert!(
        matches!(refused, Err(Error::Over { incarnation: 1, .. })),
        "{refused:?}"
    );
    let begun = node_without_data(dir.path()).await.expect("begins");
    begun.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_recoveries_at_once_one_counts() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(options(dir.path())).await.expect("starts");
    for name in ["one", "two", "three"] {
        node.create(None, name, Limits::default(), None)
            .await
            .expect("created");
        run(&node, name, &["CREATE TABLE t (v)", "INSERT INTO t VALUES (1)"]).await;
    }
    let store = node.store().clone();
    node.stop().await;
    drop(node);
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let recoveries = folders.iter().map(|folder| recovery(&store, folder.path()));
    let attempts =
        recoveries.map(|recovery| async move { recovery.run().await.map(|outcome| outcome.recovered) });
    let outcomes = futures::future::join_all(attempts).await;
    // One may have been fenced by another; run again it finds what counts.
    let last = recovery(&store, dir.path())
        .run()
        .await
        .expect("recovered")
        .recovered;
    for outcome in outcomes.into_iter().flatten() {
        assert_eq!(outcome, last);
    }
    let begun = node_without_data(dir.path()).await.expect("begins");
    for name in ["one", "two", "three"] {
        let rows = run(&begun, name, &["SELECT count(*) FROM t"])
            .await
            .remove(0)
            .expect("it works")
            .rows;
        assert_eq!(format!("{rows:?}"), "[[Integer(1)]]");
    }
    begun.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_what_was_lost_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path()).await;
    node.create(None, "app", Limits::default(), None)
        .await
        .expect("created");
    run(&node, "app", &["CREATE TABLE t (v)"]).await;
    let kept = node.databases.find("app").expect("there").position();
    Writer::new(&node, Options::default()).tick().await;
    run(&node, "app", &["INSERT INTO t VALUES (1)"]).await;
    let lost = node.databases.find("app").expect("there").position();
    let store = node.store().clone();
    node.stop().await;
    drop(node);
    recovery(&store, dir.path()).run().await.expect("recovered");
    let node = node_without_data(dir.path()).await.expect("begins");
    let read = |session| {
        let options = RequestOptions {
            session: Some(session),
            ..RequestOptions::default()
        };
        let database = node.databases.find("app").expect("there");
        async move {
            database
                .run(Script::new(&["SELECT count(*) FROM t"]), &options)
                .await
                .map(drop)
        }
    };
    read(kept).await.expect("what it saw is there");
    let refused = read(lost).await.expect_err("what it saw is lost");
    assert_eq!(refused.code, Code::StaleRead);
    // Also when the new epoch has as many versions.
    run(&node, "app", &["INSERT INTO t VALUES (1)"]).await;
    assert_eq!(read(lost).await.expect_err("still").code, Code::StaleRead);
    node.stop().await;
}
