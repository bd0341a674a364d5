//! Who may do what on which database.
//!
//! Two kinds of tokens: static ones, compared in constant time, and JWTs signed with Ed25519 (`jwt`), of
//! which several keys can be good at once, so that keys can be rotated. A verified token gives a [`Grant`],
//! which is asked about a database; where no auth is configured, everybody may do everything.
//!
//! Called by the transports. Not here: headers, statements.

mod grant;
mod jwt;
mod keys;
mod shared;

pub use grant::Grant;
pub use jwt::{Claims, Right, Rights};
pub use keys::{KeyError, PublicKey, SigningKey};
pub use shared::{NeedsRestart, SharedAuth};

use orion_api::Code;
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// How tokens are checked.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Everybody may do everything: the embedded default, on the loopback address.
    #[default]
    Disabled,
    /// Only with a token.
    Enabled(Verifier),
}

/// What tokens are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verifier {
    /// Keys that sign JWTs.
    pub keys: Vec<PublicKey>,
    /// Tokens that are good as they stand.
    pub tokens: Vec<StaticToken>,
}

/// A token that is good as it stands. Only its hash is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticToken {
    hash: [u8; 32],
    grant: Grant,
}

impl StaticToken {
    /// A token with what it allows.
    pub fn new(token: &str, grant: Grant) -> StaticToken {
        StaticToken {
            hash: Sha256::digest(token).into(),
            grant,
        }
    }
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token where one is needed.
    #[error("a token is needed: send it as \"Authorization: Bearer …\"")]
    Missing,
    /// A token that is not good, and why.
    #[error("the token is not accepted: {0}")]
    Invalid(&'static str),
    /// A good token, but not for this.
    #[error("the token does not allow {0}")]
    Forbidden(&'static str),
}

impl AuthError {
    /// The code for clients.
    pub fn code(&self) -> Code {
        match self {
            AuthError::Missing => Code::AuthMissing,
            AuthError::Invalid(_) => Code::AuthInvalid,
            AuthError::Forbidden(_) => Code::AuthForbidden,
        }
    }
}

impl Auth {
    /// Checks a token, as it stands behind `Bearer `.
    pub fn verify(&self, token: Option<&str>) -> Result<Grant, AuthError> {
        match self {
            Auth::Disabled => Ok(Grant::all()),
            Auth::Enabled(verifier) => verifier.verify(token.ok_or(AuthError::Missing)?, SystemTime::now()),
        }
    }
}

impl Verifier {
    /// Checks a token at a time.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Grant, AuthError> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        // All of them are compared, so that time does not tell which one comes near.
        let found = self.tokens.iter().fold(None, |found, known| {
            if bool::from(known.hash.ct_eq(&hash)) {
                Some(&known.grant)
            } else {
                found
            }
        });
        if let Some(grant) = found {
            return Ok(grant.clone());
        }
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        jwt::verify(token, &self.keys, seconds).map(|claims| claims.grant())
    }
}

#[cfg(test)]
mod tests;
