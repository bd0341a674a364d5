//! `POST /v3/cursor`: the results of a batch as lines of JSON.
//!
//! All of them are known before the first line goes out: nothing may be shown of what is not yet durable,
//! and a unit's results are limited in bytes.

use super::body::Arrival;
use super::path::InPath;
use super::pipeline::reply_of;
use super::state::{Http, json};
use super::status::HttpError;
use crate::hrana::{Databases, Outcomes};
use axum::extract::{Request, State};
use axum::response::Response;
use orion_api::Code;
use orion_api::hrana::{
    self, BatchResult, CursorEntry, CursorReply, CursorRequest, Outcome, StatementResult,
};
use std::sync::Arc;

pub(super) async fn run<D: Databases>(
    State(http): State<Arc<Http<D>>>,
    InPath(path): InPath,
    request: Request,
) -> Result<Response, HttpError> {
    let (parts, body) = request.into_parts();
    let mut body = Arrival::here(body);
    let (admitted, request) = http
        .receive::<CursorRequest>(path.as_deref(), &parts, &mut body, "a cursor request")
        .await?;
    if admitted.asked.idempotency_key.is_some() {
        let message = "header x-orion-idempotency-key: is for pipelines, not for cursors";
        return Err(HttpError::new(Code::InvalidRequest, message));
    }
    let options = &admitted.asked.options;
    let answer = http
        .service
        .cursor(
            &admitted.database,
            request.baton.as_deref(),
            request.batch,
            options,
        )
        .await?;
    let head = CursorReply {
        base_url: http.base_url(&answer, &admitted.name),
        orion: Some(http.envelope(&answer, &admitted)),
        baton: answer.baton,
    };
    let mut lines = Lines(Vec::with_capacity(1024));
    lines.push(&head)?;
    if let Outcomes::Fresh(outcomes) = answer.outcomes {
        outcomes
            .into_iter()
            .try_for_each(|outcome| lines.outcome(outcome))?;
    }
    Ok(reply_of(lines.0, answer.share, "application/x-ndjson"))
}

struct Lines(Vec<u8>);

impl Lines {
    fn push<T: serde::Serialize>(&mut self, line: &T) -> Result<(), HttpError> {
        json(&mut self.0, line)?;
        self.0.push(b'\n');
        Ok(())
    }

    fn outcome(&mut self, outcome: Outcome) -> Result<(), HttpError> {
        match outcome {
            Outcome::Ok(hrana::Response::Batch(result)) => {
                self.batch(result)?;
                self.push(&CursorEntry::ReplicationIndex(None))
            }
            Outcome::Ok(_) => Ok(()),
            Outcome::Error(error) => self.push(&CursorEntry::Error(error)),
        }
    }

    fn batch(&mut self, batch: BatchResult) -> Result<(), HttpError> {
        let steps = batch.step_results.into_iter().zip(batch.step_errors);
        for (step, (result, error)) in (0..).zip(steps) {
            if let Some(result) = result {
                self.step(step, result)?;
            }
            if let Some(error) = error {
                self.push(&CursorEntry::StepError { step, error })?;
            }
        }
        Ok(())
    }

    fn step(&mut self, step: u32, result: StatementResult) -> Result<(), HttpError> {
        self.push(&CursorEntry::StepBegin {
            step,
            cols: result.cols,
        })?;
        for row in result.rows {
            self.push(&CursorEntry::Row(row))?;
        }
        self.push(&CursorEntry::StepEnd {
            affected_row_count: result.affected_row_count,
            last_insert_rowid: result.last_insert_rowid,
        })
    }
}
