//! What all handlers share, and the steps that they have in common.

use super::body::{Arrival, Reading};
use super::headers::{self, Asked};
use super::health::Readiness;
use super::resolve::{self, Meant};
use super::status::HttpError;
use crate::auth::{Grant, SharedAuth};
use crate::database::{Error, Recorded};
use crate::hrana::{Answer, Databases, Service, Target, token};
use crate::http::Pace;
use crate::peer::Forwarded;
use crate::room::{Room, Share};
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use http::request::Parts;
use http::{HeaderMap, header};
use orion_api::Code;
use orion_api::hrana::{Envelope, Freshness, Idempotency, IdempotencyStatus};
use std::fmt::Write;
use std::sync::Arc;

/// Settings of the transport.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// This node's name, for the `orion` object.
    pub node: String,
    /// Whom a request means that names no database.
    pub default_database: Option<String>,
    /// Where other machines reach this very node, to pin streams to it; without a slash at the end. None if
    /// clients reach no other node by the address that they have.
    pub base_url: Option<String>,
    /// The largest body.
    pub body_bytes_max: usize,
    /// How fast a body must arrive.
    pub body_pace: Pace,
}

impl Default for HttpSettings {
    fn default() -> HttpSettings {
        HttpSettings {
            node: "orion".to_owned(),
            default_database: None,
            base_url: None,
            // 1,000 rows of 32 KiB in one batch.
            body_bytes_max: 32 << 20,
            body_pace: Pace::default(),
        }
    }
}

/// What all handlers share.
pub struct Http<D: Databases> {
    /// Finds databases.
    pub databases: D,
    /// Runs pipelines; its `expire` is to be called every few seconds.
    pub service: Service<D::Database>,
    /// Checks tokens.
    pub auth: SharedAuth,
    /// Answers `/readyz`.
    pub readiness: Readiness,
    /// Room of the bodies that arrive and of what was made of them.
    pub bodies: Arc<Room>,
    /// Settings.
    pub settings: HttpSettings,
}

/// A request whose database is found and which may ask it.
pub(super) struct Admitted<T> {
    pub database: T,
    /// The name by which it was found.
    pub name: String,
    pub asked: Asked,
    /// What its body has of the room: what was made of it takes as much, until it is answered.
    body_share: Share,
}

impl<D: Databases> Http<D> {
    /// What the request's token allows. The admin API asks it too.
    pub fn authorize(&self, headers: &HeaderMap) -> Result<Grant, HttpError> {
        self.auth
            .verify(bearer(headers))
            .map_err(|error| HttpError::new(error.code(), error.to_string()))
    }

    /// Lets only requests through to `routes` whose token allows the admin API.
    pub fn guard_admin(self: &Arc<Self>, routes: Router) -> Router {
        let http = Arc::clone(self);
        routes.layer(from_fn(move |request: Request, next: Next| {
            let allowed = http.authorize(request.headers()).and_then(|grant| {
                grant
                    .admin()
                    .map_err(|error| HttpError::new(error.code(), error.to_string()))
            });
            async move {
                match allowed {
                    Ok(()) => next.run(request).await,
                    Err(error) => error.into_response(),
                }
            }
        }))
    }

    /// Token, database, access, headers.
    pub(super) async fn admit(
        &self,
        parts: &Parts,
        path: Option<&str>,
    ) -> Result<Admitted<D::Database>, HttpError> {
        let grant = self.authorize(&parts.headers)?;
        let meant = resolve::meant(&parts.headers, &parts.uri, path)?;
        let (name, database) = self.find(meant).await?;
        let access = grant
            .access(database.id(), &name)
            .map_err(|error| HttpError::new(error.code(), error.to_string()))?;
        if !database.secret().is_known() {
            return Err(HttpError::new(
                Code::Unavailable,
                "the database's group has no secret yet; try again in a moment",
            ));
        }
        let mut asked = headers::parse(&parts.headers, database.id(), access, database.secret())?;
        asked.forwarded_from = parts.extensions.get::<Forwarded>().map(|forwarded| forwarded.0);
        Ok(Admitted {
            database,
            name,
            asked,
            body_share: Share::of(&self.bodies),
        })
    }

    /// Whom a request is from and for, and its body, which is read only if the request may ask at all.
    pub(super) async fn receive<T: serde::de::DeserializeOwned>(
        &self,
        path: Option<&str>,
        parts: &Parts,
        body: &mut Arrival,
        what: &str,
    ) -> Result<(Admitted<D::Database>, T), HttpError> {
        let mut admitted = self.admit(parts, path).await?;
        let reading = Reading {
            bytes_max: self.settings.body_bytes_max as u64,
            pace: self.settings.body_pace,
            room: &self.bodies,
        };
        let (bytes, share) = reading.read(&parts.headers, body.read()).await?;
        admitted.body_share = share;
        let parsed = parse(&bytes, what)?;
        body.was(bytes);
        Ok((admitted, parsed))
    }

    async fn find(&self, meant: Meant) -> Result<(String, D::Database), HttpError> {
        match meant {
            Meant::Named(name) => match self.databases.find(&name).await? {
                Some(database) => return Ok((name, database)),
                None => return Err(resolve::not_found(&name)),
            },
            Meant::Host(name) => {
                // A guess: what cannot be found now is not this database.
                match self.databases.find(&name).await {
                    Ok(Some(database)) => return Ok((name, database)),
                    Err(error) if error.code != Code::Unavailable => return Err(error.into()),
                    Ok(None) | Err(_) => {}
                }
            }
            Meant::Unsaid => {}
        }
        let name = self
            .settings
            .default_database
            .as_ref()
            .ok_or_else(resolve::unnamed)?;
        match self.databases.find(name).await? {
            Some(database) => Ok((name.clone(), database)),
            None => Err(resolve::not_found(name)),
        }
    }

    /// Where a stream of this database lives. Ends in a slash: JavaScript's `new URL("v2/pipeline", url)`
    /// would drop the name otherwise.
    pub(super) fn base_url(&self, answer: &Answer, name: &str) -> Option<String> {
        answer.baton.as_ref()?;
        let base = self.settings.base_url.as_ref()?;
        Some(format!("{base}/{name}/"))
    }

    /// The `orion` object of a reply.
    pub(super) fn envelope(&self, answer: &Answer, admitted: &Admitted<D::Database>) -> Envelope {
        let asked = &admitted.asked;
        Envelope {
            node: self.settings.node.clone(),
            forwarded_from: asked.forwarded_from.map(|node| node.to_string()),
            read_policy: asked.options.read_policy,
            idempotency: idempotency(answer, asked),
            session_token: Some(token::encode(answer.seen, admitted.database.secret())),
            freshness: Some(Freshness {
                applied: answer.seen.version.0,
                staleness_ms: answer.staleness.as_millis().try_into().unwrap_or(u64::MAX),
            }),
        }
    }
}

fn idempotency(answer: &Answer, asked: &Asked) -> Option<Idempotency> {
    let key = asked.options.idempotency.as_ref()?;
    let (status, reused) = match answer.idempotency.as_ref()? {
        Recorded::Nothing => (IdempotencyStatus::NotStored, false),
        Recorded::Stored => (IdempotencyStatus::Stored, false),
        Recorded::StoredWithoutReply => (IdempotencyStatus::StoredWithoutReply, false),
        Recorded::Replayed(_) => (IdempotencyStatus::Stored, true),
        Recorded::ReplayedWithoutReply => (IdempotencyStatus::StoredWithoutReply, true),
    };
    let request_hash = key.request_hash.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Some(Idempotency {
        key: key.key.clone(),
        request_hash,
        status,
        reused,
    })
}

/// The token behind `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The body under `what`'s type, or an error that says where it is wrong.
pub(super) fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, HttpError> {
    serde_json::from_slice(body)
        .map_err(|error| HttpError::new(Code::HranaProtoError, format!("the body is not {what}: {error}")))
}

/// A value as JSON, or a fault of ours.
pub(super) fn json<T: serde::Serialize>(buffer: &mut Vec<u8>, value: &T) -> Result<(), HttpError> {
    serde_json::to_writer(buffer, value)
        .map_err(|error| HttpError::from(Error::new(Code::Internal, error.to_string())))
}
