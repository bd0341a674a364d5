//! A connection of a script as a stream over HTTP.

use super::text;
use async_trait::async_trait;
use orion_api::client::{Client, Error, Stream};
use orion_api::hrana::Statement;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use std::time::Duration;

pub struct Connection(Stream);

impl Connection {
    pub fn new(database: &Client) -> Connection {
        Connection(database.stream())
    }
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let result = self.0.execute(Statement::new(sql)).await?;
        if result.cols.is_empty() {
            return Ok(DBOutput::StatementComplete(result.affected_row_count));
        }
        let rows = result.rows.iter().map(|row| row.iter().map(text::of).collect());
        Ok(DBOutput::Rows {
            types: vec![DefaultColumnType::Any; result.cols.len()],
            rows: rows.collect(),
        })
    }

    async fn shutdown(&mut self) {
        self.0.close().await.expect("the stream closes");
    }

    fn engine_name(&self) -> &str {
        "orion"
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
