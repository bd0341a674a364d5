//! Reads a request's body within limits of size and time.

use super::status::HttpError;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::LengthLimitError;
use orion_api::Code;
use std::time::Duration;

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
    // Before a byte is read: what is announced too large need not be sent.
    if announced.is_some_and(|length| length > bytes_max as u64) {
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

fn error_is_length(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<LengthLimitError>())
}

fn too_large(bytes_max: usize) -> HttpError {
    HttpError::new(
        Code::RequestTooLarge,
        format!("the body is larger than {bytes_max} bytes, the most that is taken"),
    )
}
