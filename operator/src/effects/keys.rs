//! The key of a group that signs tokens, and the tokens: JWTs with Ed25519 (RFC 8037), as nodes verify them.

use super::Error;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A key that signs.
pub(crate) struct Key {
    pair: Ed25519KeyPair,
    pkcs8: Vec<u8>,
}

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

impl Key {
    pub(crate) fn generate() -> Result<Key, Error> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let document = Ed25519KeyPair::generate_pkcs8(&random)
            .map_err(|_| Error::Keys("the system gave no randomness".into()))?;
        Key::of(document.as_ref())
    }

    fn of(pkcs8: &[u8]) -> Result<Key, Error> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
            .map_err(|_| Error::Keys("token.key is no Ed25519 key in PKCS #8".into()))?;
        Ok(Key {
            pair,
            pkcs8: pkcs8.to_vec(),
        })
    }

    /// From a Secret's data.
    pub(crate) fn of_data(data: &BTreeMap<String, Vec<u8>>) -> Result<Key, Error> {
        let unreadable = |what: &str| Error::Keys(format!("token.key {what}"));
        let pem = data.get("token.key").ok_or_else(|| unreadable("is missing"))?;
        let pem = std::str::from_utf8(pem).map_err(|_| unreadable("is not text"))?;
        let body = pem
            .trim()
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix(END));
        let body: String = body
            .ok_or_else(|| unreadable("is not PEM"))?
            .split_whitespace()
            .collect();
        Key::of(&STANDARD.decode(body).map_err(|_| unreadable("is not PEM"))?)
    }

    pub(crate) fn to_pem(&self) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(&self.pkcs8))
    }

    /// As nodes' configurations have it.
    pub(crate) fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref())
    }

    fn sign(&self, claims: &Value) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"JWT"}"#);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }

    /// The operator's own token, for an hour.
    pub(crate) fn admin_token(&self, unix_seconds: u64) -> String {
        self.sign(&json!({ "a": "rw", "admin": true, "exp": unix_seconds + 3600 }))
    }

    /// A token for one database, by its id. The same claims give the same token.
    pub(crate) fn database_token(&self, id: &str, access: &str, expires: Option<u64>) -> String {
        let mut claims = json!({ "id": id, "a": access });
        if let Some(expires) = expires {
            claims["exp"] = json!(expires);
        }
        self.sign(&claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_secret_and_signs_the_same() {
        let key = Key::generate().expect("a key");
        let data = |pem: &str| BTreeMap::from([("token.key".to_owned(), pem.as_bytes().to_vec())]);
        let again = Key::of_data(&data(&key.to_pem())).expect("the same key");
        assert_eq!(again.public(), key.public());
        assert_eq!(
            again.database_token("x", "rw", None),
            key.database_token("x", "rw", None)
        );
        assert!(Key::of_data(&data("!")).is_err());
        assert!(Key::of_data(&BTreeMap::new()).is_err());
    }
}
