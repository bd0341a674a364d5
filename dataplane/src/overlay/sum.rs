//! A database's pages at one version, in one number: what members compare.
//!
//! XXH3-64 over the page size and page count (4 bytes each, big-endian) and, for each page in order, the
//! [`checksum`](crate::page::checksum) of its image (8 bytes, big-endian). Every page is read as a reader would get it,
//! from the overlay or the base, and so every checksum on the way is looked at too.
//!
//! Reads the base in ranges, beside the page cache: going through a whole database must not empty it for everybody.

use super::slot::Content;
use super::{Pages, Snapshot};
use crate::base;
use crate::page::{Checksum, Image, PageNo, checksum};
use crate::vfs::ReadError;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Pages that are in memory at a time. As many as the base gives at once.
const AT_ONCE: u32 = 256;

/// Why pages were not summed up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SumError {
    /// The base.
    #[error("the base cannot be read")]
    Base(#[from] base::Error),
    /// A page that is not in the base.
    #[error("a page cannot be read")]
    Read(#[from] ReadError),
    /// The thread that resolved pages is gone.
    #[error("the node is stopping")]
    Stopped,
}

impl SumError {
    /// True if a page is not what was written; else it may be tried again.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            SumError::Base(error) => error.kind() == base::Kind::Corrupt,
            SumError::Read(error) => matches!(error, ReadError::Corrupt { .. }),
            SumError::Stopped => false,
        }
    }
}

/// The number of `snapshot`.
pub(crate) async fn sum(pages: &Arc<Pages>, snapshot: &Arc<Snapshot>) -> Result<Checksum, SumError> {
    let extent = snapshot.extent;
    let mut sum = Xxh3::new();
    sum.update(&extent.page_size.map_or(0, |size| size.bytes()).to_be_bytes());
    sum.update(&extent.page_count.to_be_bytes());
    let mut first = 1;
    while first <= extent.page_count {
        let last = extent.page_count.min(first.saturating_add(AT_ONCE - 1));
        let stored = stored(pages, snapshot, first..=last).await?;
        let (pages, snapshot) = (Arc::clone(pages), Arc::clone(snapshot));
        // Resolving differences may read the base: on a thread where waiting is allowed.
        let summed = tokio::task::spawn_blocking(move || {
            let numbers = (first..=last).filter_map(PageNo::new);
            let one = |no| {
                Ok(checksum(
                    snapshot.database,
                    no,
                    &image(&pages, &snapshot, &stored, no)?,
                ))
            };
            numbers.map(one).collect::<Result<Vec<_>, ReadError>>()
        });
        for one in summed.await.map_err(|_| SumError::Stopped)?? {
            sum.update(&one.0.to_be_bytes());
        }
        let Some(next) = last.checked_add(1) else { break };
        first = next;
    }
    Ok(Checksum(sum.digest()))
}

/// What the checkpoint has of these pages.
async fn stored(
    pages: &Pages,
    snapshot: &Snapshot,
    numbers: RangeInclusive<u32>,
) -> Result<HashMap<PageNo, Image>, base::Error> {
    let mut found = HashMap::new();
    let (Some(checkpoint), Some(mut first), Some(last)) = (
        &snapshot.checkpoint,
        PageNo::new(*numbers.start()),
        PageNo::new(*numbers.end()),
    ) else {
        return Ok(found);
    };
    // The base may give less at once than it is asked for.
    loop {
        let some = pages.bases.pages(checkpoint, first..=last).await?;
        let Some((newest, _)) = some.last() else {
            return Ok(found);
        };
        let next = PageNo::new(newest.get().saturating_add(1)).filter(|next| *next <= last);
        found.extend(some.into_iter().map(|(no, page)| (no, page.image)));
        match next {
            Some(next) => first = next,
            None => return Ok(found),
        }
    }
}

fn image(
    pages: &Pages,
    snapshot: &Snapshot,
    stored: &HashMap<PageNo, Image>,
    no: PageNo,
) -> Result<Image, ReadError> {
    let is_in_base = match snapshot.slot(no) {
        Some(slot) => matches!(slot.content, Content::Stored),
        None => no.get() <= snapshot.base_limit,
    };
    match stored.get(&no) {
        Some(image) if is_in_base => Ok(image.clone()),
        // Never stored: zeros, which `page` finds without asking anybody where nothing is in the base.
        None if is_in_base && snapshot.checkpoint.is_some() => Ok(crate::page::zeros(
            snapshot.extent.page_size.map_or(0, |size| size.len()),
        )),
        _ => pages.page(snapshot, no),
    }
}
