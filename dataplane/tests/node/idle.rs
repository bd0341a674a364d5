//! Databases that nobody uses cost the object store nothing.
//!
//! The S3 server writes down every request that it gets. There are a thousand idle databases, a hundred of them
//! with pages in the store, and ten that are written and materialized several times meanwhile.

use crate::outage::on_s3;
use crate::running::Running;
use crate::s3::S3Server;
use futures::stream::{StreamExt, iter};

const IDLE: usize = 1000;
/// Of these, with pages in the store: more than are kept open.
const USED: usize = 100;
const ACTIVE: usize = 10;
const ROUNDS: usize = 3;

/// A materialization opens at most once, writes one table and some manifests, reads what it needs of them.
const REQUESTS_MAX: usize = 16;

const SETTINGS: &str = "materialize:\n  age_seconds: 1\n";

#[tokio::test(flavor = "multi_thread")]
async fn idle_databases_send_no_request_to_the_object_store() {
    let server = S3Server::start(50).await.expect("a server");
    let dir = tempfile::tempdir().expect("a folder");
    let node = Running::start(on_s3(dir.path(), &server, SETTINGS))
        .await
        .expect("starts");
    let idle = create(&node, "idle", IDLE).await;
    let active = create(&node, "active", ACTIVE).await;
    write(&node, "idle", USED).await;
    write(&node, "active", ACTIVE).await;
    node.materialized().await;
    // Two rounds more: bases past the most that are open are closed after a round, each with a request, and the next
    // round begins when that is done.
    for _ in 0..2 {
        write(&node, "active", ACTIVE).await;
        node.materialized().await;
    }
    server.take_requests();

    for _ in 0..ROUNDS {
        write(&node, "active", ACTIVE).await;
        node.materialized().await;
    }
    let requests = server.take_requests();
    for id in &idle {
        let of_idle: Vec<_> = requests.iter().filter(|request| request.contains(id)).collect();
        assert!(of_idle.is_empty(), "{of_idle:?}");
    }
    for id in &active {
        let many = requests.iter().filter(|request| request.contains(id)).count();
        assert!(many > 0, "nothing was materialized");
        assert!(many <= ROUNDS * REQUESTS_MAX, "{many} requests: {requests:#?}");
    }
    let of_active = |request: &&String| active.iter().any(|id| request.contains(id));
    // The archive is the group's, whoever is written.
    let of_archive = |request: &&String| request.contains("/archive/default/");
    let others = requests
        .iter()
        .filter(|request| !of_active(request) && !of_archive(request));
    let others: Vec<_> = others.collect();
    assert!(others.is_empty(), "for nobody: {others:?}");
    println!(
        "{} requests for {} materializations",
        requests.len(),
        ROUNDS * ACTIVE
    );
    node.stop().await;
}

/// Ids of so many new databases.
async fn create(node: &Running, name: &str, many: usize) -> Vec<String> {
    let create = |i: usize| async move { node.create(&format!("{name}-{i}")).await.id.to_string() };
    iter(0..many).map(create).buffer_unordered(16).collect().await
}

async fn write(node: &Running, name: &str, many: usize) {
    let write = |i: usize| async move {
        let name = format!("{name}-{i}");
        let table = "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, content BLOB)";
        node.run(&name, table).await.expect("the table");
        let insert = "INSERT INTO t (content) VALUES (randomblob(5000))";
        node.run(&name, insert).await.expect("inserted");
    };
    iter(0..many)
        .map(write)
        .buffer_unordered(16)
        .collect::<Vec<()>>()
        .await;
}
