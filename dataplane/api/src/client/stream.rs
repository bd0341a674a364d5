//! A stream: one connection of the server's, held over several calls by a baton. For transactions.

use super::sql::{first, unexpected};
use super::{Client, Error, SqlOptions};
use crate::hrana::{DescribeResult, Outcome, PipelineRequest, Request, Response, Statement, StatementResult};

/// Statements that see each other's transaction. Dropping it closes nothing: the server does that after its
/// time-out, so call [`Stream::close`].
#[derive(Debug)]
pub struct Stream {
    client: Client,
    baton: Option<String>,
    /// Where the server said that the stream lives.
    base: Option<String>,
    options: SqlOptions,
}

impl Stream {
    pub(super) fn new(client: Client) -> Stream {
        Stream {
            client,
            baton: None,
            base: None,
            options: SqlOptions::default(),
        }
    }

    /// Whether the server holds a connection for it now.
    pub fn is_open(&self) -> bool {
        self.baton.is_some()
    }

    /// Runs one statement.
    pub async fn execute(&mut self, statement: Statement) -> Result<StatementResult, Error> {
        match self.request(Request::Execute(statement)).await? {
            Response::Execute(result) => Ok(result),
            other => Err(unexpected(&other)),
        }
    }

    /// Runs a script, without rows.
    pub async fn sequence(&mut self, sql: impl Into<String>) -> Result<(), Error> {
        let sql = Some(sql.into());
        self.request(Request::Sequence { sql, sql_id: None })
            .await
            .map(drop)
    }

    /// What a statement is.
    pub async fn describe(&mut self, sql: impl Into<String>) -> Result<DescribeResult, Error> {
        let sql = Some(sql.into());
        match self.request(Request::Describe { sql, sql_id: None }).await? {
            Response::Describe(result) => Ok(result),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether no transaction is open.
    pub async fn is_autocommit(&mut self) -> Result<bool, Error> {
        match self.request(Request::GetAutocommit).await? {
            Response::GetAutocommit { is_autocommit } => Ok(is_autocommit),
            other => Err(unexpected(&other)),
        }
    }

    /// Rolls back what is open and lets the server's connection go.
    pub async fn close(&mut self) -> Result<(), Error> {
        match self.baton.is_some() {
            true => self.request(Request::Close).await.map(drop),
            false => Ok(()),
        }
    }

    /// Forgets the server's connection, which is gone or of no use, without a word to the server.
    pub fn forget(&mut self) {
        self.baton = None;
        self.base = None;
    }

    /// Sends several requests at once and returns what came of each.
    pub async fn requests(&mut self, requests: Vec<Request>) -> Result<Vec<Outcome>, Error> {
        let pipeline = PipelineRequest {
            baton: self.baton.clone(),
            requests,
        };
        let sent = match &self.base {
            Some(base) => self.client.pipeline_at(base, &pipeline, &self.options).await,
            None => self.client.pipeline(&pipeline, &self.options).await,
        };
        let reply = match sent {
            Ok(reply) => reply,
            Err(error) => {
                // A baton is good once: after an error of the transport it is spent or the stream is gone.
                self.forget();
                return Err(error);
            }
        };
        self.baton = reply.baton;
        self.base = reply.base_url;
        Ok(reply.results)
    }

    async fn request(&mut self, request: Request) -> Result<Response, Error> {
        first(self.requests(vec![request]).await?)
    }
}
