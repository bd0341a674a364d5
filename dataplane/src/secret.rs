//! The group's secret, which makes batons and session tokens unforgeable, and good on all of its nodes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A secret of 32 bytes, prepared for HMAC-SHA256. Clones share it.
#[derive(Clone, Default)]
pub struct Secret(Arc<OnceLock<Known>>);

struct Known {
    bytes: [u8; 32],
    mac: Hmac<Sha256>,
}

impl Secret {
    /// One that is not known yet. Until it is, nothing that is signed is good, and nothing verifies.
    pub fn pending() -> Secret {
        Secret::default()
    }

    /// Now it is known. Only the first call counts: a group's secret never changes. False if it was known.
    pub fn set(&self, bytes: [u8; 32]) -> bool {
        let mac = Hmac::new_from_slice(&bytes).expect("HMAC takes keys of any length");
        self.0.set(Known { bytes, mac }).is_ok()
    }

    /// The bytes, once they are known.
    pub fn bytes(&self) -> Option<[u8; 32]> {
        self.0.get().map(|known| known.bytes)
    }

    /// Whether it is known.
    pub fn is_known(&self) -> bool {
        self.0.get().is_some()
    }

    /// A new random one: what it signs is worth nothing to any other process, nor to this one after a
    /// restart.
    pub fn random() -> Secret {
        Secret::from_bytes(rand::random())
    }

    /// One that was kept, so that what it signed stays good over a restart, or that nodes share.
    pub fn from_bytes(bytes: [u8; 32]) -> Secret {
        let secret = Secret::pending();
        secret.set(bytes);
        secret
    }

    /// The MAC over the parts one after the other. Callers begin with a word of their own, and no two uses
    /// share one, so that a MAC made for one purpose is none for another.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.feed(parts).finalize().into_bytes().into()
    }

    /// Whether `mac` is the MAC over the parts, in constant time.
    pub(crate) fn verify(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        self.feed(parts).verify_slice(mac).is_ok()
    }

    fn feed(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = match self.0.get() {
            Some(known) => known.mac.clone(),
            None => Hmac::new_from_slice(&rand::random::<[u8; 32]>()).expect("HMAC takes keys of any length"),
        };
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
