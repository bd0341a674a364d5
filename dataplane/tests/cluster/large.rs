//! A transaction as large as the limit allows: heartbeats and other databases have their own way.

use crate::laws::{Told, ask, at, integer};
use crate::nodes::{Cluster, PATIENCE};
use orion_api::admin::CreateDatabase;
use orion_api::client::{Client, SqlOptions};
use orion_api::hrana::{Batch, Condition, Statement, Step};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Blobs of a million bytes: with their pages' overhead just below the limit of 256 MiB.
const STATEMENTS: usize = 13;
const BLOBS: usize = 20;

/// Other transactions that must be done meanwhile.
const OTHERS: usize = 20;

async fn create(client: &Client, name: &str) -> Client {
    let wish = CreateDatabase::named(name.parse().expect("a name"));
    client.create_database(&wish).await.expect("created");
    let client = client.with_database(name);
    let table = Statement::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    let until = Instant::now() + PATIENCE;
    while let Told::NotDone(error) | Told::Unknown(error) =
        ask(&client, table.clone(), &SqlOptions::default()).await
    {
        assert!(Instant::now() < until, "{error}");
    }
    client
}

fn large() -> Batch {
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {BLOBS}) \
         INSERT INTO t (v) SELECT randomblob(1000000) FROM n"
    );
    let fills = std::iter::repeat_n(fill.as_str(), STATEMENTS);
    let statements = ["BEGIN IMMEDIATE"].into_iter().chain(fills).chain(["COMMIT"]);
    let steps = statements.enumerate().map(|(at, sql)| Step {
        condition: (at > 0).then(|| Condition::Ok(at as u32 - 1)),
        stmt: Statement::new(sql),
    });
    Batch {
        steps: steps.collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_transaction_costs_no_leader_and_stops_no_other_database() {
    let dir = tempfile::tempdir().expect("a folder");
    // A build without optimization takes its time for so much, longer than a commit may take that is not in parts.
    let cluster = Cluster::start(dir.path(), 3).await;
    let leader = cluster.wait_for_leader().await;
    let large_one = create(&cluster.nodes[leader].client(), "large").await;
    let other = create(&cluster.nodes[leader].client(), "other").await;
    let before = cluster.nodes[leader].group().await.expect("the group").term;
    let stop = CancellationToken::new();
    let writing = async {
        let began = Instant::now();
        let done = tokio::time::timeout(PATIENCE, large_one.batch(large(), &SqlOptions::default())).await;
        let took = began.elapsed();
        stop.cancel();
        let result = done.expect("it ends").expect("it is done");
        let error = result.step_errors.iter().flatten().next();
        assert!(error.is_none(), "{error:?}");
        took
    };
    let others = async {
        let (mut done, mut longest) = (0, Duration::ZERO);
        while !stop.is_cancelled() {
            let began = Instant::now();
            let insert = Statement::new("INSERT INTO t (v) VALUES (1)");
            let told = ask(&other, insert, &SqlOptions::default()).await;
            assert!(matches!(told, Told::Done(_)), "{told:?}");
            done += 1;
            longest = longest.max(began.elapsed());
        }
        (done, longest)
    };
    let (took, (done, longest)) = tokio::join!(writing, others);
    println!("{took:?}; meanwhile {done} others, the longest {longest:?}");
    assert!(done >= OTHERS, "{done} others in {took:?}");
    for node in &cluster.nodes {
        let client = at(&node.url).with_database("large");
        let count = Statement::new("SELECT count(*) FROM t");
        let told = ask(&client, count, &SqlOptions::default()).await;
        let (result, _) = told.done().expect("nothing strikes");
        assert_eq!(integer(&result.rows[0], 0), (STATEMENTS * BLOBS) as i64);
        let term = node.group().await.expect("the group").term;
        assert_eq!(term, before, "an election");
    }
}
