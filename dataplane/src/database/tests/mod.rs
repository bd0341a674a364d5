//! Databases over a whole node: turns, answers, limits and what they say when something fails.

mod brief;
mod convoy;
mod failures;
mod history;
mod idempotency;
mod leaving;
mod limits;
mod sharing;
mod streams;

use super::{Database, Error, RequestOptions, Stream};
use crate::entry::Limits;
use crate::node::tests::{Script, options};
use crate::node::{self, Node};
use crate::sql::{self, StatementResult};
use orion_api::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Results = Vec<Result<StatementResult, sql::Error>>;

/// A node with the database `app`, which has a table `t`.
struct Setup {
    node: Arc<Node>,
    database: Arc<Database>,
}

impl Setup {
    async fn start(dir: &Path, change: impl FnOnce(&mut node::Options)) -> Setup {
        let mut options = options(dir);
        change(&mut options);
        let node = Node::start(options).await.expect("starts");
        node.create(None, "app", Limits::default(), None)
            .await
            .expect("created");
        let setup = Setup::of(node);
        setup.run(&["CREATE TABLE t (id INTEGER PRIMARY KEY, v)"]).await;
        setup
    }

    fn of(node: Arc<Node>) -> Setup {
        let database = node.databases.find("app").expect("there");
        Setup { node, database }
    }

    async fn restart(self, dir: &Path) -> Setup {
        self.node.stop().await;
        drop(self);
        Setup::of(Node::start(options(dir)).await.expect("starts again"))
    }

    async fn run(&self, statements: &[&str]) -> Results {
        self.try_run(statements).await.expect("it runs")
    }

    async fn try_run(&self, statements: &[&str]) -> Result<Results, Error> {
        run(&self.database, statements).await
    }

    async fn number(&self, sql: &str) -> i64 {
        number(&self.run(&[sql]).await[0])
    }

    fn stream(&self) -> Stream {
        self.database.open_stream().expect("a stream")
    }

    /// Waits until that many requests and streams wait for the turn.
    /// Until the newest version is in the base.
    async fn materialize(&self) {
        let catalog = &self.node.home.group.catalog;
        catalog.ask_for_materialization(self.database.id());
        until("materialized", || {
            let snapshot = self.database.entry.published.load();
            let checkpoint = snapshot.checkpoint.as_ref();
            checkpoint.is_some_and(|checkpoint| checkpoint.version == snapshot.version)
        })
        .await;
    }

    async fn until_waiting(&self, many: usize) {
        until("somebody waits for the turn", || {
            self.database.queue.waiting() == many
        })
        .await;
    }
}

async fn run(database: &Database, statements: &[&str]) -> Result<Results, Error> {
    let finished = database
        .run(Script::new(statements), &RequestOptions::default())
        .await?;
    Ok(finished.work.results)
}

async fn on(stream: &Stream, statements: &[&str]) -> Result<Results, Error> {
    let finished = stream
        .run(Script::new(statements), &RequestOptions::default())
        .await?;
    Ok(finished.work.results)
}

fn number(result: &Result<StatementResult, sql::Error>) -> i64 {
    match result.as_ref().expect("the statement works").rows[0][0] {
        Value::Integer(number) => number,
        ref other => panic!("{other:?}"),
    }
}

/// Waits for a condition that another task brings about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
