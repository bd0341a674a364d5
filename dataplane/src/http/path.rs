//! The name in a path. Not axum's extractor: that answers what is not UTF-8 without a code.

use super::status::HttpError;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use orion_api::Code;

/// The name in the path; none on a route without one.
pub(super) struct InPath(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath, HttpError> {
        match RawPathParams::from_request_parts(parts, state).await {
            Ok(named) => Ok(InPath(named.iter().next().map(|(_, name)| name.to_owned()))),
            Err(RawPathParamsRejection::MissingPathParams(_)) => Ok(InPath(None)),
            Err(_) => Err(wrong()),
        }
    }
}

/// The name in the path of a route that has one.
pub(super) struct NamePath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<NamePath, HttpError> {
        let InPath(name) = InPath::from_request_parts(parts, state).await?;
        name.map(NamePath).ok_or_else(wrong)
    }
}

/// The names in the path of a route that has two.
pub(super) struct NamePair(pub(super) String, pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for NamePair {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<NamePair, HttpError> {
        let named = RawPathParams::from_request_parts(parts, state).await;
        let named = named.map_err(|_| wrong())?;
        let mut names = named.iter().map(|(_, name)| name.to_owned());
        names
            .next()
            .zip(names.next())
            .map(|(first, second)| NamePair(first, second))
            .ok_or_else(wrong)
    }
}

fn wrong() -> HttpError {
    HttpError::new(Code::InvalidRequest, "the name in the path is not UTF-8")
}
