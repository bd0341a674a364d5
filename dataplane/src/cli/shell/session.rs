//! What the shell does with a line: collects statements, runs them on one stream (so that transactions, TEMP
//! tables and pragmas last from one to the next), and carries out dot commands. It knows no terminal: lines
//! come in, text goes out, and errors are returned.

use std::io::Write;
use std::time::Instant;

use orion_api::admin::CreateDatabase;
use orion_api::client::{Client, Error, Stream};
use orion_api::hrana::{Outcome, Request, Response, Statement, StatementResult};
use orion_api::{Code, Value};

use super::dot::{self, Dot, HELP};
use super::render::{self, Mode};
use super::splitter::{is_blank, take_statements};
use crate::cli::db;

const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name";
const SCHEMA: &str = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND (?1 IS NULL OR tbl_name = ?1 COLLATE NOCASE) ORDER BY tbl_name, type DESC, name";

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    GoOn,
    Quit,
}

/// A shell's state.
pub(super) struct Session {
    client: Client,
    stream: Stream,
    in_transaction: bool,
    /// Lines of a statement that has not ended.
    pending: String,
    mode: Mode,
    timer: bool,
}

impl Session {
    pub(super) fn new(client: Client, mode: Mode) -> Session {
        Session {
            stream: client.stream(),
            client,
            in_transaction: false,
            pending: String::new(),
            mode,
            timer: false,
        }
    }

    /// What to show before the next line.
    pub(super) fn prompt(&self) -> String {
        let database = self.client.database().unwrap_or("orion");
        let mark = if self.in_transaction { "*" } else { "" };
        match is_blank(&self.pending) {
            true => format!("{database}{mark}> "),
            false => format!(
                "{:>width$}",
                "...> ",
                width = database.chars().count() + mark.len() + 2
            ),
        }
    }

    /// Forgets what was typed of a statement.
    pub(super) fn discard_pending(&mut self) {
        self.pending.clear();
    }

    /// Takes one line.
    pub(super) async fn line(&mut self, line: &str, out: &mut impl Write) -> anyhow::Result<Flow> {
        if is_blank(&self.pending) && line.trim_start().starts_with('.') {
            self.pending.clear();
            return self
                .dot(dot::parse(line.trim()).map_err(anyhow::Error::msg)?, out)
                .await;
        }
        self.pending.push_str(line);
        self.pending.push('\n');
        for sql in take_statements(&mut self.pending) {
            self.statement(sql, out).await?;
        }
        Ok(Flow::GoOn)
    }

    /// The input is over: a last statement may lack its semicolon. An open transaction is rolled back.
    pub(super) async fn end(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let last = std::mem::take(&mut self.pending);
        if !is_blank(&last) {
            self.statement(last.trim().to_owned(), out).await?;
        }
        let was_open = self.in_transaction;
        self.stream.close().await?;
        match was_open {
            true => Err(anyhow::Error::msg(
                "a transaction was open at the end; it was rolled back",
            )),
            false => Ok(()),
        }
    }

    async fn statement(&mut self, sql: String, out: &mut impl Write) -> anyhow::Result<()> {
        let start = Instant::now();
        let result = self.execute(Statement::new(sql)).await?;
        let elapsed = start.elapsed();
        render::write(&result, self.mode, out)?;
        if self.timer {
            let server = result.query_duration_ms;
            writeln!(
                out,
                "{:.3} ms, of which {server:.3} ms in SQLite",
                elapsed.as_secs_f64() * 1e3
            )?;
        }
        Ok(())
    }

    /// Runs a statement on the stream. One that is gone is replaced, if nothing was open on it: an expired
    /// stream has certainly not run the statement.
    async fn execute(&mut self, statement: Statement) -> anyhow::Result<StatementResult> {
        match self.try_execute(statement.clone()).await {
            Err(error) if error.code() == Some(Code::StreamExpired) => {
                self.stream.forget();
                if std::mem::take(&mut self.in_transaction) {
                    anyhow::bail!(
                        "the transaction was open for too long and was rolled back (STREAM_EXPIRED)"
                    );
                }
                Ok(self.try_execute(statement).await?)
            }
            Err(error) => {
                // Without its stream the transaction is over, whatever the server still holds.
                self.in_transaction &= self.stream.is_open();
                Err(error.into())
            }
            Ok(result) => Ok(result),
        }
    }

    async fn try_execute(&mut self, statement: Statement) -> Result<StatementResult, Error> {
        let outcomes = self
            .stream
            .requests(vec![Request::Execute(statement), Request::GetAutocommit])
            .await?;
        let mut outcomes = outcomes.into_iter();
        let (first, second) = (outcomes.next(), outcomes.next());
        if let Some(Outcome::Ok(Response::GetAutocommit { is_autocommit })) = second {
            self.in_transaction = !is_autocommit;
        }
        match first {
            Some(Outcome::Ok(Response::Execute(result))) => Ok(result),
            Some(Outcome::Error(error)) => Err(error.into()),
            _ => Err(Error::Protocol("a result of another type".into())),
        }
    }

    async fn dot(&mut self, dot: Dot, out: &mut impl Write) -> anyhow::Result<Flow> {
        match dot {
            Dot::Quit => return Ok(Flow::Quit),
            Dot::Help => out.write_all(HELP.as_bytes())?,
            Dot::Timer(on) => self.timer = on,
            Dot::Mode(Some(mode)) => self.mode = mode,
            Dot::Mode(None) => writeln!(out, "{}", format!("{:?}", self.mode).to_lowercase())?,
            Dot::Use(name) => self.go_to(&name).await?,
            Dot::Create(name) => {
                let name = name.parse()?;
                self.client.create_database(&CreateDatabase::named(name)).await?;
            }
            Dot::Databases => db::databases(&self.client.all_databases(false).await?).print(out)?,
            Dot::Metrics => db::metrics(&self.client.metrics().await?).print(out)?,
            Dot::Tables => self.print_column(Statement::new(TABLES), "", out).await?,
            Dot::Schema(table) => {
                let table = table.map_or(Value::Null, Value::Text);
                self.print_column(Statement::new(SCHEMA).with_args(vec![table]), ";", out)
                    .await?;
            }
            Dot::Dump => {
                let path = self
                    .client
                    .database()
                    .map_or_else(|| "/dump".into(), |name| format!("/{name}/dump"));
                out.write_all(self.client.text(&path).await?.as_bytes())?;
            }
            Dot::System(None) => {
                db::groups(&self.client.list_groups().await?.groups).print(out)?;
                db::nodes(&self.client.list_nodes().await?).print(out)?;
            }
            Dot::System(Some(view)) => {
                let sql = format!("SELECT * FROM \"{}\"", view.replace('"', "\"\""));
                let system = self.client.with_database("_orion");
                let result = system.execute(Statement::new(sql), &Default::default()).await?;
                render::write(&result, self.mode, out)?;
            }
        }
        Ok(Flow::GoOn)
    }

    /// Goes to another database after asking it for a sign of life, so that a wrong name is seen at once.
    async fn go_to(&mut self, name: &str) -> anyhow::Result<()> {
        if self.in_transaction {
            anyhow::bail!("a transaction is open here: COMMIT or ROLLBACK it first");
        }
        let client = self.client.with_database(name);
        client
            .execute(Statement::new("SELECT 1"), &Default::default())
            .await?;
        self.stream.close().await?;
        self.stream = client.stream();
        self.client = client;
        Ok(())
    }

    async fn print_column(
        &mut self,
        statement: Statement,
        after: &str,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        for row in self.execute(statement).await?.rows {
            if let Some(Value::Text(text)) = row.first() {
                writeln!(out, "{text}{after}")?;
            }
        }
        Ok(())
    }
}
