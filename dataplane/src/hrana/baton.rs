//! Batons: what a client must show to go on with a stream.
//!
//! Format, version 1, url-safe base64 without padding of 57 bytes:
//! `version (1) | node (8, big-endian) | stream (8) | sequence (8) | HMAC-SHA256 (32)`.
//! The MAC is over a domain word, the first 25 bytes and the database's id, so a baton is good for one
//! stream of one database, and for one request. Every node of the group can tell on which one the stream is.

use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use orion_api::{DatabaseId, NodeId};

const VERSION: u8 = 1;
const BODY: usize = 25;
const BYTES: usize = BODY + 32;
const DOMAIN: &[u8] = b"orion baton";

/// Stream and request that a baton stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Baton {
    /// On which node.
    pub node: NodeId,
    /// Which stream.
    pub stream: u64,
    /// Which reply of the stream gave it.
    pub sequence: u64,
}

/// The text is not a baton that a node of the group gave for this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the baton was not given by this node for this database")]
pub struct Forged;

impl Baton {
    /// The text for the client.
    pub fn sign(self, database: DatabaseId, key: &Secret) -> String {
        let mut bytes = [0; BYTES];
        let body = self.body();
        bytes[..BODY].copy_from_slice(&body);
        bytes[BODY..].copy_from_slice(&key.mac(&[DOMAIN, &body, database.as_bytes()]));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what a client shows. Takes the same time whichever byte is wrong.
    pub fn verify(text: &str, database: DatabaseId, key: &Secret) -> Result<Baton, Forged> {
        let mut bytes = [0; BYTES];
        let length = URL_SAFE_NO_PAD
            .decode_slice(text, &mut bytes)
            .map_err(|_| Forged)?;
        let (body, mac) = bytes.split_at(BODY);
        if length != BYTES || body[0] != VERSION {
            return Err(Forged);
        }
        if !key.verify(&[DOMAIN, body, database.as_bytes()], mac) {
            return Err(Forged);
        }
        let number = |range: std::ops::Range<usize>| {
            body[range]
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        Ok(Baton {
            node: NodeId(number(1..9)),
            stream: number(9..17),
            sequence: number(17..25),
        })
    }

    fn body(self) -> [u8; BODY] {
        let mut body = [0; BODY];
        body[0] = VERSION;
        body[1..9].copy_from_slice(&self.node.0.to_be_bytes());
        body[9..17].copy_from_slice(&self.stream.to_be_bytes());
        body[17..].copy_from_slice(&self.sequence.to_be_bytes());
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BATON: Baton = Baton {
        node: NodeId(5),
        stream: 7,
        sequence: 3,
    };

    #[test]
    fn own_batons_verify() {
        let (key, database) = (Secret::from_bytes([1; 32]), DatabaseId::from_bytes([2; 16]));
        let text = BATON.sign(database, &key);
        assert_eq!(Baton::verify(&text, database, &key), Ok(BATON));
    }

    #[test]
    fn batons_of_another_node_or_database_do_not() {
        let (key, database) = (Secret::from_bytes([1; 32]), DatabaseId::from_bytes([2; 16]));
        let text = BATON.sign(database, &key);
        let other = Secret::from_bytes([9; 32]);
        assert_eq!(Baton::verify(&text, database, &other), Err(Forged));
        assert_eq!(
            Baton::verify(&text, DatabaseId::from_bytes([3; 16]), &key),
            Err(Forged)
        );
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_found(bit in 0usize..BYTES * 8) {
            let (key, database) = (Secret::from_bytes([1; 32]), DatabaseId::from_bytes([2; 16]));
            let mut bytes = URL_SAFE_NO_PAD.decode(BATON.sign(database, &key)).expect("own text");
            bytes[bit / 8] ^= 1 << (bit % 8);
            let text = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(Baton::verify(&text, database, &key), Err(Forged));
        }

        #[test]
        fn any_text_is_refused(text in ".{0,200}") {
            let (key, database) = (Secret::from_bytes([1; 32]), DatabaseId::from_bytes([2; 16]));
            prop_assert_eq!(Baton::verify(&text, database, &key), Err(Forged));
        }
    }
}
