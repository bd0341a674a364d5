//! The typed client: the admin API and Hrana pipelines over HTTP/1.1, for the CLI, the operator and tests. It
//! sends each request once: whether a retry is safe is for the caller to know, and [`Error::kind`] helps.
//! `https://` is believed by the platform's roots, and by those that [`Trust`] adds.

mod admin;
mod error;
mod sql;
mod stream;
mod trust;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::Error;
pub use sql::SqlOptions;
pub use stream::Stream;
pub use trust::Trust;

/// Connecting takes longer than this only if nobody is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any limit of the server on the time of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// The server's largest reply is smaller; more is not from it.
const REPLY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A server, and one of its databases. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// `http://host:port`.
    root: String,
    /// Empty for the default database, else `/name`.
    database: String,
    authorization: Option<HeaderValue>,
    /// How long a reply is waited for.
    patience: Duration,
}

impl Client {
    /// For a URL as Orion prints it: `http://host:port`, or with a database `http://host:port/appdb/`. A certificate is
    /// believed by the platform's roots.
    pub fn new(url: &str, token: Option<&str>) -> Result<Client, Error> {
        Client::trusting(url, token, &Trust::default())
    }

    /// The same, with more roots that are believed.
    pub fn trusting(url: &str, token: Option<&str>, trust: &Trust) -> Result<Client, Error> {
        let invalid = |reason: String| Error::Url {
            url: url.to_owned(),
            reason,
        };
        let parsed = url::Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        let is_secure = match parsed.scheme() {
            "http" => false,
            "https" => true,
            other => {
                return Err(invalid(format!(
                    "only http:// and https:// are spoken here, not {other}://"
                )));
            }
        };
        if !parsed.has_host() {
            return Err(invalid("it names no host".into()));
        }
        let authorization = match token {
            None => None,
            Some(token) => {
                let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                    .map_err(|_| invalid("the token holds characters that no token has".into()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.enforce_http(false);
        let tls = trust
            .config(is_secure)
            .map_err(|error| invalid(error.to_string()))?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Client {
            http: Http::builder(TokioExecutor::new()).build(connector),
            root: parsed.origin().ascii_serialization(),
            database: parsed.path().trim_end_matches('/').to_owned(),
            authorization,
            patience: REQUEST_TIMEOUT,
        })
    }

    /// The same, that waits no longer than this for a reply. The default is longer than any limit of the server's, which is
    /// far too long for who asks many servers in turn: one whose machine is gone says nothing at all.
    pub fn within(self, patience: Duration) -> Client {
        Client { patience, ..self }
    }

    /// The same server, another database. The name is not a [`crate::DatabaseName`], because `_orion` is none.
    pub fn with_database(&self, name: &str) -> Client {
        Client {
            database: format!("/{name}"),
            ..self.clone()
        }
    }

    /// `http://host:port`.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Name of the database that SQL goes to; none for the server's default one.
    pub fn database(&self) -> Option<&str> {
        self.database.strip_prefix('/')
    }

    /// The text of any page of the server, such as `/metrics`.
    pub async fn text(&self, path: &str) -> Result<String, Error> {
        let url = format!("{}{path}", self.root);
        let body = self
            .send(Method::GET, url, HeaderMap::new(), Bytes::new())
            .await?;
        String::from_utf8(body.into()).map_err(|_| Error::Protocol("the page is not UTF-8".into()))
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        url: String,
        headers: HeaderMap,
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        let body = match body {
            None => Vec::new(),
            Some(body) => serde_json::to_vec(body).map_err(|error| Error::Protocol(error.to_string()))?,
        };
        let reply = self.send(method, url, headers, body.into()).await?;
        serde_json::from_slice(&reply)
            .map_err(|error| Error::Protocol(format!("the reply is not as it must be: {error}")))
    }

    async fn send(
        &self,
        method: Method,
        url: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Bytes, Error> {
        let uri = Uri::try_from(&url).map_err(|error| Error::Url {
            url: url.clone(),
            reason: error.to_string(),
        })?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, authorization.clone());
        }
        let exchange = async {
            let reply = self
                .http
                .request(request)
                .await
                .map_err(|error| match error.is_connect() {
                    true => Error::connect(&self.root, error),
                    false => Error::lost(&self.root, error),
                })?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), REPLY_BYTES_MAX);
            let bytes = body
                .collect()
                .await
                .map_err(|error| Error::lost(&self.root, error))?
                .to_bytes();
            match status.is_success() {
                true => Ok(bytes),
                false => Err(Error::from_reply(status, &bytes)),
            }
        };
        match tokio::time::timeout(self.patience, exchange).await {
            Ok(result) => result,
            Err(_) => Err(Error::lost(
                &self.root,
                format!("no reply in {} s", self.patience.as_secs_f32()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up_in_time() {
        // Connections are taken by the system and never answered, as by a machine that is gone behind them.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let client = Client::new(&format!("http://{address}"), None).expect("a URL");
        let began = std::time::Instant::now();
        let reply = client.within(Duration::from_millis(50)).text("/livez").await;
        assert!(matches!(reply, Err(Error::Lost { .. })), "{reply:?}");
        assert!(began.elapsed() < REQUEST_TIMEOUT / 2);
    }
}
