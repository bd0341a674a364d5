//! Session tokens: a point in a database's history, signed, that a client shows to never read older data
//! than it has seen.
//!
//! Format, version 1, url-safe base64 without padding of 65 bytes:
//! `version (1) | database (16) | epoch (8, big-endian) | version of the database (8) | HMAC-SHA256 (32)`,
//! the MAC over a domain word and the first 33 bytes. The epoch is in it because version numbers repeat
//! after a promotion with loss.

use crate::database::Position;
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use orion_api::{DatabaseId, Epoch, Version};

const VERSION: u8 = 1;
const BODY: usize = 33;
const BYTES: usize = BODY + 32;
const DOMAIN: &[u8] = b"orion session";

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not base64, or not as long as a token.
    #[error("the session token is not in the form of one")]
    Malformed,
    /// Of a later Orion.
    #[error("the session token has version {0}, which is not known here")]
    Version(u8),
    /// Signed with another key, or changed.
    #[error("the session token's signature does not match")]
    Forged,
    /// Of another database than the request's.
    #[error("the session token is of another database")]
    OtherDatabase,
}

/// The token for a position.
pub fn encode(position: Position, key: &Secret) -> String {
    let mut bytes = [0; BYTES];
    bytes[0] = VERSION;
    bytes[1..17].copy_from_slice(position.database.as_bytes());
    bytes[17..25].copy_from_slice(&position.epoch.0.to_be_bytes());
    bytes[25..33].copy_from_slice(&position.version.0.to_be_bytes());
    let mac = key.mac(&[DOMAIN, &bytes[..BODY]]);
    bytes[BODY..].copy_from_slice(&mac);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position that a token stands for, if it is one of `database`.
pub fn decode(text: &str, database: DatabaseId, key: &Secret) -> Result<Position, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    match bytes.first() {
        Some(&VERSION) if bytes.len() == BYTES => {}
        Some(&version) if version != VERSION => return Err(TokenError::Version(version)),
        _ => return Err(TokenError::Malformed),
    }
    let (body, mac) = bytes.split_at(BODY);
    if !key.verify(&[DOMAIN, body], mac) {
        return Err(TokenError::Forged);
    }
    let position = Position {
        database: DatabaseId::from_bytes(field(body, 1)),
        epoch: Epoch(u64::from_be_bytes(field(body, 17))),
        version: Version(u64::from_be_bytes(field(body, 25))),
    };
    if position.database != database {
        return Err(TokenError::OtherDatabase);
    }
    Ok(position)
}

fn field<const N: usize>(body: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&body[at..at + N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position() -> Position {
        Position {
            database: DatabaseId::from_bytes([7; 16]),
            epoch: Epoch(3),
            version: Version(u64::MAX),
        }
    }

    #[test]
    fn a_token_comes_back_as_it_went() {
        let key = Secret::from_bytes([1; 32]);
        let text = encode(position(), &key);
        assert_eq!(decode(&text, position().database, &key), Ok(position()));
    }

    #[test]
    fn each_fault_has_its_own_error() {
        let key = Secret::from_bytes([1; 32]);
        let database = position().database;
        let text = encode(position(), &key);
        let changed = |at: usize| {
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).expect("own text");
            bytes[at] ^= 2;
            URL_SAFE_NO_PAD.encode(bytes)
        };
        assert_eq!(decode("", database, &key), Err(TokenError::Malformed));
        assert_eq!(decode("!", database, &key), Err(TokenError::Malformed));
        assert_eq!(decode(&text[..20], database, &key), Err(TokenError::Malformed));
        assert_eq!(decode(&changed(0), database, &key), Err(TokenError::Version(3)));
        assert_eq!(decode(&changed(30), database, &key), Err(TokenError::Forged));
        assert_eq!(decode(&changed(64), database, &key), Err(TokenError::Forged));
        let other = DatabaseId::from_bytes([8; 16]);
        assert_eq!(decode(&text, other, &key), Err(TokenError::OtherDatabase));
    }
}
