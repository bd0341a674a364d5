//! Reads a request's body within limits of size and time.

use super::status::HttpError;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError};
use orion_api::Code;
use std::time::Duration;

/// How many times the largest body is read and dropped, so that its client hears what is wrong.
const DISCARDED_BODIES: usize = 4;

/// The whole body.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    time: Duration,
) -> Result<Bytes, HttpError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max as u64) {
        // A client that asks first need not send it.
        if !headers.contains_key(header::EXPECT) {
            let most = bytes_max.saturating_mul(DISCARDED_BODIES);
            let _ = tokio::time::timeout(time, discard(body, most)).await;
        }
        return Err(too_large(bytes_max));
    }
    match tokio::time::timeout(time, axum::body::to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error_is_length(&error) => Err(too_large(bytes_max)),
        Ok(Err(error)) => Err(HttpError::new(
            Code::InvalidRequest,
            format!("the body did not arrive: {error}"),
        )),
        Err(_) => Err(HttpError::new(
            Code::RequestTimeout,
            format!("the body did not arrive within {} s", time.as_secs()),
        )),
    }
}

/// Reads and drops up to `bytes_max`. A connection that is closed while its client still sends is reset, and
/// the client sees that instead of the reply.
async fn discard(mut body: Body, bytes_max: usize) {
    let mut dropped = 0;
    while dropped < bytes_max
        && let Some(Ok(frame)) = body.frame().await
    {
        dropped += frame.data_ref().map_or(0, Bytes::len);
    }
}

fn error_is_length(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<LengthLimitError>())
}

fn too_large(bytes_max: usize) -> HttpError {
    HttpError::new(
        Code::RequestTooLarge,
        format!("the body is larger than {bytes_max} bytes, the most that is taken"),
    )
}
