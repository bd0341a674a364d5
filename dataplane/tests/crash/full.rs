//! A data directory on a small file system that somebody else fills: writes are refused, reads go on, it heals
//! by itself, and no acknowledged row is lost.

use crate::copy;
use crate::oracle::{Oracle, Shape};
use crate::server::{Life, PATIENCE, Server};
use orion_api::client::{Client, SqlOptions};
use orion_api::hrana::Statement;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Larger than the log's first segment in flight at once: 16 writers with 600 KB each.
const WRITERS: usize = 16;
const SHAPE: Shape = Shape {
    rows: 3,
    bytes: 200_000,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_serves_reads_and_heals_without_losing_a_row() {
    let dir = tempfile::tempdir().expect("a folder");
    let life = Life {
        disk_mib: Some(96),
        ..Life::default()
    };
    let server = Server::live(dir.path(), life).await;
    let mut oracle = Oracle::of(SHAPE);
    oracle.check(&server).await;
    oracle.write_some(&server, 1).await;
    let data = server.path(&dir.path().join(life.data));
    let client = Client::new(&server.url, None)
        .expect("a client")
        .with_database("crash");
    let count = async || {
        let statement = Statement::new("SELECT count(*) FROM t");
        client
            .execute(statement, &SqlOptions::default())
            .await
            .expect("reads go on")
            .rows
    };
    for round in 0..3 {
        let filler = data.join("filler");
        fill(&filler);
        oracle.write_until_refused(&server, WRITERS).await;
        let refused = client
            .execute(Statement::new("CREATE TABLE never (a)"), &SqlOptions::default())
            .await;
        let refused = refused.expect_err("refused").code();
        assert_eq!(refused, Some(orion_api::Code::Overloaded), "round {round}");
        // Longer than local snapshots, materialization and the log's own retries wait.
        let until = Instant::now() + Duration::from_secs(3);
        let mut seen = count().await;
        while Instant::now() < until {
            let now = count().await;
            assert_eq!(now, seen, "round {round}: nothing that was refused appears");
            seen = now;
        }
        std::fs::remove_file(&filler).expect("removed");
        println!("round {round}: {}", usage(&data));
        writable(&client, round, &data).await;
        // With room again, what was in flight is there, and what was refused is not.
        oracle.check(&server).await;
    }
    // The file system goes with the process, so what the next life finds is a copy, as after a kill.
    server.stop().await;
    let after = dir.path().join("after");
    copy(&data, &after);
    drop(server);
    let next = Life {
        data: "after",
        ..Life::default()
    };
    let server = Server::live(dir.path(), next).await;
    oracle.check(&server).await;
    println!(
        "{} acknowledged, {} unknown",
        oracle.acknowledged(),
        oracle.unknown()
    );
}

/// Writes until not a byte fits any more.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("created");
    for size in [1 << 20, 4096, 1] {
        let part = vec![1; size];
        loop {
            match file.write(&part) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Bytes below each folder of `data`, for whoever has to find out why it does not heal.
fn usage(data: &Path) -> String {
    fn bytes(path: &Path) -> u64 {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .map(|entry| match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
                Ok(metadata) => metadata.len(),
                Err(_) => 0,
            })
            .sum()
    }
    let folders = std::fs::read_dir(data).into_iter().flatten().flatten();
    folders
        .map(|folder| {
            let path = folder.path();
            format!("{}: {} KiB, ", path.display(), bytes(&path) >> 10)
        })
        .collect()
}

async fn writable(client: &Client, round: usize, data: &Path) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let create = Statement::new(format!("CREATE TABLE IF NOT EXISTS healed{round} (a)"));
        match client.execute(create, &SqlOptions::default()).await {
            Ok(_) => return,
            Err(error) => assert!(
                Instant::now() < deadline,
                "it does not heal: {error}; {}",
                usage(data)
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
