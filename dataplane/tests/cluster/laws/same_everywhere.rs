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

/// Compares the checksums of all pages of all databases on all nodes: equal at the same version, and each node gets to the
/// newest. Answers them by name, for whoever compares with what is elsewhere.
pub async fn check_pages(urls: &[String]) -> BTreeMap<DatabaseName, DatabaseChecksum> {
    let mut sums = BTreeMap::new();
    for database in at(&urls[0]).all_databases(false).await.expect("the list") {
        let expected = at(&urls[0]).checksum(&database.name).await.expect("a checksum");
        for url in &urls[1..] {
            let until = Instant::now() + PATIENCE;
            let of_pages = |sum: &DatabaseChecksum| {
                (
                    sum.epoch,
                    sum.version,
                    sum.page_count,
                    sum.checksum.clone(),
                    sum.chain.clone(),
                )
            };
            // One that was made a moment ago, or a version that is on its way.
            loop {
                let found = at(url).checksum(&database.name).await.ok();
                if found.as_ref().map(of_pages) == Some(of_pages(&expected)) {
                    break;
                }
                assert!(
                    Instant::now() < until,
                    "{url} has {found:?} of {}, and {} has {expected:?}",
                    database.name,
                    urls[0]
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        sums.insert(database.name, expected);
    }
    sums
}

/// The database as SQL text, from the node's own copy.
async fn copy(url: &str) -> String {
    at(url).text("/dump").await.expect("the dump")
}
