//! Statements before and after a run: tables, rows to select from, counting what was acknowledged. Not measured,
//! so it is plain and checks everything.

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::connection::Connection;
use super::outcome::{Expect, Outcome};
use super::target::Target;
use super::workload::{INSERT_TABLE, SELECT_ROWS, SELECT_TABLE, Workload, database_names};

/// Rows of one statement that fills the table to select from.
const FILL_ROWS: u64 = 10_000;
/// Connections that make and count many databases.
const PARALLEL: usize = 16;

/// A connection for statements whose results matter.
pub(crate) struct Session {
    target: Target,
    connection: Connection,
}

impl Session {
    /// Connects at its first request.
    pub(crate) fn new(target: &Target) -> Session {
        Session {
            target: target.clone(),
            connection: Connection::new(&target.address),
        }
    }

    /// Runs one statement in `database` and returns its result.
    pub(crate) async fn execute(&mut self, database: Option<&str>, sql: &str) -> anyhow::Result<Value> {
        let body = json!({"requests": [{"type": "execute", "stmt": {"sql": sql}}, {"type": "close"}]});
        let mut request = Vec::new();
        self.target
            .pipeline(database)
            .render(&mut request, |out| out.extend(body.to_string().into_bytes()));
        let status = self
            .connection
            .request(&request)
            .await
            .context("the server does not answer")?;
        let reply = self.connection.body();
        match Expect::Results(2).judge(status.code, reply) {
            Outcome::Done => {
                let mut reply: Value = serde_json::from_slice(reply)?;
                Ok(reply["results"][0]["response"]["result"].take())
            }
            Outcome::Refused(_) | Outcome::Unknown(_) => {
                bail!(
                    "{sql:?} failed ({}): {}",
                    status.code,
                    String::from_utf8_lossy(reply)
                )
            }
        }
    }

    /// Creates a database unless it is there.
    pub(crate) async fn create_database(&mut self, name: &str) -> anyhow::Result<()> {
        let mut request = Vec::new();
        let body = json!({"name": name}).to_string();
        self.target
            .head("POST", "/_orion/v1/databases")
            .render(&mut request, |out| out.extend(body.into_bytes()));
        let status = self
            .connection
            .request(&request)
            .await
            .context("the server does not answer")?;
        match status.code {
            200..=299 | 409 => Ok(()),
            code => bail!(
                "cannot create {name:?} ({code}): {}",
                String::from_utf8_lossy(self.connection.body())
            ),
        }
    }

    /// Rows in `table`.
    pub(crate) async fn count(&mut self, database: Option<&str>, table: &str) -> anyhow::Result<u64> {
        let result = self
            .execute(database, &format!("SELECT count(*) FROM {table}"))
            .await?;
        let text = result["rows"][0][0]["value"]
            .as_str()
            .context("count(*) gave no integer")?;
        Ok(text.parse()?)
    }

    async fn create_table(&mut self, database: Option<&str>, table: &str) -> anyhow::Result<()> {
        let sql =
            format!("CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, payload TEXT NOT NULL)");
        self.execute(database, &sql).await?;
        Ok(())
    }

    async fn fill_select_table(&mut self) -> anyhow::Result<()> {
        self.create_table(None, SELECT_TABLE).await?;
        let mut rows = self.count(None, SELECT_TABLE).await?;
        while rows < SELECT_ROWS {
            let last = (rows + FILL_ROWS).min(SELECT_ROWS);
            self.execute(
                None,
                &format!(
                    "WITH RECURSIVE n(i) AS (SELECT {rows} + 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) \
                     INSERT INTO {SELECT_TABLE} (id, payload) SELECT i, hex(randomblob(50)) FROM n"
                ),
            )
            .await?;
            rows = last;
        }
        Ok(())
    }
}

/// Makes what `workload` needs: databases, tables, rows.
pub(crate) async fn prepare(target: &Target, workload: &Workload) -> anyhow::Result<()> {
    let mut session = Session::new(target);
    if workload.needs_select_table() {
        session.fill_select_table().await?;
    }
    match workload {
        Workload::Databases(count) => {
            for_each(database_names(*count), |share| {
                make_databases(target.clone(), share)
            })
            .await?;
        }
        _ if workload.inserts() => session.create_table(None, INSERT_TABLE).await?,
        _ => {}
    }
    Ok(())
}

/// Creates `count` databases without tables, unless they are there.
pub(crate) async fn create_databases(target: &Target, count: u32) -> anyhow::Result<()> {
    let create = |names: Vec<String>| async move {
        let mut session = Session::new(target);
        for name in names {
            session.create_database(&name).await?;
        }
        Ok(())
    };
    for_each(database_names(count), create).await?;
    Ok(())
}

/// Rows of all tables that `workload` inserts into.
pub(crate) async fn count_rows(target: &Target, workload: &Workload) -> anyhow::Result<u64> {
    match workload {
        Workload::Databases(count) => {
            let counts = for_each(database_names(*count), |share| count_in(target.clone(), share)).await?;
            Ok(counts.into_iter().sum())
        }
        _ => Session::new(target).count(None, INSERT_TABLE).await,
    }
}

async fn make_databases(target: Target, names: Vec<String>) -> anyhow::Result<()> {
    let mut session = Session::new(&target);
    for name in names {
        session.create_database(&name).await?;
        session.create_table(Some(&name), INSERT_TABLE).await?;
    }
    Ok(())
}

async fn count_in(target: Target, names: Vec<String>) -> anyhow::Result<u64> {
    let mut session = Session::new(&target);
    let mut rows = 0;
    for name in names {
        rows += session.count(Some(&name), INSERT_TABLE).await?;
    }
    Ok(rows)
}

async fn for_each<F, T>(names: Vec<String>, work: impl Fn(Vec<String>) -> F) -> anyhow::Result<Vec<T>>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let share = names.len().div_ceil(PARALLEL).max(1);
    futures::future::try_join_all(names.chunks(share).map(|names| work(names.to_vec()))).await
}
