//! Keys and values of a base.
//!
//! | key | value |
//! |---|---|
//! | `h` | header: format byte (1), XXH3-64 of the rest (8 bytes), protobuf [`Header`] |
//! | `p`, page number (4 bytes) | format byte (1), version that last wrote the page (8 bytes), [`checksum`] of the image (8 bytes), image |
//! | `r`, the record's own key | format byte (2), XXH3-64 of key and the rest (8 bytes), when it expires (8 bytes, ms since 1970, 0 for never), content |
//! | `x`, when it expires (8 bytes), the record's own key | format byte (1); written with each record that expires, so that those whose time is over are one scan |
//!
//! All numbers big-endian, so that pages lie in the order of their numbers and a range of pages is one scan.
//! The checksum of a page covers database and number: a page stored or fetched under a wrong name does not pass.
//! It is the one that came from the VFS with the page; it is computed here anew only to be compared.

use crate::page::{Chain, Extent, Image, PageNo, PageSize, checksum};
use bytes::{BufMut, Bytes, BytesMut};
use orion_api::{DatabaseId, Epoch, Version};
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

const FORMAT: u8 = 1;
const HEADER: u8 = b'h';
const PAGE: u8 = b'p';
const RECORD: u8 = b'r';
const EXPIRY: u8 = b'x';

const RECORD_FORMAT: u8 = 2;
/// Bytes in front of an expiry's record key.
const EXPIRY_PREFIX: usize = 1 + 8;

/// Bytes in front of a page's image.
const PAGE_PREFIX: usize = 1 + 8 + 8;
/// Bytes in front of a header or record.
const SUM_PREFIX: usize = 1 + 8;

/// A page as it lies in a base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPage {
    /// The version that last wrote it.
    pub version: Version,
    /// Its bytes, checked.
    pub image: Image,
}

/// What a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose pages.
    pub database: DatabaseId,
    /// Written in this epoch. A base that was cloned has its parent's header until its first own materialization.
    pub epoch: Epoch,
    /// The last version in it.
    pub version: Version,
    /// Size of the database.
    pub extent: Extent,
    /// The chain hash at `version`.
    pub chain: Chain,
}

/// Why a value was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// Does not pass its checksum, or is too short to have one.
    Corrupt,
    /// Written in a format that this release does not know.
    Format(u8),
}

#[derive(Clone, PartialEq, Message)]
struct HeaderMessage {
    #[prost(bytes = "bytes", tag = "1")]
    database: Bytes,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint64, tag = "3")]
    version: u64,
    #[prost(uint32, tag = "4")]
    page_count: u32,
    /// 0 while nothing was written.
    #[prost(uint32, tag = "5")]
    page_size: u32,
    #[prost(bytes = "bytes", tag = "6")]
    chain: Bytes,
}

pub(super) const HEADER_KEY: &[u8] = &[HEADER];

pub(super) fn page_key(no: u32) -> Bytes {
    let mut key = BytesMut::with_capacity(5);
    key.put_u8(PAGE);
    key.put_u32(no);
    key.freeze()
}

pub(super) fn page_no(key: &[u8]) -> Option<PageNo> {
    let number = key.strip_prefix(&[PAGE])?.try_into().ok()?;
    PageNo::new(u32::from_be_bytes(number))
}

pub(super) fn record_key(key: &[u8]) -> Bytes {
    let mut full = BytesMut::with_capacity(1 + key.len());
    full.put_u8(RECORD);
    full.put_slice(key);
    full.freeze()
}

pub(super) fn expiry_key(expires_at_ms: u64, key: &[u8]) -> Bytes {
    let mut full = BytesMut::with_capacity(EXPIRY_PREFIX + key.len());
    full.put_u8(EXPIRY);
    full.put_u64(expires_at_ms);
    full.put_slice(key);
    full.freeze()
}

/// The record's own key.
pub(super) fn expired_key(expiry: &[u8]) -> Option<&[u8]> {
    expiry.strip_prefix(&[EXPIRY])?.get(EXPIRY_PREFIX - 1..)
}

pub(super) const EXPIRY_VALUE: &[u8] = &[FORMAT];

pub(super) fn encode_page(database: DatabaseId, no: PageNo, version: Version, image: &[u8]) -> Bytes {
    let mut value = BytesMut::with_capacity(PAGE_PREFIX + image.len());
    value.put_u8(FORMAT);
    value.put_u64(version.0);
    value.put_u64(checksum(database, no, image).0);
    value.put_slice(image);
    value.freeze()
}

/// The image is copied out: the value is a part of a table's block, which it would otherwise keep in memory whole.
pub(super) fn decode_page(database: DatabaseId, no: PageNo, value: &[u8]) -> Result<StoredPage, Damage> {
    check_format(FORMAT, value)?;
    let (prefix, image) = value.split_at_checked(PAGE_PREFIX).ok_or(Damage::Corrupt)?;
    if read_u64(&prefix[9..]) != Some(checksum(database, no, image).0) {
        return Err(Damage::Corrupt);
    }
    Ok(StoredPage {
        version: Version(read_u64(&prefix[1..9]).ok_or(Damage::Corrupt)?),
        image: Bytes::copy_from_slice(image),
    })
}

pub(super) fn encode_record(key: &[u8], expires_at_ms: u64, content: &[u8]) -> Bytes {
    let mut summed = key.to_vec();
    summed.put_u64(expires_at_ms);
    summed.extend_from_slice(content);
    with_sum(RECORD_FORMAT, xxh3_64(&summed), &summed[key.len()..])
}

/// When it expires, and the content.
pub(super) fn decode_record(key: &[u8], value: &[u8]) -> Result<(u64, Bytes), Damage> {
    // Of format 1, those without an expiry, none was ever released.
    let (sum, rest) = split_sum(RECORD_FORMAT, value)?;
    let mut summed = key.to_vec();
    summed.extend_from_slice(rest);
    let (expiry, content) = rest.split_at_checked(8).ok_or(Damage::Corrupt)?;
    match sum == xxh3_64(&summed) {
        true => Ok((
            read_u64(expiry).ok_or(Damage::Corrupt)?,
            Bytes::copy_from_slice(content),
        )),
        false => Err(Damage::Corrupt),
    }
}

pub(super) fn encode_header(header: &Header) -> Bytes {
    let message = HeaderMessage {
        database: Bytes::copy_from_slice(header.database.as_bytes()),
        epoch: header.epoch.0,
        version: header.version.0,
        page_count: header.extent.page_count,
        page_size: header.extent.page_size.map_or(0, PageSize::bytes),
        chain: Bytes::copy_from_slice(header.chain.as_bytes()),
    };
    let content = message.encode_to_vec();
    with_sum(FORMAT, xxh3_64(&content), &content)
}

pub(super) fn decode_header(value: &[u8]) -> Result<Header, Damage> {
    let (sum, content) = split_sum(FORMAT, value)?;
    if sum != xxh3_64(content) {
        return Err(Damage::Corrupt);
    }
    let message = HeaderMessage::decode(content).map_err(|_| Damage::Corrupt)?;
    let database: [u8; 16] = message
        .database
        .as_ref()
        .try_into()
        .map_err(|_| Damage::Corrupt)?;
    Ok(Header {
        database: DatabaseId::from_bytes(database),
        epoch: Epoch(message.epoch),
        version: Version(message.version),
        extent: Extent {
            page_count: message.page_count,
            page_size: PageSize::new(message.page_size),
        },
        chain: Chain::try_from(message.chain.as_ref()).map_err(|_| Damage::Corrupt)?,
    })
}

fn with_sum(format: u8, sum: u64, content: &[u8]) -> Bytes {
    let mut value = BytesMut::with_capacity(SUM_PREFIX + content.len());
    value.put_u8(format);
    value.put_u64(sum);
    value.put_slice(content);
    value.freeze()
}

fn split_sum(format: u8, value: &[u8]) -> Result<(u64, &[u8]), Damage> {
    check_format(format, value)?;
    let (prefix, content) = value.split_at_checked(SUM_PREFIX).ok_or(Damage::Corrupt)?;
    Ok((read_u64(&prefix[1..]).ok_or(Damage::Corrupt)?, content))
}

fn check_format(format: u8, value: &[u8]) -> Result<(), Damage> {
    match value.first() {
        Some(&found) if found == format => Ok(()),
        Some(&other) => Err(Damage::Format(other)),
        None => Err(Damage::Corrupt),
    }
}

fn read_u64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            database: DatabaseId::random(),
            epoch: Epoch(3),
            version: Version(77),
            extent: Extent {
                page_count: 9,
                page_size: PageSize::new(8192),
            },
            chain: Chain::START.next(b"x"),
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        let header = header();
        assert_eq!(decode_header(&encode_header(&header)), Ok(header));
    }

    #[test]
    fn a_page_under_another_number_or_database_is_damaged() {
        let (database, no) = (DatabaseId::random(), PageNo::FIRST);
        let value = encode_page(database, no, Version(1), &[7; 512]);
        let other = PageNo::new(2).expect("not zero");
        assert_eq!(decode_page(database, other, &value), Err(Damage::Corrupt));
        assert_eq!(
            decode_page(DatabaseId::random(), no, &value),
            Err(Damage::Corrupt)
        );
    }

    proptest! {
        #[test]
        fn a_flipped_bit_in_an_image_is_found(at in PAGE_PREFIX..PAGE_PREFIX + 512, bit in 0u8..8) {
            let (database, no) = (DatabaseId::random(), PageNo::FIRST);
            let mut value = encode_page(database, no, Version(1), &[7; 512]).to_vec();
            value[at] ^= 1 << bit;
            prop_assert_eq!(decode_page(database, no, &value), Err(Damage::Corrupt));
        }

        #[test]
        fn damaged_values_never_panic(value in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_header(&value);
            let _ = decode_page(DatabaseId::from_bytes([1; 16]), PageNo::FIRST, &value);
            let _ = decode_record(b"key", &value);
        }

        #[test]
        fn records_come_back_only_under_their_own_key(
            key: Vec<u8>, other: Vec<u8>, expires: u64, content: Vec<u8>
        ) {
            let expiry = expiry_key(expires, &key);
            prop_assert_eq!(expired_key(&expiry), Some(&key[..]));
            let value = encode_record(&key, expires, &content);
            prop_assert_eq!(decode_record(&key, &value), Ok((expires, Bytes::from(content))));
            if key != other && !other.starts_with(&key) && !key.starts_with(&other) {
                prop_assert_eq!(decode_record(&other, &value), Err(Damage::Corrupt));
            }
        }
    }
}
