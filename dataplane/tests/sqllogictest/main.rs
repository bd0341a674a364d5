//! sqllogictest: scripts of our own, over HTTP on a real server, and each of them on plain SQLite too.
//!
//! A script's expectations are SQLite's documented behaviour. So that they are not only what Orion printed,
//! every script runs a second time on a file of plain SQLite (`plain`), except those in `orion/`, which are
//! about what Orion refuses or adds.
//! A named connection of a script is a stream here, and a connection there.

#![allow(clippy::print_stdout, reason = "of the crash tests' server")]

mod plain;
#[path = "../support/port.rs"]
mod port;
#[allow(dead_code, reason = "the crash tests use more of it")]
#[path = "../crash/server.rs"]
mod server;
mod streams;
mod text;

use orion_api::admin::CreateDatabase;
use orion_api::client::{Client, SqlOptions};
use orion_api::hrana::Statement;
use orion_api::{DatabaseName, Kind, Value};
use server::Server;
use sqllogictest::{AsyncDB, MakeConnection, Runner};
use std::future::ready;
use std::path::{Path, PathBuf};

/// Everything in one directory, in order.
fn scripts(directory: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sqllogictest")
        .join(directory);
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(root)
        .expect("the scripts")
        .map(|entry| entry.expect("a script").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no scripts in {directory}");
    scripts
}

/// Runs a script to its end or first difference.
async fn run<D: AsyncDB, M: MakeConnection<Conn = D>>(script: &Path, connect: M) -> Option<String> {
    let mut runner = Runner::new(connect);
    let ended = runner.run_file_async(script).await;
    runner.shutdown_async().await;
    ended.err().map(|error| format!("{}: {error}", script.display()))
}

/// All scripts of a directory on one server, each in a database of its own.
async fn on_orion(directory: &str) -> Vec<String> {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path(), None).await;
    let client = Client::new(&server.url, None).expect("a client");
    let mut failures = Vec::new();
    for script in scripts(directory) {
        let stem = script
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .replace('_', "-");
        let wish = CreateDatabase::named(stem.parse().expect("a database's name"));
        client.create_database(&wish).await.expect("a database");
        let database = client.with_database(&stem);
        failures.extend(run(&script, || ready(Ok(streams::Connection::new(&database)))).await);
    }
    failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_hold_on_orion() {
    let failures = on_orion("sqlite").await;
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[tokio::test]
async fn scripts_hold_on_plain_sqlite() {
    let mut failures = Vec::new();
    for script in scripts("sqlite") {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("plain.db");
        failures.extend(run(&script, || ready(plain::Connection::open(&file))).await);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_orion_refuses_and_adds() {
    let failures = on_orion("orion").await;
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_views_are_tables_that_nobody_writes() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path(), None).await;
    let client = Client::new(&server.url, None).expect("a client");
    let gone: DatabaseName = "gone".parse().expect("a name");
    client
        .create_database(&CreateDatabase::named(gone.clone()))
        .await
        .expect("a database");
    client.drop_database(&gone).await.expect("dropped");
    let views = client.with_database("_orion");
    for script in scripts("views") {
        let failure = run(&script, || ready(Ok(streams::Connection::new(&views)))).await;
        assert_eq!(failure, None);
    }
    // On shared connections too, and a key cannot lead to the writer.
    let options = SqlOptions {
        idempotency_key: Some("key".to_owned()),
        ..SqlOptions::default()
    };
    let statement = || Statement::new("SELECT count(*) FROM database_catalog");
    let counted = views.execute(statement(), &SqlOptions::default()).await;
    assert_eq!(counted.expect("a row").rows[0], [Value::Integer(2)]);
    assert_eq!(
        views
            .execute(statement(), &options)
            .await
            .expect_err("refused")
            .kind(),
        Kind::Invalid
    );
    let write = views
        .execute(Statement::new("CREATE TABLE t(a)"), &SqlOptions::default())
        .await;
    assert!(write.is_err());
    assert!(client.drop_database(&DatabaseName::of_views()).await.is_err());
}
