//! The shell against a server made of real SQLite behind the real protocol types: what a person types and
//! what is printed.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use orion_api::Value;
use orion_api::client::Client;
use orion_api::hrana::{
    Column, Error, Outcome, PipelineReply, PipelineRequest, Request, Response, Statement, StatementResult,
};
use parking_lot::Mutex;

use super::*;

/// Streams by baton; a used baton is gone.
#[derive(Default)]
struct Server {
    streams: Mutex<HashMap<String, rusqlite::Connection>>,
    batons: Mutex<u64>,
    path: Option<std::path::PathBuf>,
}

impl Server {
    fn pipeline(&self, request: PipelineRequest) -> PipelineReply {
        let mut connection = match request.baton {
            Some(baton) => match self.streams.lock().remove(&baton) {
                Some(connection) => connection,
                None => {
                    return PipelineReply {
                        results: expired(request.requests.len()),
                        ..PipelineReply::default()
                    };
                }
            },
            None => {
                crate::vfs::start().expect("SQLite starts");
                rusqlite::Connection::open(self.path.as_ref().expect("a path")).expect("opened")
            }
        };
        let mut closed = false;
        let results = request.requests.into_iter().map(|request| {
            closed |= request == Request::Close;
            answer(&mut connection, request)
        });
        let results = results.collect();
        let mut number = self.batons.lock();
        *number += 1;
        let baton = (!closed).then(|| number.to_string());
        if let Some(baton) = &baton {
            self.streams.lock().insert(baton.clone(), connection);
        }
        PipelineReply {
            baton,
            results,
            ..PipelineReply::default()
        }
    }
}

fn expired(count: usize) -> Vec<Outcome> {
    let error = Error::new(orion_api::Code::StreamExpired, "the stream has expired");
    vec![Outcome::Error(error); count]
}

fn answer(connection: &mut rusqlite::Connection, request: Request) -> Outcome {
    match request {
        Request::Execute(statement) => match execute(connection, &statement) {
            Ok(result) => Outcome::Ok(Response::Execute(result)),
            Err(error) => Outcome::Error(Error::new(orion_api::Code::SqlParseError, error.to_string())),
        },
        Request::GetAutocommit => Outcome::Ok(Response::GetAutocommit {
            is_autocommit: connection.is_autocommit(),
        }),
        _ => Outcome::Ok(Response::Close),
    }
}

fn execute(connection: &rusqlite::Connection, statement: &Statement) -> rusqlite::Result<StatementResult> {
    let mut prepared = connection.prepare(statement.sql.as_deref().unwrap_or_default())?;
    let names = prepared.column_names();
    let cols = names
        .into_iter()
        .map(|name| Column {
            name: Some(name.into()),
            decltype: None,
        })
        .collect::<Vec<_>>();
    let args = statement.args.iter().map(|value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    });
    let mut rows = prepared.query(rusqlite::params_from_iter(args))?;
    let mut result = StatementResult {
        cols,
        ..StatementResult::default()
    };
    while let Some(row) = rows.next()? {
        let values = (0..result.cols.len()).map(|at| {
            Ok(match row.get_ref(at)? {
                rusqlite::types::ValueRef::Null => Value::Null,
                rusqlite::types::ValueRef::Integer(number) => Value::Integer(number),
                rusqlite::types::ValueRef::Real(number) => Value::Real(number),
                rusqlite::types::ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into()),
                rusqlite::types::ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec().into()),
            })
        });
        result.rows.push(values.collect::<rusqlite::Result<_>>()?);
    }
    Ok(result)
}

async fn serve(path: &std::path::Path) -> (String, Arc<Server>) {
    let server = Arc::new(Server {
        path: Some(path.join("db")),
        ..Server::default()
    });
    let pipeline =
        |State(server): State<Arc<Server>>, Json(request)| async move { Json(server.pipeline(request)) };
    let other = |Path(name): Path<String>, State(server): State<Arc<Server>>, Json(request)| async move {
        match name.as_str() {
            "app" => Ok(Json(server.pipeline(request))),
            _ => Err((
                http::StatusCode::NOT_FOUND,
                r#"{"error":"there is no such database","code":"DATABASE_NOT_FOUND"}"#,
            )),
        }
    };
    let app = Router::new()
        .route("/v2/pipeline", post(pipeline))
        .route("/{name}/v2/pipeline", post(other))
        .route("/app/dump", get(|| async { "BEGIN;\nCOMMIT;\n" }))
        .with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, server)
}

/// Runs a script; what it printed, and how it ended.
async fn shell(text: &str) -> (String, anyhow::Result<()>) {
    let directory = tempfile::tempdir().expect("a directory");
    let (url, _server) = serve(directory.path()).await;
    let mut session = Session::new(Client::new(&url, None).expect("valid"), Mode::List);
    let mut out = Vec::new();
    let result = script(&mut session, text.as_bytes(), &mut out).await;
    (String::from_utf8(out).expect("UTF-8"), result)
}

#[tokio::test]
async fn a_session_prints_what_it_should() {
    let (out, result) = shell(
        "CREATE TABLE t(a INTEGER, b TEXT);\nCREATE VIEW v AS SELECT a FROM t;\n\
         INSERT INTO t VALUES (1, 'x;'),\n (2, NULL); SELECT *\nFROM t;\n\
         .tables\n.schema V\n.use app\n.dump\n.mode json\nSELECT count(*) AS n FROM t\n",
    )
    .await;
    result.expect("no error");
    assert_eq!(
        out,
        "1|x;\n2|NULL\nt\nv\nCREATE VIEW v AS SELECT a FROM t;\nBEGIN;\nCOMMIT;\n[{\"n\":2}]\n"
    );
}

#[tokio::test]
async fn transactions_and_temporary_tables_last_over_lines() {
    let (out, result) = shell(
        "CREATE TEMP TABLE t(a);\nBEGIN;\nINSERT INTO t VALUES (1);\nROLLBACK;\nINSERT INTO t VALUES (2);\nSELECT * FROM t;\n",
    )
    .await;
    result.expect("no error");
    assert_eq!(out, "2\n");
}

#[tokio::test]
async fn a_script_stops_at_its_first_error_and_says_so() {
    let (out, result) = shell("SELECT 1;\nSELEC 2;\nSELECT 3;\n").await;
    assert_eq!(out, "1\n");
    assert!(result.expect_err("an error").to_string().contains("syntax error"));
    let (_, result) = shell("CREATE TABLE t(a);\nBEGIN;\nINSERT INTO t VALUES (1);\n").await;
    assert!(result.expect_err("open").to_string().contains("rolled back"));
    let (_, result) = shell(".use nowhere\n").await;
    let error = result.expect_err("not there");
    assert!(hint::of(&error).contains("orion db list"), "{error}");
}

#[tokio::test]
async fn an_expired_stream_is_replaced_unless_a_transaction_was_open() {
    let directory = tempfile::tempdir().expect("a directory");
    let (url, server) = serve(directory.path()).await;
    let mut session = Session::new(Client::new(&url, None).expect("valid"), Mode::List);
    let mut out = Vec::new();
    session.line("CREATE TABLE t(a);", &mut out).await.expect("ran");
    server.streams.lock().clear();
    session
        .line("INSERT INTO t VALUES (1);", &mut out)
        .await
        .expect("ran on a new stream");
    session.line("BEGIN;", &mut out).await.expect("ran");
    assert_eq!(session.prompt(), "orion*> ");
    server.streams.lock().clear();
    let error = session.line("SELECT 1;", &mut out).await.expect_err("lost");
    assert!(error.to_string().contains("rolled back"));
    assert_eq!(session.prompt(), "orion> ");
    session.line("SELECT a", &mut out).await.expect("waits");
    assert_eq!(session.prompt(), "  ...> ");
}
