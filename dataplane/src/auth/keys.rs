//! Ed25519 keys, in the forms in which people keep them.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::fmt;

/// A SubjectPublicKeyInfo of Ed25519 up to the key itself (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const PUBLIC_LABEL: &str = "PUBLIC KEY";
const PRIVATE_LABEL: &str = "PRIVATE KEY";

/// A text that is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither PEM nor base64 of 32 bytes.
    #[error("not an Ed25519 public key: neither PEM nor url-safe base64 of 32 bytes")]
    Public,
    /// Not a private key in PKCS #8 PEM.
    #[error("not an Ed25519 private key in PKCS #8 PEM")]
    Private,
    /// The system gave no randomness.
    #[error("no key could be made")]
    Generate,
}

/// A key that checks signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// From PEM (`-----BEGIN PUBLIC KEY-----`) or url-safe base64 of the 32 bytes.
    pub fn parse(text: &str) -> Result<PublicKey, KeyError> {
        let text = text.trim();
        let bytes = match pem(text, PUBLIC_LABEL) {
            Some(der) => der
                .strip_prefix(&SPKI_PREFIX)
                .map(<[u8]>::to_vec)
                .ok_or(KeyError::Public)?,
            None => URL_SAFE_NO_PAD
                .decode(text.trim_end_matches('='))
                .map_err(|_| KeyError::Public)?,
        };
        bytes.try_into().map(PublicKey).map_err(|_| KeyError::Public)
    }

    /// As url-safe base64.
    pub fn to_base64(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// As PEM.
    pub fn to_pem(&self) -> String {
        armor(&[&SPKI_PREFIX[..], &self.0].concat(), PUBLIC_LABEL)
    }

    /// Whether this key has signed the message.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.to_base64())
    }
}

/// A key that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    pkcs8: Vec<u8>,
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Result<SigningKey, KeyError> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let document = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| KeyError::Generate)?;
        SigningKey::from_pkcs8(document.as_ref()).ok_or(KeyError::Generate)
    }

    /// From PEM (`-----BEGIN PRIVATE KEY-----`), as openssl writes it too.
    pub fn parse(text: &str) -> Result<SigningKey, KeyError> {
        pem(text.trim(), PRIVATE_LABEL)
            .and_then(|der| SigningKey::from_pkcs8(&der))
            .ok_or(KeyError::Private)
    }

    /// As PEM.
    pub fn to_pem(&self) -> String {
        armor(&self.pkcs8, PRIVATE_LABEL)
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    fn from_pkcs8(der: &[u8]) -> Option<SigningKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
        Some(SigningKey {
            pair,
            pkcs8: der.to_vec(),
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(secret of {:?})", self.public())
    }
}

/// The bytes within PEM armor of this label.
fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let body = text
        .strip_prefix(&format!("-----BEGIN {label}-----"))?
        .strip_suffix(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok()
}

fn armor(der: &[u8], label: &str) -> String {
    // An Ed25519 key is one line or two.
    let body = STANDARD.encode(der);
    let (first, rest) = body.split_at(body.len().min(64));
    let rest = if rest.is_empty() {
        String::new()
    } else {
        format!("{rest}\n")
    };
    format!("-----BEGIN {label}-----\n{first}\n{rest}-----END {label}-----\n")
}
