//! Statements without a transaction of the caller's own: one pipeline each.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Client, Error, Stream};
use crate::hrana::{
    Batch, BatchResult, Outcome, PipelineReply, PipelineRequest, ReadPolicy, Request, Response, Statement,
    StatementResult,
};

/// What a request may say beside its statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlOptions {
    /// Which reads are accepted; absent for `strong`.
    pub read_policy: Option<ReadPolicy>,
    /// Reads are at least as new as what this token stands for.
    pub session_token: Option<String>,
    /// Reads are at most so old.
    pub max_staleness: Option<Duration>,
    /// The same key and request are never applied twice.
    pub idempotency_key: Option<String>,
}

impl SqlOptions {
    fn headers(&self) -> Result<HeaderMap, Error> {
        let staleness = self.max_staleness.map(|most| most.as_millis().to_string());
        let fields = [
            ("x-orion-max-staleness-ms", staleness.as_deref()),
            (
                "x-orion-read-policy",
                self.read_policy.map(|policy| policy.as_str()),
            ),
            ("x-orion-session-token", self.session_token.as_deref()),
            ("x-orion-idempotency-key", self.idempotency_key.as_deref()),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            if let Some(value) = value {
                let value = HeaderValue::try_from(value)
                    .map_err(|_| Error::Protocol(format!("{name} cannot hold {value:?}")))?;
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        Ok(headers)
    }
}

impl Client {
    /// Sends a pipeline as it is.
    pub async fn pipeline(
        &self,
        pipeline: &PipelineRequest,
        options: &SqlOptions,
    ) -> Result<PipelineReply, Error> {
        self.pipeline_at(&format!("{}{}", self.root, self.database), pipeline, options)
            .await
    }

    pub(super) async fn pipeline_at(
        &self,
        base: &str,
        pipeline: &PipelineRequest,
        options: &SqlOptions,
    ) -> Result<PipelineReply, Error> {
        let url = format!("{}/v2/pipeline", base.trim_end_matches('/'));
        let reply: PipelineReply = self
            .json(Method::POST, url, options.headers()?, Some(pipeline))
            .await?;
        if reply.results.len() != pipeline.requests.len() {
            let (got, sent) = (reply.results.len(), pipeline.requests.len());
            return Err(Error::Protocol(format!("{got} results for {sent} requests")));
        }
        Ok(reply)
    }

    /// Runs one statement in a transaction of its own.
    pub async fn execute(
        &self,
        statement: Statement,
        options: &SqlOptions,
    ) -> Result<StatementResult, Error> {
        match self.once(Request::Execute(statement), options).await? {
            Response::Execute(result) => Ok(result),
            other => Err(unexpected(&other)),
        }
    }

    /// Runs statements under conditions.
    pub async fn batch(&self, batch: Batch, options: &SqlOptions) -> Result<BatchResult, Error> {
        match self.once(Request::Batch(batch), options).await? {
            Response::Batch(result) => Ok(result),
            other => Err(unexpected(&other)),
        }
    }

    /// Begins a stream: a connection that lasts over several calls, for transactions.
    pub fn stream(&self) -> Stream {
        Stream::new(self.clone())
    }

    async fn once(&self, request: Request, options: &SqlOptions) -> Result<Response, Error> {
        let pipeline = PipelineRequest {
            baton: None,
            requests: vec![request, Request::Close],
        };
        let reply = self.pipeline(&pipeline, options).await?;
        first(reply.results)
    }
}

/// The first result of a reply.
pub(super) fn first(results: Vec<Outcome>) -> Result<Response, Error> {
    match results.into_iter().next() {
        Some(Outcome::Ok(response)) => Ok(response),
        Some(Outcome::Error(error)) => Err(error.into()),
        None => Err(Error::Protocol("an empty reply".into())),
    }
}

pub(super) fn unexpected(response: &Response) -> Error {
    Error::Protocol(format!("a result of another type: {response:?}"))
}
