//! `POST /`: the batch of the oldest clients, before Hrana.
//!
//! `{"statements": ["SELECT 1", {"q": "SELECT ?", "params": [1]}]}` is answered by an array with one
//! `{"results": {"columns", "rows"}}` or `{"error": {"message"}}` for each statement. Several statements are
//! one transaction. Values are plain JSON (integers too: this form cannot say more), blobs are
//! `{"base64": …}`.

use super::body::Arrival;
use super::path::InPath;
use super::pipeline::reply_of;
use super::state::{Http, json};
use super::status::HttpError;
use crate::hrana::{Databases, Outcomes};
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use orion_api::Value;
use orion_api::hrana::{
    self, Batch, BatchResult, Condition, NamedArg, Outcome, PipelineRequest, Statement, StatementResult, Step,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(expecting = "an object with a list of statements")]
struct LegacyRequest {
    statements: Vec<LegacyStatement>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a statement is a text, or an object with q and params")]
enum LegacyStatement {
    Text(String),
    Query {
        q: String,
        #[serde(default)]
        params: Params,
    },
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Params {
    #[default]
    None,
    Positional(Vec<Plain>),
    Named(BTreeMap<String, Plain>),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Plain {
    Null,
    Bool(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    Blob { base64: String },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum LegacyReply {
    Results {
        columns: Vec<String>,
        rows: Vec<Vec<Plain>>,
    },
    Error {
        message: String,
    },
}

pub(super) async fn batch<D: Databases>(
    State(http): State<Arc<Http<D>>>,
    InPath(path): InPath,
    request: Request,
) -> Result<Response, HttpError> {
    let (parts, body) = request.into_parts();
    let mut body = Arrival::here(body);
    let (admitted, request) = http
        .receive::<LegacyRequest>(path.as_deref(), &parts, &mut body, "a batch of statements")
        .await?;
    let statements: Vec<Statement> = request
        .statements
        .into_iter()
        .map(statement)
        .collect::<Result<_, _>>()?;
    let (count, transaction) = (statements.len(), statements.len() > 1);
    let batch = if transaction {
        in_transaction(statements)
    } else {
        alone(statements)
    };
    let pipeline = PipelineRequest {
        baton: None,
        requests: vec![hrana::Request::Batch(batch), hrana::Request::Close],
    };
    let options = &admitted.asked.options;
    let answer = http
        .service
        .pipeline(&admitted.database, pipeline, options)
        .await?;
    let replies = match answer.outcomes {
        Outcomes::Fresh(outcomes) => outcomes
            .into_iter()
            .find_map(|outcome| match outcome {
                Outcome::Ok(hrana::Response::Batch(result)) => {
                    Some(replies(result, usize::from(transaction), count))
                }
                _ => None,
            })
            .unwrap_or_default(),
        Outcomes::Stored(_) => Vec::new(),
    };
    let mut buffer = Vec::new();
    json(&mut buffer, &replies)?;
    Ok(reply_of(buffer, answer.share, "application/json"))
}

fn statement(statement: LegacyStatement) -> Result<Statement, HttpError> {
    Ok(match statement {
        LegacyStatement::Text(sql) => Statement::new(sql),
        LegacyStatement::Query { q, params } => match params {
            Params::None => Statement::new(q),
            Params::Positional(values) => {
                let args = values.into_iter().map(value).collect::<Result<_, _>>()?;
                Statement::new(q).with_args(args)
            }
            Params::Named(values) => {
                let named = |(name, plain)| value(plain).map(|value| NamedArg { name, value });
                Statement {
                    named_args: values.into_iter().map(named).collect::<Result<_, _>>()?,
                    ..Statement::new(q)
                }
            }
        },
    })
}

fn value(plain: Plain) -> Result<Value, HttpError> {
    Ok(match plain {
        Plain::Null => Value::Null,
        Plain::Bool(flag) => Value::Integer(i64::from(flag)),
        Plain::Integer(number) => Value::Integer(number),
        Plain::Real(number) => Value::Real(number),
        Plain::Text(text) => Value::Text(text),
        Plain::Blob { base64 } => Value::Blob(Bytes::from(STANDARD.decode(base64).map_err(|error| {
            let message = format!("the body is not a batch of statements: invalid base64: {error}");
            HttpError::new(orion_api::Code::HranaProtoError, message)
        })?)),
    })
}

fn alone(statements: Vec<Statement>) -> Batch {
    let steps = statements.into_iter().map(|stmt| Step {
        condition: None,
        stmt,
    });
    Batch {
        steps: steps.collect(),
    }
}

/// BEGIN, each statement if the one before worked, COMMIT or else ROLLBACK.
fn in_transaction(statements: Vec<Statement>) -> Batch {
    let mut steps = vec![Step {
        condition: None,
        stmt: Statement::new("BEGIN"),
    }];
    let commit = Statement::new("COMMIT");
    for (before, stmt) in (0..).zip(statements.into_iter().chain([commit])) {
        steps.push(Step {
            condition: Some(Condition::Ok(before)),
            stmt,
        });
    }
    let committed = u32::try_from(steps.len() - 1).unwrap_or(u32::MAX);
    steps.push(Step {
        condition: Some(Condition::Error(committed)),
        stmt: Statement::new("ROLLBACK"),
    });
    Batch { steps }
}

fn replies(batch: BatchResult, skip: usize, count: usize) -> Vec<LegacyReply> {
    let steps = batch.step_results.into_iter().zip(batch.step_errors);
    steps
        .skip(skip)
        .take(count)
        .map(|step| match step {
            (Some(result), _) => results(result),
            (None, Some(error)) => LegacyReply::Error {
                message: error.message,
            },
            (None, None) => LegacyReply::Error {
                message: "not run: a statement before it failed".to_owned(),
            },
        })
        .collect()
}

fn results(result: StatementResult) -> LegacyReply {
    let row = |row: Vec<Value>| row.into_iter().map(plain).collect();
    LegacyReply::Results {
        columns: result
            .cols
            .into_iter()
            .map(|column| column.name.unwrap_or_default())
            .collect(),
        rows: result.rows.into_iter().map(row).collect(),
    }
}

fn plain(value: Value) -> Plain {
    match value {
        Value::Null => Plain::Null,
        Value::Integer(number) => Plain::Integer(number),
        Value::Real(number) => Plain::Real(number),
        Value::Text(text) => Plain::Text(text),
        Value::Blob(bytes) => Plain::Blob {
            base64: STANDARD.encode(bytes),
        },
    }
}
