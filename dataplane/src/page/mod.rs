//! Pages: the unit in which SQLite changes a database and in which everything below it stores,
//! ships and checks it.
//!
//! Pure: no I/O, no clock. Every other module may use it; it uses none of them.

mod chain;
mod checksum;
mod delta;

use bytes::Bytes;
use std::fmt;

pub use chain::Chain;
pub use checksum::{Checksum, checksum};
pub use delta::{Delta, DeltaError};

/// Bytes of one page, exactly `PageSize` long, never changed once made.
pub type Image = Bytes;

/// A page of `len` bytes that was never written; at most the largest page size. Shared, it takes no memory.
pub(crate) fn zeros(len: usize) -> Image {
    static ZEROS: [u8; 65536] = [0; 65536];
    Bytes::from_static(&ZEROS[..len])
}

/// Number of a page, counted from 1 as SQLite does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNo(u32);

impl PageNo {
    /// The page with the database header.
    pub const FIRST: PageNo = PageNo(1);

    /// `None` for 0, which SQLite never uses.
    pub fn new(number: u32) -> Option<PageNo> {
        (number > 0).then_some(PageNo(number))
    }

    /// The page that holds the byte at `offset` of the database file.
    pub fn at_offset(offset: u64, size: PageSize) -> Option<PageNo> {
        u32::try_from(offset / u64::from(size.bytes()))
            .ok()?
            .checked_add(1)
            .map(PageNo)
    }

    /// The number, from 1.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PageNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes in a page of one database: a power of two from 512 to 65536 (SQLite file format, 1.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageSize(u32);

#[expect(clippy::len_without_is_empty, reason = "a page is never empty")]
impl PageSize {
    /// What a new database gets.
    pub const DEFAULT: PageSize = PageSize(4096);

    /// `None` unless SQLite allows this size.
    pub fn new(bytes: u32) -> Option<PageSize> {
        (bytes.is_power_of_two() && (512..=65536).contains(&bytes)).then_some(PageSize(bytes))
    }

    /// Bytes in a page.
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// Bytes in a page, as a length in memory.
    pub fn len(self) -> usize {
        self.0 as usize
    }
}

/// Size and shape of a database at one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Pages in the database; those above do not exist.
    pub page_count: u32,
    /// `None` while nothing was written yet.
    pub page_size: Option<PageSize>,
}

impl Extent {
    /// A database that nothing was written to.
    pub const EMPTY: Extent = Extent {
        page_count: 0,
        page_size: None,
    };

    /// Bytes of the database file.
    pub fn bytes(self) -> u64 {
        u64::from(self.page_count) * self.page_size.map_or(0, |size| u64::from(size.bytes()))
    }

    /// Reads both from page 1 (SQLite file format, 1.3: offset 16, two bytes big-endian, 1 meaning 65536;
    /// offset 28, four bytes big-endian). `None` if the header makes no sense.
    pub fn from_first_page(image: &[u8]) -> Option<Extent> {
        let size = match u16::from_be_bytes(image.get(16..18)?.try_into().ok()?) {
            1 => 65536,
            bytes => u32::from(bytes),
        };
        let page_count = u32::from_be_bytes(image.get(28..32)?.try_into().ok()?);
        Some(Extent {
            page_count,
            page_size: Some(PageSize::new(size)?),
        })
    }
}
