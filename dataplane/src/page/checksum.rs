//! Checksum of one page image, carried with it from the VFS to the object store and back.

use super::PageNo;
use orion_api::DatabaseId;
use xxhash_rust::xxh3::Xxh3;

/// XXH3-64 over database id, page number and image.
///
/// The id and the number are in it so that a page that was stored or fetched under a wrong name does not
/// pass: bytes alone would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(pub u64);

/// The checksum of `image` as page `no` of `database`.
pub fn checksum(database: DatabaseId, no: PageNo, image: &[u8]) -> Checksum {
    let mut hash = Xxh3::new();
    hash.update(database.as_bytes());
    hash.update(&no.get().to_be_bytes());
    hash.update(image);
    Checksum(hash.digest())
}
