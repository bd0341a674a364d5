//! An object store that is away, throttles or answers garbage, while clients write and read.
//!
//! The law: what is in memory is read and written on, until the committed pages that the store does not take
//! reach their limit; then writes are refused with `ORION_OVERLOADED`, and with nothing else. Nothing grows past
//! the limit. When the store is back all goes on by itself, and exactly what was acknowledged is there.
//!
//! The store is away until so many writes were refused: no time is measured.

use crate::running::{PATIENCE, Running, config};
use crate::s3::{S3Server, Trouble};
use futures::future::join_all;
use orion::config::Config;
use orion_api::{Code, Kind, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

const DATABASES: &[&str] = &["first", "second", "third", "fourth"];
const WRITERS: usize = 12;
const REFUSALS: u64 = 12;
const NODE_OVERLAY: u64 = 2 << 20;
/// What may be under way when the limit is reached: each writer's row, with the pages around it.
const UNDER_WAY: u64 = WRITERS as u64 * (32 << 10);

const SETTINGS: &str = "materialize:\n  flush_bytes: 65536\n  age_seconds: 1\n  snapshot_log_bytes: 262144\n  \
                        database_overlay_bytes: 1048576\n  node_overlay_bytes: 2097152\n";

pub fn on_s3(dir: &Path, server: &S3Server, settings: &str) -> Config {
    let mut config = config(dir, settings);
    config.object_store = server.store_config();
    config
}

/// What the clients know.
#[derive(Default)]
struct Oracle {
    next: AtomicI64,
    acknowledged: Mutex<BTreeMap<&'static str, Vec<i64>>>,
}

impl Oracle {
    async fn prepare(&self, node: &Running) {
        for name in DATABASES {
            node.create(name).await;
            let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, content BLOB)";
            node.run(name, table).await.expect("the table");
        }
        self.write(node, 40).await;
        node.materialized().await;
    }

    async fn insert(&self, node: &Running, name: &'static str) -> Result<(), orion_api::client::Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let insert = format!("INSERT INTO t VALUES ({id}, randomblob(8000))");
        node.run(name, &insert).await?;
        let mut acknowledged = self.acknowledged.lock().expect("no panic");
        acknowledged.entry(name).or_default().push(id);
        Ok(())
    }

    async fn write(&self, node: &Running, many: usize) {
        for i in 0..many {
            let name = DATABASES[i % DATABASES.len()];
            self.insert(node, name).await.expect("written");
        }
    }

    /// Writers and readers until enough writes were refused.
    async fn write_until_refused(&self, node: &Running, what: &str) {
        let (refused, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let writer = |i: usize| {
            let (refused, is_over) = (&refused, &is_over);
            async move {
                while !is_over.load(Ordering::Relaxed) {
                    if let Err(error) = self.insert(node, DATABASES[i % DATABASES.len()]).await {
                        assert_eq!(error.code(), Some(Code::Overloaded), "{what}: {error}");
                        let so_far = refused.fetch_add(1, Ordering::Relaxed) + 1;
                        is_over.fetch_or(so_far >= REFUSALS, Ordering::Relaxed);
                    }
                }
            }
        };
        let reader = async {
            while !is_over.load(Ordering::Relaxed) {
                for name in DATABASES {
                    let count = "SELECT count(*), max(id) FROM t";
                    if let Err(error) = node.run(name, count).await {
                        panic!("{what}: a cached read: {error}");
                    }
                }
            }
        };
        let all = futures::future::join(join_all((0..WRITERS).map(writer)), reader);
        tokio::time::timeout(PATIENCE, all)
            .await
            .expect("writes are refused");
        let overlay = node.overlay_bytes().await;
        assert!(
            overlay <= NODE_OVERLAY + UNDER_WAY,
            "{what}: {overlay} bytes of overlay"
        );
    }

    /// Writes until all databases take it again: only the one error until then.
    async fn write_until_taken(&self, node: &Running, what: &str) {
        let write = async {
            for name in DATABASES {
                while let Err(error) = self.insert(node, name).await {
                    assert_eq!(error.code(), Some(Code::Overloaded), "{what}: {error}");
                }
            }
            node.materialized().await;
        };
        tokio::time::timeout(PATIENCE, write)
            .await
            .expect("it recovers by itself");
    }

    /// Exactly what was acknowledged is there: a refused write was not applied.
    async fn check(&self, node: &Running, what: &str) {
        let acknowledged = self.acknowledged.lock().expect("no panic").clone();
        for name in DATABASES {
            let mut expected = acknowledged[name].clone();
            expected.sort_unstable();
            let found = node
                .run(
                    name,
                    "SELECT id FROM t WHERE length(hex(content)) = 16000 ORDER BY id",
                )
                .await
                .expect("read");
            let found: Vec<Value> = found.into_iter().flatten().collect();
            let expected: Vec<Value> = expected.into_iter().map(Value::Integer).collect();
            assert_eq!(found, expected, "{what}: {name}");
            let check = node.run(name, "PRAGMA integrity_check").await.expect("checked");
            assert_eq!(check, [[Value::Text("ok".into())]], "{what}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_troubled_object_store_stops_only_writes_and_only_at_the_limit() {
    let quiet = Trouble::default();
    let troubles = [
        Trouble {
            lost_request: 1000,
            ..quiet
        },
        Trouble {
            throttled: 1000,
            ..quiet
        },
        Trouble {
            garbage: 1000,
            ..quiet
        },
    ];
    let server = S3Server::start(40).await.expect("a server");
    let dir = tempfile::tempdir().expect("a folder");
    let oracle = Oracle::default();
    let node = Running::start(on_s3(dir.path(), &server, SETTINGS))
        .await
        .expect("starts");
    oracle.prepare(&node).await;
    for trouble in troubles {
        let what = format!("{trouble:?}");
        server.make(trouble);
        oracle.write_until_refused(&node, &what).await;
        server.make(quiet);
        oracle.write_until_taken(&node, &what).await;
    }
    node.stop().await;
    let node = Running::start(on_s3(dir.path(), &server, SETTINGS))
        .await
        .expect("starts again");
    oracle.check(&node, "after all").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_and_writes_while_the_object_store_is_away() {
    let server = S3Server::start(41).await.expect("a server");
    let dir = tempfile::tempdir().expect("a folder");
    let oracle = Oracle::default();
    let node = Running::start(on_s3(dir.path(), &server, SETTINGS))
        .await
        .expect("starts");
    oracle.prepare(&node).await;
    // In the overlay only: the page that the next insert changes, at least.
    oracle.write(&node, 4).await;
    server.make(Trouble {
        lost_request: 1000,
        ..Trouble::default()
    });
    node.stop().await;
    let node = Running::start(on_s3(dir.path(), &server, SETTINGS))
        .await
        .expect("starts without it");
    for name in DATABASES {
        let error = node.run(name, "SELECT sum(length(hex(content))) FROM t").await;
        let error = error.expect_err("most pages are in the object store");
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    }
    server.make(Trouble::default());
    oracle.write_until_taken(&node, "after the start").await;
    oracle.check(&node, "after the start").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_folder_of_objects_stops_only_writes_and_only_at_the_limit() {
    let dir = tempfile::tempdir().expect("a folder");
    let (objects, aside) = (dir.path().join("objects"), dir.path().join("aside"));
    let oracle = Oracle::default();
    let node = Running::start(config(dir.path(), SETTINGS))
        .await
        .expect("starts");
    oracle.prepare(&node).await;
    // A file in its place: permissions would not stop root.
    std::fs::rename(&objects, &aside).expect("moved aside");
    std::fs::write(&objects, "no folder").expect("a file");
    oracle.write_until_refused(&node, "no folder").await;
    std::fs::remove_file(&objects).expect("the file goes");
    std::fs::rename(&aside, &objects).expect("moved back");
    oracle.write_until_taken(&node, "no folder").await;
    node.stop().await;
    let node = Running::start(config(dir.path(), SETTINGS))
        .await
        .expect("starts again");
    oracle.check(&node, "after all").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_base_is_not_begun_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let (objects, aside) = (dir.path().join("objects"), dir.path().join("aside"));
    let oracle = Oracle::default();
    let node = Running::start(config(dir.path(), SETTINGS))
        .await
        .expect("starts");
    oracle.prepare(&node).await;
    node.stop().await;
    // Changes that need nothing of the base to be written: whole pages, and chains of differences that begin
    // with one.
    let lazy = config(dir.path(), "materialize:\n  age_seconds: 3600\n");
    let node = Running::start(lazy).await.expect("starts");
    for name in DATABASES {
        for i in 0..70 {
            let one = format!("(SELECT id FROM t ORDER BY id LIMIT 1 OFFSET {})", i % 10);
            let update = format!("UPDATE t SET content = randomblob(8000) WHERE id = {one}");
            node.run(name, &update).await.expect("written");
        }
    }
    node.stop().await;
    // A file system that is not mounted: the folder is there and empty.
    std::fs::rename(&objects, &aside).expect("moved aside");
    let node = Running::start(config(dir.path(), SETTINGS))
        .await
        .expect("starts");
    // Each was opened to be written.
    let tried = async {
        while node.puts().await < 2 * DATABASES.len() as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.expect("it tries");
    node.stop().await;
    std::fs::remove_dir_all(&objects).expect("the empty one goes");
    std::fs::rename(&aside, &objects).expect("mounted again");
    let node = Running::start(config(dir.path(), SETTINGS))
        .await
        .expect("starts again");
    node.materialized().await;
    oracle.check(&node, "mounted again").await;
    node.stop().await;
}
