//! The database file as SQLite sees it: reads from the pinned view, locks, and the batch of a commit.
//!
//! States: unlocked → shared (a view is pinned) → reserved (the backend's turn) → exclusive; a batch is open
//! only between BEGIN and COMMIT or ROLLBACK_ATOMIC_WRITE, in the exclusive state.

use super::link::{Fault, Link};
use super::{Batch, Refusal, View};
use crate::page::{Extent, Image, PageNo, PageSize};
use bytes::Bytes;
use rusqlite::ffi;
use std::ffi::c_int;
use std::mem;
use std::sync::Arc;

/// One connection's open database.
pub(super) struct MainFile {
    link: Arc<Link>,
    lock: c_int,
    pinned: Option<Pinned>,
    pending: Option<Pending>,
}

/// The version that the transaction reads.
struct Pinned {
    view: Arc<dyn View>,
    extent: Extent,
}

/// Pages between BEGIN and COMMIT_ATOMIC_WRITE.
#[derive(Default)]
struct Pending {
    page_size: Option<PageSize>,
    bytes: u64,
    pages: Vec<(PageNo, Image)>,
}

impl Pinned {
    fn new(view: Arc<dyn View>) -> Pinned {
        let extent = view.extent();
        Pinned { view, extent }
    }
}

impl MainFile {
    pub(super) fn new(link: Arc<Link>) -> MainFile {
        MainFile {
            link,
            lock: ffi::SQLITE_LOCK_NONE,
            pinned: None,
            pending: None,
        }
    }

    /// The connection's end.
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Fills `out`; bytes past the end are zeros and answered with SHORT_READ.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), c_int> {
        match &self.pinned {
            Some(pinned) => self.read_from(pinned, offset, out),
            // The header, when SQLite opens the file, before any lock.
            None => self.read_from(&self.begin(ffi::SQLITE_IOERR_READ)?, offset, out),
        }
    }

    fn read_from(&self, pinned: &Pinned, offset: u64, out: &mut [u8]) -> Result<(), c_int> {
        let Some(size) = pinned.extent.page_size else {
            out.fill(0);
            return Err(ffi::SQLITE_IOERR_SHORT_READ);
        };
        let mut done = 0;
        // One page, unless the connection still believes in a smaller or larger page size.
        while done < out.len() {
            let at = offset + done as u64;
            let within = (at % u64::from(size.bytes())) as usize;
            let length = (size.len() - within).min(out.len() - done);
            let Some(no) = PageNo::at_offset(at, size).filter(|no| no.get() <= pinned.extent.page_count)
            else {
                out[done..].fill(0);
                return Err(ffi::SQLITE_IOERR_SHORT_READ);
            };
            let image = pinned
                .view
                .page(no)
                .map_err(|error| self.fault(Fault::Read(error), ffi::SQLITE_IOERR_READ))?;
            let Some(bytes) = image.get(within..within + length) else {
                return Err(self.fault(
                    Fault::Protocol("a page is shorter than its size"),
                    ffi::SQLITE_IOERR_READ,
                ));
            };
            out[done..done + length].copy_from_slice(bytes);
            done += length;
        }
        Ok(())
    }

    /// Takes a page of the open batch.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), c_int> {
        let most = self.link.settings().transaction_bytes;
        let Some(pending) = &mut self.pending else {
            return Err(self.fault(
                Fault::Protocol("a write outside of a batch"),
                ffi::SQLITE_IOERR_WRITE,
            ));
        };
        let size = u32::try_from(bytes.len()).ok().and_then(PageSize::new);
        let no = size
            .filter(|size| offset.is_multiple_of(u64::from(size.bytes())))
            .filter(|size| pending.page_size.is_none_or(|first| first == *size))
            .and_then(|size| PageNo::at_offset(offset, size));
        let Some(no) = no else {
            return Err(self.fault(Fault::Protocol("a write that is not one page"), ffi::SQLITE_ABORT));
        };
        pending.bytes += bytes.len() as u64;
        if pending.bytes > most {
            self.link.set_commit_failed();
            return Err(self.refused(Refusal::TooLarge));
        }
        pending.page_size = size;
        pending.pages.push((no, Bytes::copy_from_slice(bytes)));
        Ok(())
    }

    /// Cutting the file: its size is in page 1, so that only the size it has makes sense.
    pub(super) fn truncate(&self, size: u64) -> Result<(), c_int> {
        if self.size()? == size {
            return Ok(());
        }
        Err(self.fault(
            Fault::Protocol("a truncation outside of a batch"),
            ffi::SQLITE_IOERR_TRUNCATE,
        ))
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> Result<u64, c_int> {
        match &self.pinned {
            Some(pinned) => Ok(pinned.extent.bytes()),
            None => Ok(self.begin(ffi::SQLITE_IOERR_FSTAT)?.extent.bytes()),
        }
    }

    /// Bytes of each page, if the database has any.
    pub(super) fn page_bytes(&self) -> Result<Option<u32>, c_int> {
        let extent = match &self.pinned {
            Some(pinned) => pinned.extent,
            None => self.begin(ffi::SQLITE_IOERR_FSTAT)?.extent,
        };
        Ok(extent
            .page_size
            .filter(|_| extent.page_count > 0)
            .map(PageSize::bytes))
    }

    /// Raises the lock.
    pub(super) fn lock(&mut self, level: c_int) -> Result<(), c_int> {
        if self.lock >= level {
            return Ok(());
        }
        if self.link.is_poisoned() {
            return Err(ffi::SQLITE_IOERR_LOCK);
        }
        if self.lock < ffi::SQLITE_LOCK_SHARED {
            self.pinned = Some(self.begin(ffi::SQLITE_IOERR_LOCK)?);
            self.link.set_pinned(true);
            self.lock = ffi::SQLITE_LOCK_SHARED;
        }
        if level >= ffi::SQLITE_LOCK_RESERVED && self.lock < ffi::SQLITE_LOCK_RESERVED {
            self.reserve()?;
            self.lock = ffi::SQLITE_LOCK_RESERVED;
        }
        self.lock = level;
        Ok(())
    }

    /// Lowers the lock.
    pub(super) fn unlock(&mut self, level: c_int) {
        if self.lock <= level {
            return;
        }
        if self.lock >= ffi::SQLITE_LOCK_RESERVED && level < ffi::SQLITE_LOCK_RESERVED {
            self.pending = None;
            self.link.backend().release();
        }
        if level < ffi::SQLITE_LOCK_SHARED {
            self.pinned = None;
            self.link.set_pinned(false);
        }
        self.lock = level;
    }

    /// `BEGIN_ATOMIC_WRITE`.
    pub(super) fn begin_batch(&mut self) -> Result<(), c_int> {
        if self.lock < ffi::SQLITE_LOCK_RESERVED {
            return Err(self.fault(Fault::Protocol("a batch without a lock"), ffi::SQLITE_ABORT));
        }
        self.pending = Some(Pending::default());
        Ok(())
    }

    /// `ROLLBACK_ATOMIC_WRITE`.
    pub(super) fn drop_batch(&mut self) {
        self.pending = None;
    }

    /// `COMMIT_ATOMIC_WRITE`: the backend takes the batch, and its new version is read from now on.
    pub(super) fn commit_batch(&mut self) -> Result<(), c_int> {
        self.link.set_commit_failed();
        self.try_commit()?;
        self.link.take_commit_failed();
        Ok(())
    }

    fn try_commit(&mut self) -> Result<(), c_int> {
        let (Some(pending), Some(pinned)) = (self.pending.take(), &self.pinned) else {
            return Err(self.fault(Fault::Protocol("a commit without a batch"), ffi::SQLITE_ABORT));
        };
        let batch = pending
            .into_batch(pinned.extent)
            .map_err(|what| self.fault(Fault::Protocol(what), ffi::SQLITE_ABORT))?;
        let Some(batch) = batch else {
            return Ok(());
        };
        match self.link.backend().commit(batch) {
            Ok(view) => {
                self.pinned = Some(Pinned::new(view));
                Ok(())
            }
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    fn begin(&self, code: c_int) -> Result<Pinned, c_int> {
        match self.link.backend().begin() {
            Ok(view) => Ok(Pinned::new(view)),
            Err(error) => Err(self.fault(Fault::Read(error), code)),
        }
    }

    fn reserve(&self) -> Result<(), c_int> {
        if self.link.is_read_only() {
            return Err(self.refused(Refusal::ReadOnly));
        }
        let Some(pinned) = &self.pinned else {
            return Err(ffi::SQLITE_IOERR_LOCK);
        };
        self.link
            .backend()
            .reserve(&pinned.view)
            .map_err(|refusal| self.refused(refusal))
    }

    fn refused(&self, refusal: Refusal) -> c_int {
        let code = match refusal {
            Refusal::Stale | Refusal::NoTurn => ffi::SQLITE_BUSY_SNAPSHOT,
            Refusal::Full | Refusal::TooLarge => ffi::SQLITE_FULL,
            Refusal::ReadOnly => ffi::SQLITE_READONLY,
        };
        self.fault(Fault::Refused(refusal), code)
    }

    fn fault(&self, fault: Fault, code: c_int) -> c_int {
        self.link.set_fault(fault);
        code
    }
}

impl Drop for MainFile {
    fn drop(&mut self) {
        self.unlock(ffi::SQLITE_LOCK_NONE);
    }
}

impl Pending {
    /// `None` if nothing was written.
    fn into_batch(mut self, before: Extent) -> Result<Option<Batch>, &'static str> {
        let Some(page_size) = self.page_size else {
            return Ok(None);
        };
        if before.page_count > 0 && before.page_size != Some(page_size) {
            return Err("a batch that changes the page size");
        }
        // SQLite writes each page once, in order; if it ever does not, the last image wins.
        self.pages.sort_by_key(|(no, _)| *no);
        let mut pages: Vec<(PageNo, Image)> = Vec::with_capacity(self.pages.len());
        for page in mem::take(&mut self.pages) {
            match pages.last_mut() {
                Some(last) if last.0 == page.0 => *last = page,
                _ => pages.push(page),
            }
        }
        let header = match pages.first() {
            Some((PageNo::FIRST, image)) => Extent::from_first_page(image),
            _ => None,
        };
        let after = header.ok_or("a batch without page 1")?;
        if after.page_size != Some(page_size) {
            return Err("a batch whose header names another page size");
        }
        pages.retain(|(no, _)| no.get() <= after.page_count);
        Ok(Some(Batch {
            page_count: after.page_count,
            page_size,
            pages,
        }))
    }
}
