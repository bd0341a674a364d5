//! An application as people write it: the crate `libsql`, and the two variables that a Database's Secret gives. The tests on a
//! Kubernetes cluster run it in a pod (e2e/scenarios). It prints what it read and ends with an error where anything is not
//! as it wrote it.

use anyhow::{Context, Result, ensure};
use hyper::client::HttpConnector;
use libsql::{Builder, Connection, TransactionBehavior, params};

#[tokio::main]
async fn main() -> Result<()> {
    let token = std::env::var("LIBSQL_AUTH_TOKEN").context("LIBSQL_AUTH_TOKEN is not set")?;
    let url = std::env::var("LIBSQL_URL").context("LIBSQL_URL is not set")?;
    let through_secret = connect(&url, &token).await?;
    through_secret
        .execute("CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)", ())
        .await?;
    let before = count(&through_secret).await?;
    let transaction = through_secret
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .await?;
    for number in 0..10 {
        let text = format!("note {number}");
        transaction
            .execute("INSERT INTO note (text) VALUES (?1)", params![text])
            .await?;
    }
    transaction.commit().await?;

    // The same database by the name of its own Service, where there is one.
    let read = match std::env::var("ORION_SERVICE_URL") {
        Ok(service) => connect(&service, &token).await?,
        Err(_) => through_secret,
    };
    let after = count(&read).await?;
    ensure!(after == before + 10, "{before} notes, 10 written, {after} read");

    let refused = connect(&url, "no-token").await?.query("SELECT 1", ()).await;
    ensure!(refused.is_err(), "a wrong token is let in");
    println!("{after} notes");
    Ok(())
}

async fn connect(url: &str, token: &str) -> Result<Connection> {
    let database = Builder::new_remote(url.to_owned(), token.to_owned())
        .connector(HttpConnector::new())
        .build()
        .await?;
    Ok(database.connect()?)
}

async fn count(connection: &Connection) -> Result<i64> {
    let mut rows = connection.query("SELECT count(*) FROM note", ()).await?;
    Ok(rows.next().await?.context("no row")?.get(0)?)
}
