//! The rows' text: random, so that nothing on the way can compress or cache it, and cheap, because the
//! generator shares its core with the server. Not for secrets.

/// Bytes of text in a row, so that a row with its id is about 100 bytes.
pub(crate) const PAYLOAD_BYTES: usize = 100;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// One of its own for each connection.
    pub(crate) fn from_system() -> Random {
        Random(rand::random())
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound` (Lemire's multiplication; the bias of 2⁻³² does not matter here).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Appends [`PAYLOAD_BYTES`] letters that need no escape in JSON or SQL.
    pub(crate) fn write_payload(&mut self, out: &mut Vec<u8>) {
        for _ in 0..PAYLOAD_BYTES / 10 {
            let mut bits = self.next();
            for _ in 0..10 {
                out.push(ALPHABET[(bits & 63) as usize]);
                bits >>= 6;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_their_length_and_differ() {
        let mut random = Random(1);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        random.write_payload(&mut first);
        random.write_payload(&mut second);
        assert_eq!(first.len(), PAYLOAD_BYTES);
        assert_ne!(first, second);
        assert!((0..1000).all(|_| random.below(7) < 7));
    }
}
