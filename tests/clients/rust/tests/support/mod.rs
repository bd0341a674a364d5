//! A database of its own for each test, and a connection to it.

use anyhow::{Context, Result, ensure};
use hyper::{Body, Client, Request, client::HttpConnector};
use libsql::{Builder, Connection, Database, Row};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

static MADE: AtomicU64 = AtomicU64::new(0);

/// Makes an empty database.
pub async fn database() -> Result<Database> {
    let server = std::env::var("ORION_URL").context("ORION_URL is not set: start with tests/clients/run")?;
    let server = server.trim_end_matches('/');
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_micros();
    let name = format!("rust-{since}-{}", MADE.fetch_add(1, Ordering::Relaxed));
    let request = Request::post(format!("{server}/_orion/v1/databases"))
        .header("content-type", "application/json")
        .body(Body::from(format!(r#"{{"name":"{name}"}}"#)))?;
    let reply = Client::new().request(request).await?;
    ensure!(reply.status().is_success(), "creating {name}: {}", reply.status());
    let url = format!("{server}/{name}/");
    Ok(Builder::new_remote(url, String::new())
        .connector(HttpConnector::new())
        .build()
        .await?)
}

/// A connection to an empty database.
pub async fn connection() -> Result<Connection> {
    Ok(database().await?.connect()?)
}

/// The first row.
pub async fn row(connection: &Connection, sql: &str) -> Result<Row> {
    connection.query(sql, ()).await?.next().await?.context("no row")
}
