//! JSON Web Tokens signed with Ed25519 (RFC 7519, RFC 8037), with the claims that libSQL's servers know.
//!
//! Only `alg: EdDSA` is taken, whatever the header says beside it: a verifier that lets the token choose is
//! how JWTs are forged. Claims:
//! - `exp`, `nbf`: seconds since 1970.
//! - `id`: the DatabaseId, or the name, of the only database that `a` is about. Without it, `a` is about all.
//! - `a`: `ro`, `rw` or `roa` (read and attach; there is no ATTACH here, so it is `ro`). A token without `a`
//!   and without `p` may write, as with sqld: whoever can sign may say so.
//! - `p`: `{"ro"|"rw"|"roa"|"rwa"|"ddl": {"ns": [names]}}`. `ddl` lets sqld's shared schemas change and
//!   means nothing here: alone it allows reading.
//! - `admin`: `true` for the admin API too (ours).

use super::{AuthError, Grant, PublicKey, SigningKey};
use crate::database::Access;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Longer texts are not looked at; ours have some 300 bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// The database that `a` is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `ro`, `rw` or `roa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<Right>,
    /// Rights by database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<Rights>,
    /// The admin API.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
    /// Good until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<f64>,
    /// Good from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<f64>,
}

/// A right by its short name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Read.
    Ro,
    /// Read and write.
    Rw,
    /// Read and attach: read.
    Roa,
}

/// Rights by database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rights {
    ro: Option<Names>,
    rw: Option<Names>,
    roa: Option<Names>,
    rwa: Option<Names>,
    ddl: Option<Names>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Names {
    #[serde(default)]
    ns: Vec<String>,
}

impl Right {
    fn access(self) -> Access {
        match self {
            Right::Rw => Access::Write,
            Right::Ro | Right::Roa => Access::Read,
        }
    }
}

impl Claims {
    /// The token that says so.
    pub fn sign(&self, key: &SigningKey) -> Result<String, serde_json::Error> {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"JWT"}"#);
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self)?);
        let message = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
        Ok(format!("{message}.{signature}"))
    }

    /// What they allow.
    pub fn grant(self) -> Grant {
        let access = match (self.a, &self.p) {
            (Some(right), _) => Some(right.access()),
            (None, None) => Some(Access::Write),
            (None, Some(_)) => None,
        };
        let mut grant = match (access, self.id) {
            (Some(access), None) => Grant::everywhere(access),
            (access, id) => {
                let mut grant = Grant::default();
                if let (Some(access), Some(id)) = (access, id) {
                    grant.allow(id, access);
                }
                grant
            }
        };
        let rights = self.p.unwrap_or_default();
        let lists = [
            (rights.ro, Access::Read),
            (rights.roa, Access::Read),
            (rights.ddl, Access::Read),
            (rights.rw, Access::Write),
            (rights.rwa, Access::Write),
        ];
        for (names, access) in lists {
            for name in names.unwrap_or_default().ns {
                grant.allow(name, access);
            }
        }
        if self.admin { grant.with_admin() } else { grant }
    }
}

/// Checks signature and times, and answers what the token says.
pub(super) fn verify(token: &str, keys: &[PublicKey], now: u64) -> Result<Claims, AuthError> {
    let malformed = AuthError::Invalid("it is neither known nor a JWT");
    if token.len() > TOKEN_BYTES_MAX {
        return Err(malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or_else(|| malformed.clone())?;
    let (header, claims) = message.split_once('.').ok_or_else(|| malformed.clone())?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed.clone());
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed.clone())?;
    if header.alg != "EdDSA" || header.crit.is_some() {
        return Err(AuthError::Invalid("only JWTs with alg EdDSA are taken"));
    }
    let signature = decode(signature)?;
    if !keys.iter().any(|key| key.verify(message.as_bytes(), &signature)) {
        return Err(AuthError::Invalid("no known key has signed it"));
    }
    let claims: Claims = serde_json::from_slice(&decode(claims)?)
        .map_err(|_| AuthError::Invalid("its claims are not understood"))?;
    let now = now as f64;
    if claims.exp.is_some_and(|exp| now >= exp) {
        return Err(AuthError::Invalid("it has expired"));
    }
    if claims.nbf.is_some_and(|nbf| now < nbf) {
        return Err(AuthError::Invalid("it is not good yet"));
    }
    Ok(claims)
}
