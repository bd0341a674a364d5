//! What is always true, one law a file: clients that record, and a check over what they recorded.

pub mod accounts;
pub mod bounds;
pub mod lists;
pub mod retries;
pub mod same_everywhere;
pub mod sessions;

use orion_api::client::{Client, Error, SqlOptions};
use orion_api::hrana::{
    Outcome, PipelineReply, PipelineRequest, Request, Response, Statement, StatementResult,
};
use orion_api::{Kind, Value};
use rand::RngExt;
use rand::rngs::SmallRng;
use std::time::{Duration, Instant};

/// How long a client waits for an answer.
const ANSWER: Duration = Duration::from_secs(8);

/// What became of a request, as its client knows it.
#[derive(Debug)]
pub enum Told<T> {
    /// Done, with this answer.
    Done(T),
    /// Certainly not done.
    NotDone(String),
    /// Perhaps done.
    Unknown(String),
}

impl<T> Told<T> {
    /// The answer, if there is one.
    pub fn done(self) -> Option<T> {
        match self {
            Told::Done(answer) => Some(answer),
            Told::NotDone(_) | Told::Unknown(_) => None,
        }
    }
}

/// One of the nodes.
pub fn any(urls: &[String], rng: &mut SmallRng) -> Client {
    at(&urls[rng.random_range(0..urls.len())])
}

/// This node.
pub fn at(url: &str) -> Client {
    Client::new(url, None).expect("a client")
}

/// A statement in a pipeline of its own, with the whole reply.
pub async fn ask(
    client: &Client,
    statement: Statement,
    options: &SqlOptions,
) -> Told<(StatementResult, PipelineReply)> {
    let pipeline = PipelineRequest {
        baton: None,
        requests: vec![Request::Execute(statement), Request::Close],
    };
    match tokio::time::timeout(ANSWER, client.pipeline(&pipeline, options)).await {
        Err(_) => Told::Unknown("no answer in time".into()),
        Ok(Err(error)) => refused(&error),
        Ok(Ok(reply)) => match reply.results.first() {
            Some(Outcome::Ok(Response::Execute(result))) => Told::Done((result.clone(), reply)),
            // A page could not be read, because the object store failed: the statement was undone.
            Some(Outcome::Error(error)) if error.code == "SQLITE_IOERR" => {
                Told::NotDone(error.message.clone())
            }
            other => panic!("a statement that cannot fail: {other:?}"),
        },
    }
}

/// What a transport error says of the request.
pub fn refused<T>(error: &Error) -> Told<T> {
    let not_done = || Told::NotDone(error.to_string());
    let unknown = || Told::Unknown(error.to_string());
    match error {
        Error::Connect { .. } => not_done(),
        Error::Lost { .. } => unknown(),
        Error::Refused { .. } => match error.code().map(|code| code.kind()) {
            Some(Kind::NotLeader | Kind::Overloaded | Kind::Retry | Kind::Unavailable | Kind::Fenced) => {
                not_done()
            }
            Some(Kind::CommitUnknown) => unknown(),
            _ => panic!("no fault explains this refusal: {error:?}"),
        },
        other => panic!("no fault explains this: {other:?}"),
    }
}

/// Runs a statement until it is done: while nothing strikes yet, or nothing any more.
pub async fn surely(urls: &[String], sql: &str) -> StatementResult {
    let until = Instant::now() + crate::nodes::PATIENCE;
    let client = at(&urls[0]);
    loop {
        let told = ask(&client, Statement::new(sql), &SqlOptions::default()).await;
        if let Some((result, _)) = told.done() {
            return result;
        }
        assert!(Instant::now() < until, "never done: {sql}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The integer in a column of a row.
pub fn integer(row: &[Value], column: usize) -> i64 {
    match &row[column] {
        Value::Integer(value) => *value,
        other => panic!("{other:?} is no integer"),
    }
}
