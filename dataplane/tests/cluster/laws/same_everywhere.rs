//! All members have the same database, to the last row.

use super::{at, surely};
use crate::nodes::PATIENCE;
use orion_api::client::SqlOptions;
use orion_api::hrana::{ReadPolicy, Statement};
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

/// The database as SQL text, from the node's own copy.
async fn copy(url: &str) -> String {
    at(url).text("/dump").await.expect("the dump")
}
