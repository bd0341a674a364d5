//! The commit: pages and records that become visible together, as one version of a database.
//!
//! ```text
//! Commit      body, chain
//! CommitBody  database, epoch, base_version, page_count, page_size, pages*, records*, [transaction, parts]
//! PageChange  number, checksum of the resulting image, image | delta
//! ```
//!
//! `chain` is [`Chain::next`] of the chain before over the encoded body, so the state machine checks content
//! and position in one hash. A delta is against the page as of `base_version`; where the page did not exist
//! then, against zeros. A body with `parts` > 0 also holds the pages of the [`Pages`](super::Pages) entries
//! of that transaction.
//!
//! INVARIANT: applied only if `epoch` is the database's epoch, `base_version` its version and `chain` the
//! next link; otherwise refused, the same way on every member. Two writers can therefore never mix pages.

use crate::page::{Chain, Checksum, PageNo};
use bytes::Bytes;
use orion_api::{DatabaseId, Epoch, Version};
use prost::Message;

/// A commit as it stands in the log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Commit {
    /// Encoded [`CommitBody`].
    #[prost(bytes = "bytes", tag = "1")]
    pub body: Bytes,
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub chain: Bytes,
}

impl Commit {
    /// Links `body` to the version before.
    pub fn link(before: Chain, body: &CommitBody) -> (Commit, Chain) {
        let body = Bytes::from(body.encode_to_vec());
        let chain = before.next(&body);
        (
            Commit {
                body,
                chain: Bytes::copy_from_slice(chain.as_bytes()),
            },
            chain,
        )
    }

    /// The body, if it is one.
    pub fn body(&self) -> Result<CommitBody, prost::DecodeError> {
        CommitBody::decode(self.body.clone())
    }
}

/// What a commit changes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommitBody {
    /// Database id, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub database: Bytes,
    /// The writer's epoch.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The version that this is on top of.
    #[prost(uint64, tag = "3")]
    pub base_version: u64,
    /// Pages in the database afterwards.
    #[prost(uint32, tag = "4")]
    pub page_count: u32,
    /// Bytes of a page; never changes once set.
    #[prost(uint32, tag = "5")]
    pub page_size: u32,
    /// Changed pages, each once.
    #[prost(message, repeated, tag = "6")]
    pub pages: Vec<PageChange>,
    /// What must be atomic with the pages.
    #[prost(message, repeated, tag = "7")]
    pub records: Vec<Record>,
    /// Number of the transaction whose parts belong to this commit.
    #[prost(uint64, tag = "8")]
    pub transaction: u64,
    /// How many parts it has; 0 for a commit that is complete in itself.
    #[prost(uint32, tag = "9")]
    pub parts: u32,
    /// BLAKE3-128 over the encoded parts in order; empty without parts.
    #[prost(bytes = "bytes", tag = "10")]
    pub parts_hash: Bytes,
}

impl CommitBody {
    /// The database, if the field is one.
    pub fn database(&self) -> Option<DatabaseId> {
        self.database.as_ref().try_into().ok().map(DatabaseId::from_bytes)
    }

    /// The writer's epoch.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// The version before this commit.
    pub fn base_version(&self) -> Version {
        Version(self.base_version)
    }
}

/// One changed page.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PageChange {
    /// Page number, from 1.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// [`page::checksum`](crate::page::checksum) of the image that results.
    #[prost(fixed64, tag = "2")]
    pub checksum: u64,
    /// How the image is given.
    #[prost(oneof = "PageContent", tags = "3, 4")]
    pub content: Option<PageContent>,
}

impl PageChange {
    /// The page number, unless it is 0.
    pub fn number(&self) -> Option<PageNo> {
        PageNo::new(self.number)
    }

    /// The checksum of the resulting image.
    pub fn checksum(&self) -> Checksum {
        Checksum(self.checksum)
    }
}

/// The bytes of a changed page.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum PageContent {
    /// All of it.
    #[prost(bytes = "bytes", tag = "3")]
    Image(Bytes),
    /// A [`Delta`](crate::page::Delta) against the version before.
    #[prost(bytes = "bytes", tag = "4")]
    Delta(Bytes),
}

impl PageContent {
    /// Bytes that it takes.
    pub fn len(&self) -> usize {
        match self {
            PageContent::Image(bytes) | PageContent::Delta(bytes) => bytes.len(),
        }
    }

    /// A delta of no bytes: the page was written, unchanged.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A key with a value that is stored beside the pages, for instance the reply of an idempotent request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// Key, at most 1 KiB.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// Value; empty deletes the record.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// Wall clock of the leader after which nobody may rely on it, milliseconds since 1970; 0 for never.
    #[prost(uint64, tag = "3")]
    pub expires_at_ms: u64,
}
