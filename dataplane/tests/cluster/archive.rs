//! The log archive, and the recovery of a group that lost all its disks.

use crate::laws::{at, integer, same_everywhere, surely};
use crate::nodes::{Cluster, PATIENCE};
use crate::seed::seeded;
use orion_api::client::{Client, SqlOptions};
use orion_api::hrana::Statement;
use parking_lot::Mutex;
use rand::RngExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

const WRITERS: i64 = 4;

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("not so late")
}

/// Clients that each write rows 0, 1, 2, … of their own.
#[derive(Default)]
struct Rows {
    /// Row and when it was acknowledged, by writer.
    acknowledged: Mutex<BTreeMap<i64, Vec<(i64, u64)>>>,
    /// The last row that was tried, by writer.
    tried: Mutex<BTreeMap<i64, i64>>,
}

impl Rows {
    async fn begin(urls: &[String]) -> Rows {
        surely(
            urls,
            "CREATE TABLE written (writer INTEGER, row INTEGER, content BLOB, PRIMARY KEY (writer, row))",
        )
        .await;
        Rows::default()
    }

    async fn write(&self, urls: &[String], stop: &CancellationToken) {
        let writers = (0..WRITERS).map(|writer| stop.run_until_cancelled(self.writer(urls, writer)));
        futures::future::join_all(writers).await;
    }

    async fn writer(&self, urls: &[String], writer: i64) {
        let client = at(&urls[writer as usize % urls.len()]);
        for row in 0.. {
            self.tried.lock().insert(writer, row);
            let insert = format!("INSERT OR IGNORE INTO written VALUES ({writer}, {row}, randomblob(700))");
            // Whatever went wrong: the same row again, until it is there.
            while client
                .execute(Statement::new(&insert), &SqlOptions::default())
                .await
                .is_err()
            {
                tokio::task::yield_now().await;
            }
            let now = now_ms();
            self.acknowledged
                .lock()
                .entry(writer)
                .or_default()
                .push((row, now));
        }
    }

    fn many(&self) -> usize {
        self.acknowledged.lock().values().map(Vec::len).sum()
    }

    /// What is there is, for each writer, its first rows; everything that was acknowledged before `until_ms` is.
    async fn check(&self, urls: &[String], until_ms: u64) {
        let sql = "SELECT writer, count(*), max(row) FROM written GROUP BY writer";
        let found = surely(urls, sql).await;
        let kept: BTreeMap<i64, (i64, i64)> = found
            .rows
            .iter()
            .map(|row| (integer(row, 0), (integer(row, 1), integer(row, 2))))
            .collect();
        for (writer, rows) in &*self.acknowledged.lock() {
            let (count, newest) = kept.get(writer).copied().unwrap_or((0, -1));
            assert_eq!(count, newest + 1, "writer {writer}: none is missing in between");
            assert!(
                newest <= self.tried.lock()[writer],
                "writer {writer}: nobody wrote {newest}"
            );
            let whole = rows
                .iter()
                .filter(|(_, at_ms)| *at_ms < until_ms)
                .map(|(row, _)| *row);
            let whole = whole.max().unwrap_or(-1);
            assert!(
                newest >= whole,
                "writer {writer}: {newest} is there, {whole} was acknowledged before {until_ms}"
            );
        }
    }
}

/// What `orion recover` says; `None` if it died where it was told to.
fn recover(cluster: &Cluster, more: &[&str], die_at: Option<&str>) -> Option<Value> {
    let mut command = cluster.nodes[0].recover();
    command.args(["--output", "json"]).args(more);
    if let Some(order) = die_at {
        command.env("ORION_DIE_AT", order);
    }
    let output = command.output().expect("it runs");
    if die_at.is_some() && output.status.code().is_none() {
        return None;
    }
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// Waits until something of the default database is archived.
async fn wait_until_archived(cluster: &Cluster) {
    let until = Instant::now() + PATIENCE;
    loop {
        let report = recover(cluster, &[], None).expect("a report");
        if report["databases"][0]["version"].as_u64() > Some(0) {
            return;
        }
        assert!(Instant::now() < until, "nothing is archived: {report}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All members have the same pages, and a replay of the archive gives exactly these, as soon as everything is archived.
pub async fn check_replay(cluster: &Cluster, urls: &[String]) -> usize {
    let until = Instant::now() + PATIENCE;
    loop {
        // Anew each time: what a client gave up waiting for may have been under way.
        let sums = same_everywhere::check_pages(urls).await;
        let expected = sums.iter().map(|(name, sum)| {
            let what = (sum.epoch.0, sum.version.0, sum.checksum.clone());
            (name.to_string(), what)
        });
        let expected: BTreeMap<_, _> = expected.collect();
        let mut found = BTreeMap::new();
        for group in at(&urls[0]).list_groups().await.expect("the groups").groups {
            let of_group = ["--checksums", "--group", group.name.as_str()];
            found.extend(replayed(&recover(cluster, &of_group, None).expect("a report")));
        }
        if found == expected {
            return found.len();
        }
        assert!(Instant::now() < until, "{found:?} is not {expected:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Epoch, version and checksum by name.
fn replayed(report: &Value) -> BTreeMap<String, (u64, u64, String)> {
    let databases = report["databases"].as_array().into_iter().flatten();
    let one = |one: &Value| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| one[key].as_u64().unwrap_or(0);
        (
            text("name"),
            (number("epoch"), number("version"), text("checksum")),
        )
    };
    databases.map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_lost_all_disks_has_everything_before_the_loss_window() {
    let (mut rng, rounds) = seeded(2);
    for round in 0..rounds {
        let many = if round % 2 == 0 { 3 } else { 1 };
        let dir = tempfile::tempdir().expect("a folder");
        let mut cluster = Cluster::start(dir.path(), many).await;
        let urls: Vec<String> = cluster.nodes.iter().map(|node| node.url.clone()).collect();
        // A group that was recovered can be recovered.
        for life in 2..4 {
            let rows = match life {
                2 => Rows::begin(&urls).await,
                _ => {
                    surely(&urls, "DROP TABLE written").await;
                    Rows::begin(&urls).await
                }
            };
            wait_until_archived(&cluster).await;
            let stop = CancellationToken::new();
            let enough = rng.random_range(50..400);
            let change_at = enough / 2;
            let kill = async {
                wait_for(&rows, change_at).await;
                if many > 1 {
                    // In the middle of archiving somebody else goes on.
                    let leader = cluster.wait_for_leader().await;
                    cluster.nodes[leader].kill();
                    cluster.nodes[leader].start();
                }
                wait_for(&rows, enough).await;
                for node in &mut cluster.nodes {
                    node.kill();
                }
                stop.cancel();
            };
            tokio::join!(rows.write(&urls, &stop), kill);
            (0..many).for_each(|number| cluster.lose_disk(number));
            let seen = recover(&cluster, &[], None).expect("a report");
            assert_eq!(seen["incarnation"], Value::Null, "{seen}");
            let report = recover(&cluster, &["--group-is-lost"], None).expect("a report");
            assert_eq!(report["incarnation"].as_u64(), Some(life), "{report}");
            let until_ms = report["complete_until_ms"].as_u64().expect("a time");
            for node in &mut cluster.nodes {
                node.start();
            }
            cluster.wait_until_ready().await;
            rows.check(&urls, until_ms).await;
            surely(&urls, "INSERT OR IGNORE INTO written VALUES (1000, 0, NULL)").await;
            same_everywhere::check(&urls).await;
            assert_eq!(check_replay(&cluster, &urls).await, 1);
        }
    }
}

async fn wait_for(rows: &Rows, many: usize) {
    let until = Instant::now() + PATIENCE;
    while rows.many() < many {
        assert!(Instant::now() < until, "clients write");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_dies_anywhere_is_run_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), 1).await;
    let urls = vec![cluster.nodes[0].url.clone()];
    for name in ["one", "two"] {
        let wish = orion_api::admin::CreateDatabase::named(name.parse().expect("a name"));
        at(&urls[0]).create_database(&wish).await.expect("created");
        let of = Client::new(&format!("{}/{name}/", urls[0]), None).expect("a client");
        let table = Statement::new("CREATE TABLE t AS SELECT 1");
        of.execute(table, &SqlOptions::default()).await.expect("a table");
    }
    let rows = Rows::begin(&urls).await;
    wait_until_archived(&cluster).await;
    let stop = CancellationToken::new();
    let kill = async {
        wait_for(&rows, 200).await;
        // Some of it only in the log: more is written than is materialized, until the end.
        cluster.nodes[0].kill();
        stop.cancel();
    };
    tokio::join!(rows.write(&urls, &stop), kill);
    cluster.lose_disk(0);
    let seen = recover(&cluster, &[], None).expect("a report");
    let until_ms = seen["complete_until_ms"].as_u64().expect("a time");
    let steps = [
        "recover::after_take:1",
        "recover::after_seal:1",
        "recover::after_plan:1",
        "recover::after_clone:1",
        "materialize::before_pages:1",
        "materialize::before_checkpoint:1",
        "recover::before_claim:1",
        "archive::before_snapshot_head:1",
        "recover::after_seed:1",
        "recover::after_recovered:1",
    ];
    for step in steps {
        let died = recover(&cluster, &["--group-is-lost"], Some(step)).is_none();
        assert!(died, "it does not pass {step}");
        if step == "recover::after_seal:1" {
            // Half recovered is not there to be served.
            cluster.nodes[0].refuses_to_start().await;
            cluster.lose_disk(0);
        }
    }
    let report = recover(&cluster, &["--group-is-lost"], None).expect("a report");
    assert_eq!(report["incarnation"].as_u64(), Some(2), "{report}");
    cluster.nodes[0].start();
    cluster.wait_until_ready().await;
    rows.check(&urls, until_ms).await;
    surely(&urls, "INSERT OR IGNORE INTO written VALUES (1000, 0, NULL)").await;
    assert_eq!(check_replay(&cluster, &urls).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_around_an_object_leaves_a_chain_that_goes_on() {
    for point in ["archive::before_put:3", "archive::after_put:3"] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut cluster = Cluster::start(dir.path(), 3).await;
        let urls: Vec<String> = cluster.nodes.iter().map(|node| node.url.clone()).collect();
        let rows = Rows::begin(&urls).await;
        // The next that leads dies there.
        for node in &mut cluster.nodes {
            node.orders = vec![("ORION_DIE_AT", point.into())];
        }
        let first = cluster.wait_for_leader().await;
        for number in (0..3).filter(|number| *number != first) {
            cluster.nodes[number].terminate().await;
            cluster.nodes[number].start();
            cluster.wait_until_ready().await;
        }
        let stop = CancellationToken::new();
        let deaths = async {
            cluster.nodes[first].kill();
            let until = Instant::now() + PATIENCE;
            while (0..3).all(|number| number == first || cluster.nodes[number].is_running()) {
                assert!(Instant::now() < until, "nobody passes {point}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            for node in &mut cluster.nodes {
                node.orders.clear();
            }
            cluster.repair().await;
            let now = rows.many();
            wait_for(&rows, now + 50).await;
            stop.cancel();
        };
        tokio::join!(rows.write(&urls, &stop), deaths);
        rows.check(&urls, u64::MAX).await;
        assert_eq!(check_replay(&cluster, &urls).await, 1);
    }
}
