//! All members have the same database, to the last row and the last page.

use super::{at, surely};
use crate::nodes::PATIENCE;
use orion_api::DatabaseName;
use orion_api::admin::DatabaseChecksum;
use orion_api::client::SqlOptions;
use orion_api::hrana::{ReadPolicy, Statement};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Compares what each node reads from its own copy, once none of them lacks anything.
pub async fn check(urls: &[String]) {
    // Whoever reads this after a strong read has everything before it.
    let tables = surely(
        urls,
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
    )
    .await;
    let names: Vec<String> = tables.rows.iter().map(|row| format!("{:?}", row[0])).collect();
    let expected = copy(&urls[0]).await;
    assert!(
        !names.is_empty() && expected.contains("INSERT INTO"),
        "there is something to compare"
    );
    for url in &urls[1..] {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = copy(url).await;
            if found == expected {
                break;
            }
            assert!(
                Instant::now() < until,
                "{url} has another database than {}",
                urls[0]
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let options = SqlOptions {
            read_policy: Some(ReadPolicy::Local),
            ..SqlOptions::default()
        };
        let check = at(url)
            .execute(Statement::new("PRAGMA integrity_check"), &options)
            .await;
        assert_eq!(
            format!("{:?}", check.expect("the check").rows),
            "[[Text(\"ok\")]]",
            "{url}"
        );
    }
}

/// Compares the checksums of all pages of all databases on all nodes, until all are at one version: then they are equal.
/// Answers them by name, for whoever compares with what is elsewhere.
pub async fn check_pages(urls: &[String]) -> BTreeMap<DatabaseName, DatabaseChecksum> {
    let mut sums = BTreeMap::new();
    for database in at(&urls[0]).all_databases(false).await.expect("the list") {
        let until = Instant::now() + PATIENCE;
        // A version that is on its way, or a database that was made a moment ago.
        let sum = loop {
            let clients = urls.iter().map(|url| at(url));
            let name = &database.name;
            let asked = clients.map(|client| async move { client.checksum(name).await.ok() });
            let found = futures::future::join_all(asked).await;
            let version = |sum: &Option<DatabaseChecksum>| sum.as_ref().map(|sum| (sum.epoch, sum.version));
            let pages = |sum: &Option<DatabaseChecksum>| {
                sum.as_ref()
                    .map(|sum| (sum.page_count, sum.checksum.clone(), sum.chain.clone()))
            };
            if let Some(first) = &found[0]
                && found.iter().all(|sum| version(sum) == version(&found[0]))
            {
                assert!(
                    found.iter().all(|sum| pages(sum) == pages(&found[0])),
                    "copies differ at one version: {found:?}"
                );
                break first.clone();
            }
            assert!(
                Instant::now() < until,
                "{} is not everywhere: {found:?}",
                database.name
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        sums.insert(database.name, sum);
    }
    sums
}

/// The database as SQL text, from the node's own copy.
async fn copy(url: &str) -> String {
    at(url).text("/dump").await.expect("the dump")
}
