//! A temporary file: TEMP tables, large sorts, VACUUM's copy. Local, without a name, counted in a quota.
//!
//! CRASH: nothing is left behind, the file was unlinked when it was made.

use super::link::{Fault, Link};
use super::quota::Quota;
use rusqlite::ffi::{
    SQLITE_CANTOPEN, SQLITE_FULL, SQLITE_IOERR_READ, SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_WRITE,
};
use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One open temporary file.
pub(super) struct TempFile {
    file: File,
    size: u64,
    link: Arc<Link>,
}

impl TempFile {
    /// Makes one for the connection that runs on this thread.
    pub(super) fn open() -> Result<TempFile, c_int> {
        let Some(link) = Link::current() else {
            return Err(SQLITE_CANTOPEN);
        };
        match unnamed(&link.settings().temp.directory) {
            Ok(file) => Ok(TempFile { file, size: 0, link }),
            Err(error) => {
                link.set_fault(Fault::TempDisk(error.to_string()));
                Err(SQLITE_CANTOPEN)
            }
        }
    }

    /// Fills `out`, with zeros past the end.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), c_int> {
        let mut done = 0;
        while done < out.len() {
            match self.file.read_at(&mut out[done..], offset + done as u64) {
                Ok(0) => {
                    out[done..].fill(0);
                    return Err(SQLITE_IOERR_SHORT_READ);
                }
                Ok(bytes) => done += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(&error, SQLITE_IOERR_READ)),
            }
        }
        Ok(())
    }

    /// Writes, growing the file if the quota allows.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), c_int> {
        let end = offset.saturating_add(bytes.len() as u64);
        let growth = end.saturating_sub(self.size);
        if !self.quota().grow(growth) {
            self.link.set_fault(Fault::TempFull);
            return Err(SQLITE_FULL);
        }
        self.size += growth;
        self.file
            .write_all_at(bytes, offset)
            .map_err(|error| self.failed(&error, SQLITE_IOERR_WRITE))
    }

    /// Cuts the file, giving back what it took.
    pub(super) fn truncate(&mut self, size: u64) -> Result<(), c_int> {
        self.file
            .set_len(size)
            .map_err(|error| self.failed(&error, SQLITE_IOERR_WRITE))?;
        if size < self.size {
            self.quota().shrink(self.size - size);
            self.size = size;
        }
        Ok(())
    }

    /// Bytes in the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whose file it is.
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn quota(&self) -> &Quota {
        &self.link.settings().temp.quota
    }

    fn failed(&self, error: &io::Error, code: c_int) -> c_int {
        self.link.set_fault(Fault::TempDisk(error.to_string()));
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SQLITE_FULL,
            _ => code,
        }
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        self.quota().shrink(self.size);
    }
}

/// A file in `directory` that has no name any more.
fn unnamed(directory: &Path) -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let name = format!(
            ".orion-{}-{}",
            process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = directory.join(name);
        match OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
        {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            // Left by a process of the same number that died in between.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}
