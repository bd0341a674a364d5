//! One segment file: its header, its making, and what of it is still needed.

use super::Error;
use super::frame::{u32_at, u64_at};
use crate::durable;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes before the first frame.
pub(super) const HEADER: usize = 40;

/// The format that this release writes and reads.
pub(super) const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"ORIONLOG";
const ZEROS: usize = 1 << 20;

/// A segment that frames can be written to and read from.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) sequence: u64,
    pub(super) salt: u64,
    pub(super) len: u64,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    /// Newest index of each group that has entries here.
    pub(super) newest: HashMap<u32, u64>,
}

impl Segment {
    /// Gives the blank file at `blank` this sequence: header first, durable, then the name.
    ///
    /// CRASH: a blank file with a header keeps its temporary name, and is removed when the log is opened.
    pub(super) fn name(blank: &Path, sequence: u64, salt: u64) -> Result<Segment, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(blank)
            .map_err(Error::io("open", blank))?;
        file.write_all_at(&header(sequence, salt), 0)
            .map_err(Error::io_or_full("write", blank))?;
        file.sync_all().map_err(Error::io("sync", blank))?;
        let path = blank.with_file_name(file_name(sequence));
        std::fs::rename(blank, &path).map_err(Error::io_or_full("rename", blank))?;
        sync_parent(&path)?;
        let len = file.metadata().map_err(Error::io("stat", &path))?.len();
        Ok(Segment {
            sequence,
            salt,
            len,
            file: Arc::new(file),
            path,
            newest: HashMap::new(),
        })
    }

    /// Opens what [`Segment::name`] made.
    pub(super) fn open(path: &Path) -> Result<Segment, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(Error::io("open", path))?;
        let len = file.metadata().map_err(Error::io("stat", path))?.len();
        let corrupt = |detail: &str| Error::CorruptSegment {
            path: path.to_owned(),
            offset: 0,
            detail: detail.to_owned(),
        };
        let mut bytes = [0; HEADER];
        file.read_exact_at(&mut bytes, 0)
            .map_err(|_| corrupt("the header is missing"))?;
        if &bytes[..8] != MAGIC {
            return Err(corrupt("this is not a log segment"));
        }
        if xxh3_64(&bytes[..32]) != u64_at(&bytes, 32) {
            return Err(corrupt("the header's checksum does not match"));
        }
        match u32_at(&bytes, 8) {
            FORMAT => {}
            format => {
                return Err(Error::UnknownFormat {
                    path: path.to_owned(),
                    format,
                });
            }
        }
        let (sequence, salt) = (u64_at(&bytes, 16), u64_at(&bytes, 24));
        if path.file_name() != Some(file_name(sequence).as_ref()) {
            return Err(corrupt("the file has another segment's name"));
        }
        Ok(Segment {
            sequence,
            salt,
            len,
            file: Arc::new(file),
            path: path.to_owned(),
            newest: HashMap::new(),
        })
    }
}

/// Makes a blank file of `len` zero bytes, durable. [`Error::Full`] where the disk has no room for so many.
pub(super) fn make_blank(path: &Path, len: u64) -> Result<(), Error> {
    fail::fail_point!("log::blank_full", crate::failpoints::strikes(path), |most| {
        // On a disk with room for so many bytes.
        let most = most.and_then(|most| most.parse().ok()).unwrap_or(0);
        match len > most {
            true => Err(Error::Full(path.to_owned())),
            false => write_zeros(path, len),
        }
    });
    let result = write_zeros(path, len);
    if result.is_err() {
        // Half a blank file would keep the space that a full disk needs back.
        let _ = std::fs::remove_file(path);
    }
    result
}

fn write_zeros(path: &Path, len: u64) -> Result<(), Error> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(Error::io("create", path))?;
    let zeros = vec![0; ZEROS];
    let mut at = 0;
    while at < len {
        let part = ZEROS.min((len - at) as usize);
        file.write_all_at(&zeros[..part], at)
            .map_err(Error::io_or_full("write", path))?;
        at += part as u64;
    }
    file.sync_all().map_err(Error::io("sync", path))
}

/// Makes a file's name durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), Error> {
    durable::sync_name(path).map_err(Error::io("sync the folder of", path))
}

fn file_name(sequence: u64) -> String {
    format!("{sequence:016x}.seg")
}

fn header(sequence: u64, salt: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[16..24].copy_from_slice(&sequence.to_le_bytes());
    bytes[24..32].copy_from_slice(&salt.to_le_bytes());
    let sum = xxh3_64(&bytes[..32]);
    bytes[32..].copy_from_slice(&sum.to_le_bytes());
    bytes
}
