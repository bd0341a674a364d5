//! What a group agrees on: the commands in its log.
//!
//! A command is protobuf (prost, tags below are the wire format). Formats are gated by the catalog's
//! `format_level`: a node proposes only what the level knows, and refuses by name what it does not know.
//!
//! A [`Proposal`] is a command together with what only the proposing process has: the full images behind
//! the differences. That part is never written; the log keeps it in memory just long enough that applying an
//! entry on the node that proposed it need not resolve the differences again.

mod command;
mod commit;
mod limits;

use bytes::Bytes;
use prost::Message;
use std::fmt;
use std::sync::Arc;

pub use command::{
    Archived, Command, Create, Drop, Kind, Materialized, Pages, Purged, SetFormatLevel, SetLimits,
    SetSigningKey, Unpin,
};
pub use commit::{Commit, CommitBody, PageChange, PageContent, Record};
pub use limits::Limits;

use crate::page::{Image, PageNo};

/// The newest format that this release proposes and the only one it reads.
pub const FORMAT_LEVEL: u32 = 1;

/// A command on its way through Raft.
#[derive(Clone)]
pub struct Proposal {
    /// What was decided, shared by the log, replication and the state machine.
    pub command: Arc<Command>,
    /// Its encoding, made once.
    pub encoded: Bytes,
    /// Images of the pages of a commit, where this process made it.
    pub images: Option<Arc<Vec<(PageNo, Image)>>>,
}

impl Proposal {
    /// A command without images.
    pub fn new(kind: Kind) -> Proposal {
        Proposal::with_images(kind, None)
    }

    /// A commit of this process, with the images that its differences lead to.
    pub fn with_images(kind: Kind, images: Option<Vec<(PageNo, Image)>>) -> Proposal {
        let command = Command { kind: Some(kind) };
        let encoded = Bytes::from(command.encode_to_vec());
        Proposal {
            command: Arc::new(command),
            encoded,
            images: images.map(Arc::new),
        }
    }

    /// Reads a command back from the log or from a peer.
    pub fn decode(encoded: Bytes) -> Result<Proposal, prost::DecodeError> {
        let command = Command::decode(encoded.clone())?;
        Ok(Proposal {
            command: Arc::new(command),
            encoded,
            images: None,
        })
    }

    /// Bytes that it takes in the log and, about, in memory.
    pub fn len(&self) -> usize {
        self.encoded.len()
    }

    /// True only for a command that says nothing, which no release writes.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.command.kind.as_ref().map_or("empty", Kind::name);
        write!(f, "{kind} of {} bytes", self.encoded.len())
    }
}
