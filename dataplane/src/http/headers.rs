//! The `x-orion-…` headers of a request.

use super::status::HttpError;
use crate::database::{Access, RequestOptions};
use crate::hrana::token;
use crate::secret::Secret;
use http::{HeaderMap, HeaderName};
use orion_api::hrana::ReadPolicy;
use orion_api::{Code, DatabaseId, LogIndex, NodeId};
use std::str::FromStr;
use std::time::Duration;

const READ_POLICY: HeaderName = HeaderName::from_static("x-orion-read-policy");
const SESSION_TOKEN: HeaderName = HeaderName::from_static("x-orion-session-token");
const MIN_APPLIED: HeaderName = HeaderName::from_static("x-orion-min-applied-index");
const READ_TIMEOUT: HeaderName = HeaderName::from_static("x-orion-read-timeout-ms");
const MAX_STALENESS: HeaderName = HeaderName::from_static("x-orion-max-staleness-ms");
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-orion-idempotency-key");

/// The longest time that a read may be told to wait.
const READ_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// What the headers say. The idempotency key is apart: its other half is a hash of the body.
#[derive(Debug)]
pub struct Asked {
    /// Everything but the key.
    pub options: RequestOptions,
    /// The key.
    pub idempotency_key: Option<String>,
    /// The node that passed the request on.
    pub forwarded_from: Option<NodeId>,
}

/// What all headers of this file begin with.
const OURS: &str = "x-orion-";

/// Reads the headers of a request to `database`.
pub fn parse(
    headers: &HeaderMap,
    database: DatabaseId,
    access: Access,
    key: &Secret,
) -> Result<Asked, HttpError> {
    if !headers.keys().any(|name| name.as_str().starts_with(OURS)) {
        // As most requests are.
        return Ok(Asked {
            options: RequestOptions {
                access,
                ..RequestOptions::default()
            },
            idempotency_key: None,
            forwarded_from: None,
        });
    }
    let policy = text(headers, &READ_POLICY)?
        .map(|name| {
            name.parse().map_err(|()| {
                let known = "strong, revocation_safe, session, bounded_staleness, local";
                invalid(&READ_POLICY, format!("{name:?} is none of {known}"))
            })
        })
        .transpose()?;
    let session = text(headers, &SESSION_TOKEN)?
        .map(|text| token::decode(text, database, key))
        .transpose()
        .map_err(|error| invalid(&SESSION_TOKEN, error.to_string()))?;
    let max_staleness = number(headers, &MAX_STALENESS)?.map(Duration::from_millis);
    let options = RequestOptions {
        // A token or a bound alone says which policy is meant.
        read_policy: policy.unwrap_or(match (session, max_staleness) {
            (Some(_), _) => ReadPolicy::Session,
            (None, Some(_)) => ReadPolicy::BoundedStaleness,
            (None, None) => ReadPolicy::Strong,
        }),
        session,
        min_applied: number(headers, &MIN_APPLIED)?.map(LogIndex),
        read_timeout: number(headers, &READ_TIMEOUT)?.map_or(RequestOptions::READ_TIMEOUT, |ms| {
            Duration::from_millis(ms).min(READ_TIMEOUT_MAX)
        }),
        max_staleness,
        idempotency: None,
        access,
    };
    check(&options)?;
    Ok(Asked {
        options,
        idempotency_key: idempotency_key(headers)?,
        forwarded_from: None,
    })
}

fn check(options: &RequestOptions) -> Result<(), HttpError> {
    match options.read_policy {
        ReadPolicy::Session if options.session.is_none() => {
            Err(invalid(&SESSION_TOKEN, "is needed under the policy session"))
        }
        ReadPolicy::BoundedStaleness if options.max_staleness.is_none() => Err(invalid(
            &MAX_STALENESS,
            "is needed under the policy bounded_staleness",
        )),
        _ => Ok(()),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, HttpError> {
    let Some(value) = headers.get(&IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let max = RequestOptions::IDEMPOTENCY_KEY_BYTES_MAX;
    match std::str::from_utf8(value.as_bytes()) {
        Ok(key) if (1..=max).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(invalid(
            &IDEMPOTENCY_KEY,
            format!("must be 1 to {max} bytes of UTF-8"),
        )),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, HttpError> {
    headers
        .get(name)
        .map(|value| value.to_str().map(str::trim))
        .transpose()
        .map_err(|_| invalid(name, "is not text"))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, HttpError> {
    text(headers, name)?
        .map(u64::from_str)
        .transpose()
        .map_err(|_| invalid(name, "is not a number from 0 to 2^64 - 1"))
}

fn invalid(name: &HeaderName, message: impl std::fmt::Display) -> HttpError {
    HttpError::new(Code::InvalidRequest, format!("header {name}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Position;
    use orion_api::{Epoch, Version};

    fn read(headers: &[(&str, &str)]) -> Result<Asked, HttpError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header name");
            map.insert(name, value.parse().expect("a header value"));
        }
        let key = Secret::from_bytes([1; 32]);
        parse(&map, DatabaseId::from_bytes([2; 16]), Access::Write, &key)
    }

    fn token(database: u8) -> String {
        let position = Position {
            database: DatabaseId::from_bytes([database; 16]),
            epoch: Epoch(1),
            version: Version(9),
        };
        token::encode(position, &Secret::from_bytes([1; 32]))
    }

    #[test]
    fn nothing_said_is_strong() {
        let asked = read(&[]).expect("no headers");
        assert_eq!(asked.options, RequestOptions::default());
        assert_eq!(asked.idempotency_key, None);
    }

    #[test]
    fn all_headers_are_read() {
        let token = token(2);
        let asked = read(&[
            ("x-orion-read-policy", "session"),
            ("x-orion-session-token", &token),
            ("x-orion-min-applied-index", "77"),
            ("x-orion-read-timeout-ms", "250"),
            ("x-orion-idempotency-key", "k"),
        ])
        .expect("good headers");
        assert_eq!(asked.options.read_policy, ReadPolicy::Session);
        assert_eq!(asked.options.session.map(|at| at.version), Some(Version(9)));
        assert_eq!(asked.options.min_applied, Some(LogIndex(77)));
        assert_eq!(asked.options.read_timeout, Duration::from_millis(250));
        assert_eq!(asked.idempotency_key.as_deref(), Some("k"));
    }

    #[test]
    fn a_token_or_a_bound_alone_chooses_the_policy() {
        let asked = read(&[("x-orion-session-token", &token(2))]).expect("a token");
        assert_eq!(asked.options.read_policy, ReadPolicy::Session);
        let asked = read(&[("x-orion-max-staleness-ms", "5")]).expect("a bound");
        assert_eq!(asked.options.read_policy, ReadPolicy::BoundedStaleness);
    }

    #[test]
    fn wrong_values_name_their_header() {
        let (long, other) = ("k".repeat(513), token(3));
        for (name, value) in [
            ("x-orion-read-policy", "weak"),
            ("x-orion-read-policy", "session"),
            ("x-orion-read-policy", "bounded_staleness"),
            ("x-orion-session-token", "x"),
            ("x-orion-session-token", &*other),
            ("x-orion-min-applied-index", "-1"),
            ("x-orion-read-timeout-ms", "1s"),
            ("x-orion-max-staleness-ms", ""),
            ("x-orion-idempotency-key", ""),
            ("x-orion-idempotency-key", &*long),
        ] {
            let error = read(&[(name, value)]).expect_err(value);
            assert_eq!(error.code, Code::InvalidRequest);
            assert!(error.message.starts_with("header x-orion-"), "{}", error.message);
        }
    }
}
