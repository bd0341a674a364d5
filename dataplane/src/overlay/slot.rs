//! One page at the version that last changed it.

use crate::entry::{PageChange, PageContent};
use crate::page::{Checksum, Image};
use bytes::Bytes;
use orion_api::Version;
use std::sync::Arc;

/// What is known of a page since it last changed.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The version that changed it.
    pub(crate) version: Version,
    /// Checksum of its image at that version. `None` only where the image is in the base, which has it.
    pub(crate) checksum: Option<Checksum>,
    /// The image, or how to get it.
    pub(crate) content: Content,
    /// Differences in a row down to an image.
    pub(crate) depth: u8,
}

/// How a slot gives the image.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it.
    Image(Image),
    /// A difference against what the page was before.
    Delta { delta: Bytes, prior: Prior },
    /// In the base, as of the snapshot's checkpoint.
    Stored,
}

/// What a page was before a difference.
#[derive(Clone, Debug)]
pub(crate) enum Prior {
    /// It did not exist.
    Zeros,
    /// What the base has, unchanged since `version`.
    Stored { version: Version },
    /// An older change that is in the overlay too.
    Slot(Arc<Slot>),
}

impl Slot {
    /// The slot after `change`, which became version `version`.
    pub(crate) fn changed(change: &PageChange, version: Version, prior: Prior) -> Option<Slot> {
        let (content, depth) = match change.content.as_ref()? {
            // Copied, so that a page of 4 KiB does not hold an entry of a megabyte.
            PageContent::Image(bytes) => (Content::Image(Bytes::copy_from_slice(bytes)), 0),
            PageContent::Delta(bytes) => {
                let depth = prior.depth().saturating_add(1);
                (
                    Content::Delta {
                        delta: Bytes::copy_from_slice(bytes),
                        prior,
                    },
                    depth,
                )
            }
        };
        Some(Slot {
            version,
            checksum: Some(change.checksum()),
            content,
            depth,
        })
    }

    /// Bytes of this change alone.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.content {
            Content::Image(image) => image.len() as u64,
            Content::Delta { delta, .. } => delta.len() as u64,
            Content::Stored => 0,
        }
    }

    /// Bytes of this change and of those that it needs.
    pub(crate) fn chain_bytes(&self) -> u64 {
        let below = match &self.content {
            Content::Delta {
                prior: Prior::Slot(slot),
                ..
            } => slot.chain_bytes(),
            _ => 0,
        };
        self.bytes() + below
    }

    /// The same page when everything up to `version` is in the base.
    pub(crate) fn rebased(self: &Arc<Slot>, version: Version) -> Arc<Slot> {
        if self.version <= version {
            if matches!(self.content, Content::Stored) {
                return Arc::clone(self);
            }
            return Arc::new(Slot {
                version: self.version,
                checksum: self.checksum,
                content: Content::Stored,
                depth: 0,
            });
        }
        let Content::Delta {
            delta,
            prior: Prior::Slot(below),
        } = &self.content
        else {
            return Arc::clone(self);
        };
        let below = below.rebased(version);
        let prior = match below.content {
            Content::Stored => Prior::Stored {
                version: below.version,
            },
            _ => Prior::Slot(below),
        };
        let depth = prior.depth() + 1;
        let content = Content::Delta {
            delta: delta.clone(),
            prior,
        };
        Arc::new(Slot {
            version: self.version,
            checksum: self.checksum,
            content,
            depth,
        })
    }
}

impl Prior {
    fn depth(&self) -> u8 {
        match self {
            Prior::Slot(slot) => slot.depth,
            Prior::Zeros | Prior::Stored { .. } => 0,
        }
    }
}
