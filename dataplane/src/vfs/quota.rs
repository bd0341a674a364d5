//! How many bytes temporary files may take: per connection, database and node, each a counter with a limit
//! and a parent that counts too.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A limit in bytes, counted here and in every parent.
#[derive(Debug)]
pub struct Quota {
    limit: u64,
    used: AtomicU64,
    parent: Option<Arc<Quota>>,
}

impl Quota {
    /// A quota of its own, or below `parent`.
    pub fn new(limit: u64, parent: Option<Arc<Quota>>) -> Arc<Quota> {
        Arc::new(Quota {
            limit,
            used: AtomicU64::new(0),
            parent,
        })
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts `bytes` here and above, or nowhere and answers false.
    pub fn grow(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        if self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_err()
        {
            return false;
        }
        let granted = self.parent.as_ref().is_none_or(|parent| parent.grow(bytes));
        if !granted {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        granted
    }

    /// Gives `bytes` back that `grow` counted.
    pub fn shrink(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.shrink(bytes);
        }
    }
}

/// Where the temporary files of a connection go.
#[derive(Clone, Debug)]
pub struct TempSpace {
    /// A local directory; files have no name in it.
    pub directory: PathBuf,
    /// The connection's quota.
    pub quota: Arc<Quota>,
}
