//! Which database a request means: the first of these that names one decides.
//!
//! 1. header `x-namespace-bin` (base64, padding optional)
//! 2. header `x-namespace`
//! 3. the first segment of the path, on the routes that have one
//! 4. the first label of `Host`, where a database of that name exists
//! 5. the configured default
//!
//! Pure but for the question whether a database exists. 1 to 3 are meant: a name that does not exist is an
//! error there. 4 and 5 are guesses: a host may be any name for this machine.

use super::status::HttpError;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, Uri, header};
use orion_api::Code;
use std::net::IpAddr;

const NAMESPACE_BIN: HeaderName = HeaderName::from_static("x-namespace-bin");
const NAMESPACE: HeaderName = HeaderName::from_static("x-namespace");
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a request says of the database that it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// This one, and no other.
    Named(String),
    /// The one of this name if there is one, else the default.
    Host(String),
    /// Nothing.
    Unsaid,
}

/// Reads headers and path.
pub fn meant(headers: &HeaderMap, uri: &Uri, path: Option<&str>) -> Result<Meant, HttpError> {
    if let Some(value) = headers.get(NAMESPACE_BIN) {
        let name = BASE64.decode(value.as_bytes()).ok();
        let name = name.and_then(|name| String::from_utf8(name).ok());
        return name
            .map(Meant::Named)
            .ok_or_else(|| invalid("x-namespace-bin is not the base64 of a name"));
    }
    if let Some(value) = headers.get(NAMESPACE) {
        let name = value.to_str().map_err(|_| invalid("x-namespace is not a name"))?;
        return Ok(Meant::Named(name.trim().to_owned()));
    }
    if let Some(name) = path {
        return Ok(Meant::Named(name.to_owned()));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    Ok(host
        .or(uri.host())
        .and_then(first_label)
        .map_or(Meant::Unsaid, |label| Meant::Host(label.to_owned())))
}

/// The first label of a host that is a name; an address has none.
fn first_label(host: &str) -> Option<&str> {
    if host.starts_with('[') {
        return None;
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    name.split('.').next().filter(|label| !label.is_empty())
}

/// No database has the name that the request gives.
pub fn not_found(name: &str) -> HttpError {
    HttpError::new(
        Code::DatabaseNotFound,
        format!("there is no database {name:?}; create it with `orion db create {name}`"),
    )
}

/// The request gives no name, and there is no default.
pub fn unnamed() -> HttpError {
    HttpError::new(
        Code::NamespaceNotFound,
        "the request names no database: put its name into the path (/name/…), the host (name.host), or the header x-namespace",
    )
}

fn invalid(message: &str) -> HttpError {
    HttpError::new(Code::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(headers: &[(&str, &str)], path: Option<&str>) -> Result<Meant, HttpError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header name");
            map.insert(name, value.parse().expect("a header value"));
        }
        meant(&map, &Uri::from_static("/v2/pipeline"), path)
    }

    fn named(name: &str) -> Result<Meant, HttpError> {
        Ok(Meant::Named(name.into()))
    }

    #[test]
    fn the_first_that_names_one_decides() {
        let (bin, plain, host) = (
            ("x-namespace-bin", "b25l"),
            ("x-namespace", "two"),
            ("host", "four.example:80"),
        );
        assert_eq!(resolve(&[bin, plain, host], Some("three")), named("one"));
        assert_eq!(resolve(&[plain, host], Some("three")), named("two"));
        assert_eq!(resolve(&[host], Some("three")), named("three"));
        assert_eq!(resolve(&[host], None), Ok(Meant::Host("four".into())));
        assert_eq!(resolve(&[], None), Ok(Meant::Unsaid));
    }

    #[test]
    fn base64_is_taken_with_and_without_padding() {
        assert_eq!(resolve(&[("x-namespace-bin", "YQ")], None), named("a"));
        assert_eq!(resolve(&[("x-namespace-bin", "YQ==")], None), named("a"));
        let error = resolve(&[("x-namespace-bin", "%")], None).expect_err("not base64");
        assert_eq!(error.status().as_u16(), 400);
    }

    #[test]
    fn addresses_have_no_label() {
        for host in ["127.0.0.1:8091", "127.0.0.1", "[::1]:8091", "[::1]", ""] {
            assert_eq!(resolve(&[("host", host)], None), Ok(Meant::Unsaid), "{host}");
        }
        for host in ["app.example.com:80", "app", "app:8091"] {
            assert_eq!(
                resolve(&[("host", host)], None),
                Ok(Meant::Host("app".into())),
                "{host}"
            );
        }
    }
}
