//! The chain hash that ties each version of a database to all versions before it.
//!
//! Two copies of a database with equal version and equal chain have equal histories. Where the chains
//! differ, the histories forked; that is found by comparing 16 bytes and never guessed.

use std::fmt;

/// First 16 bytes of BLAKE3 over the chain before and the content of the version.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Chain([u8; 16]);

impl Chain {
    /// The chain of a database to which nothing was committed yet.
    pub const START: Chain = Chain([0; 16]);

    /// The chain after a version with this content.
    pub fn next(self, content: &[u8]) -> Chain {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(content);
        let mut next = [0; 16];
        next.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Chain(next)
    }

    /// The 16 bytes, for the log and for headers.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for Chain {
    fn from(bytes: [u8; 16]) -> Chain {
        Chain(bytes)
    }
}

impl TryFrom<&[u8]> for Chain {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Chain, Self::Error> {
        bytes.try_into().map(Chain)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}
