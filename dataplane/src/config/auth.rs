//! The `auth` section: keys that sign tokens, and tokens that are good as they stand.

use std::path::PathBuf;

use serde::Deserialize;

use super::Error;
use crate::auth::{Auth, Grant, PublicKey, StaticToken, Verifier};
use crate::database;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAuth {
    public_keys: Vec<String>,
    public_key_files: Vec<PathBuf>,
    tokens: Vec<RawToken>,
    metrics_public: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    token: String,
    #[serde(default)]
    access: Access,
    #[serde(default)]
    admin: bool,
}

// Not derived: a configuration that is logged must not show its tokens.
impl std::fmt::Debug for RawToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawToken").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Access {
    Ro,
    #[default]
    Rw,
}

impl RawAuth {
    /// Prometheus asks without a token, and the numbers name no database.
    pub(super) fn metrics_public(&self) -> bool {
        self.metrics_public.unwrap_or(true)
    }

    pub(super) fn check(self) -> Result<Auth, Error> {
        let mut verifier = Verifier::default();
        for text in &self.public_keys {
            let key = PublicKey::parse(text).map_err(|error| Error::value("auth.public_keys", error))?;
            verifier.keys.push(key);
        }
        for path in &self.public_key_files {
            let refuse =
                |reason: String| Error::value("auth.public_key_files", format!("{path:?}: {reason}"));
            let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
            verifier
                .keys
                .push(PublicKey::parse(&text).map_err(|error| refuse(error.to_string()))?);
        }
        for token in &self.tokens {
            if token.token.len() < TOKEN_BYTES_MIN {
                let reason =
                    format!("a token must have at least {TOKEN_BYTES_MIN} bytes, or it can be guessed");
                return Err(Error::value("auth.tokens", reason));
            }
            verifier
                .tokens
                .push(StaticToken::new(&token.token, token.grant()));
        }
        match verifier.keys.is_empty() && verifier.tokens.is_empty() {
            true => Ok(Auth::Disabled),
            false => Ok(Auth::Enabled(verifier)),
        }
    }
}

const TOKEN_BYTES_MIN: usize = 16;

impl RawToken {
    fn grant(&self) -> Grant {
        let grant = Grant::everywhere(match self.access {
            Access::Ro => database::Access::Read,
            Access::Rw => database::Access::Write,
        });
        if self.admin { grant.with_admin() } else { grant }
    }
}
