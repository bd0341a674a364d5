//! One flipped bit anywhere under a node: its log, its local snapshot, its identity, the objects.
//!
//! A node with data is stopped, or killed, and copied. In each copy one bit of one file is flipped, and the
//! node is started again and read as a whole, written, and read again. The law: every answer is right, or an
//! error that says that data is damaged; or the node does not start, and says why. Never wrong data, never an
//! acknowledged row that is silently gone, never a panic.

use crate::running::{Rows, Running, config};
use orion_api::client::Error;
use orion_api::{Code, Kind, Value};
use rand::RngExt;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

const DATABASES: &[&str] = &["first", "second", "third"];

const EVERYTHING: &str = "SELECT id, hex(content) FROM t ORDER BY id";

/// Panics anywhere in this process: a task that panics takes nobody with it, and would not be seen.
static PANICS: AtomicU64 = AtomicU64::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_never_wrong_data_and_never_a_silent_loss() {
    let (mut random, rounds) = crate::seeded(100);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    let dir = tempfile::tempdir().expect("a folder");
    let templates = templates(dir.path()).await;
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..rounds {
        let template = &templates[round as usize % templates.len()];
        // A node that did not start may still make a file or two: each has a folder of its own.
        let copy = dir.path().join(format!("copy-{round}"));
        copy_folder(&template.dir, &copy);
        let flip = Flip::somewhere(&copy, &mut random);
        flip.apply();
        let what = format!("round {round}: {flip}");
        let outcome = outcome(&copy, &template.rows, &what, random.random_ratio(1, 4)).await;
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{what}: a panic");
        *outcomes
            .entry(format!("{} {outcome}", kind(&copy, &flip.path)))
            .or_default() += 1;
        // What is still being made in it goes with the test's folder.
        let _ = std::fs::remove_dir_all(&copy);
    }
    for (outcome, many) in outcomes {
        println!("{many:6} {outcome}");
    }
}

/// A node's folders as a stop or a kill left them, and what must be in them.
struct Template {
    dir: PathBuf,
    rows: BTreeMap<&'static str, Rows>,
}

/// Data everywhere: in the base in two layers, in the local snapshot, and in the log behind it.
async fn templates(dir: &Path) -> Vec<Template> {
    let origin = dir.join("origin");
    let eager = "materialize:\n  age_seconds: 1\n  flush_bytes: 4096\n";
    let lazy = "materialize:\n  age_seconds: 3600\n";
    let node = Running::start(config(&origin, eager)).await.expect("starts");
    for name in DATABASES {
        node.create(name).await;
        let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, content BLOB)";
        node.run(name, table).await.expect("the table");
    }
    insert(&node, 120).await;
    node.materialized().await;
    insert(&node, 30).await;
    node.run("second", "DELETE FROM t WHERE id % 3 = 0")
        .await
        .expect("deleted");
    node.materialized().await;
    node.stop().await;

    let node = Running::start(config(&origin, lazy)).await.expect("starts again");
    insert(&node, 20).await;
    node.stop().await;
    let node = Running::start(config(&origin, lazy)).await.expect("starts again");
    insert(&node, 20).await;
    let rows = all_rows(&node).await;
    let killed = dir.join("killed");
    copy_folder(&origin, &killed);
    node.stop().await;
    let stopped = dir.join("stopped");
    copy_folder(&origin, &stopped);
    [killed, stopped]
        .map(|dir| Template {
            dir,
            rows: rows.clone(),
        })
        .into()
}

async fn insert(node: &Running, many: usize) {
    for name in DATABASES {
        let half = many / 2;
        let rows = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {half}) \
             INSERT INTO t (content) SELECT randomblob(300) FROM n"
        );
        node.run(name, &rows).await.expect("inserted");
        for _ in half..many {
            let row = "INSERT INTO t (content) VALUES (randomblob(300))";
            node.run(name, row).await.expect("inserted");
        }
    }
}

async fn all_rows(node: &Running) -> BTreeMap<&'static str, Rows> {
    let mut rows = BTreeMap::new();
    for name in DATABASES {
        rows.insert(*name, node.run(name, EVERYTHING).await.expect("read"));
    }
    rows
}

/// Starts, reads everything, writes, reads again; panics where the law is broken.
async fn outcome(dir: &Path, expected: &BTreeMap<&str, Rows>, what: &str, materialize: bool) -> &'static str {
    let settings = match materialize {
        true => "materialize:\n  age_seconds: 1\n  flush_bytes: 4096\n",
        false => "materialize:\n  age_seconds: 3600\n",
    };
    let node = match Running::start(config(dir, settings)).await {
        Ok(node) => node,
        Err(error) => {
            let error = anyhow::Error::from(error);
            println!("{what}: does not start: {error:#}");
            return "refused to start";
        }
    };
    let mut damages = Vec::new();
    for (name, rows) in expected {
        let mut rows = rows.clone();
        for round in ["as found", "after a write"] {
            match node.run(name, EVERYTHING).await {
                Ok(found) => assert!(found == rows, "{what}: {name} {round}: wrong rows"),
                Err(error) => damages.push(damage(error, &format!("{what}: {name} {round}"))),
            }
            match node.run(name, "PRAGMA integrity_check").await {
                Ok(found) => assert_eq!(found, [[Value::Text("ok".into())]], "{what}: {name} {round}"),
                Err(error) => damages.push(damage(error, &format!("{what}: {name} {round}"))),
            }
            let insert = "INSERT INTO t (id, content) VALUES (100000, x'00')";
            match node.run(name, insert).await {
                Ok(_) => rows.push(vec![Value::Integer(100_000), Value::Text("00".into())]),
                Err(error) if round == "after a write" => {
                    let is_there = error.code().is_some_and(|code| matches!(code, Code::Sqlite(_)));
                    if !is_there {
                        damages.push(damage(error, &format!("{what}: {name} {round}")));
                    }
                }
                Err(error) => damages.push(damage(error, &format!("{what}: {name} {round}"))),
            }
        }
    }
    node.stop().await;
    match damages.first() {
        Some(first) => {
            println!("{first}");
            "found the damage"
        }
        None => "served rightly",
    }
}

/// The error, which must say that data is damaged.
fn damage(error: Error, what: &str) -> String {
    assert_eq!(error.kind(), Kind::Corrupt, "{what}: {error}");
    format!("{what}: {error}")
}

/// One bit of one file.
struct Flip {
    root: PathBuf,
    path: PathBuf,
    bit: u64,
}

impl Flip {
    /// Any kind of file, any file of it that is not empty; mostly among the bytes that are not zero, because most
    /// of the log is.
    fn somewhere(root: &Path, random: &mut SmallRng) -> Flip {
        let mut files = Vec::new();
        find_files(root, &mut files);
        let mut by_kind: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in files {
            by_kind.entry(kind(root, &path)).or_default().push(path);
        }
        let mut kinds: Vec<Vec<PathBuf>> = by_kind.into_values().collect();
        let mut files = kinds.swap_remove(random.random_range(0..kinds.len()));
        files.sort();
        let path = files.swap_remove(random.random_range(0..files.len()));
        let content = std::fs::read(&path).expect("the file is read");
        let used: Vec<usize> = (0..content.len()).filter(|at| content[*at] != 0).collect();
        let byte = match random.random_ratio(3, 4) && !used.is_empty() {
            true => used[random.random_range(0..used.len())],
            false => random.random_range(0..content.len()),
        };
        Flip {
            root: root.to_owned(),
            path,
            bit: byte as u64 * 8 + random.random_range(0..8u64),
        }
    }

    fn apply(&self) {
        let mut content = std::fs::read(&self.path).expect("the file is read");
        content[(self.bit / 8) as usize] ^= 1 << (self.bit % 8);
        std::fs::write(&self.path, content).expect("the file is written");
    }
}

/// A file's place without ids and numbers.
fn kind(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).expect("below the root");
    let parts = relative.iter().map(|part| part.to_string_lossy());
    let kinds = parts.map(|part| match part.chars().any(|c| c.is_ascii_digit()) {
        true => part
            .rsplit_once('.')
            .map_or("*".to_owned(), |(_, ext)| format!("*.{ext}")),
        false if relative.starts_with("objects/names") && part != "objects" && part != "names" => {
            "*".to_owned()
        }
        false => part.into_owned(),
    });
    kinds.collect::<Vec<_>>().join("/")
}

impl std::fmt::Display for Flip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let relative = self.path.strip_prefix(&self.root).expect("below the root");
        write!(f, "bit {} of {}", self.bit, relative.display())
    }
}

fn find_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => find_files(&path, files),
            false if std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) => files.push(path),
            false => {}
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .args(["-a", "--sparse=always"])
        .args([from, to])
        .status();
    assert!(status.expect("cp").success(), "the copy of {}", from.display());
}
