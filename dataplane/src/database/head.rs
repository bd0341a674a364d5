//! The writer's end of a database: what is committed in SQLite but not yet applied by the group.
//!
//! ```text
//! published snapshot  ←  flights (proposed, oldest first)  ←  fresh (not yet proposed)
//! ```
//! Each SQLite commit is a *step* and goes into `fresh`; per page the last image wins. Proposing turns
//! `fresh` into a *flight*: one entry, one version. When the group applied it, it is part of the published
//! snapshot and the flight is let go. Whoever holds the writer's turn reads all three layers; everybody
//! else reads the published snapshot.
//!
//! INVARIANT: whatever ran on top of a step is answered only when that step is applied: an [`Answer`] is
//! kept with the newest layer that its request could see.
//! INVARIANT: after a proposal that was not applied nothing is proposed until every flight has its outcome;
//! then all layers above the published snapshot are dropped, and `generation` tells connections to forget
//! what they cached.

use super::Error;
use super::answer::Answers;
use crate::entry::Record;
use crate::overlay::{Content, Pages, Patience, Prior, Snapshot};
use crate::page::{Chain, Extent, Image, PageNo, PageSize, zeros};
use crate::vfs::{Batch, ReadError, View};
use bytes::Bytes;
use imbl::OrdMap;
use orion_api::Version;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Pages of one layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) images: OrdMap<u32, Image>,
    /// Fewest pages of any step in it: what is below shines through only up to here.
    limit: u32,
    extent: Extent,
}

impl Layer {
    pub(super) fn page_count(&self) -> u32 {
        self.extent.page_count
    }

    /// Writes zeros for pages that one step cut off and a later one brought back unwritten. The entry tells
    /// nothing of the size in between: without them the members would keep what the pages were before, and the
    /// next difference, which is against zeros here, would not lead to its checksum there.
    pub(super) fn fill_gap(&mut self, before: Extent) {
        let Some(size) = self.extent.page_size else {
            return;
        };
        for no in self.limit.saturating_add(1)..=before.page_count.min(self.extent.page_count) {
            if !self.images.contains_key(&no) {
                self.images.insert(no, zeros(size.len()));
            }
        }
    }

    pub(super) fn page_size(&self) -> u32 {
        self.extent.page_size.map_or(0, PageSize::bytes)
    }
}

/// One entry on its way through Raft.
#[derive(Debug)]
pub(super) struct Flight {
    /// The version that it makes.
    pub(super) version: Version,
    pub(super) layer: Layer,
    depths: BTreeMap<u32, u8>,
    pub(super) records: Vec<Record>,
    pub(super) chain: Chain,
}

/// A flight and those who wait for it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) flight: Arc<Flight>,
    pub(super) answers: Answers,
    /// Set when Raft answered.
    pub(super) landed: bool,
}

/// All layers. Behind the lock of the queue.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) base: Arc<Snapshot>,
    pub(super) flights: VecDeque<Waiting>,
    pub(super) fresh: Option<Layer>,
    pub(super) fresh_bytes: u64,
    pub(super) fresh_records: Vec<Record>,
    pub(super) fresh_answers: Answers,
    /// Requests in `fresh`.
    pub(super) fresh_requests: usize,
    /// Steps so far.
    pub(super) step: u64,
    /// Discards so far.
    pub(super) generation: u64,
    /// A proposal was not applied: nothing goes on until all flights have landed.
    pub(super) failed: Option<Error>,
}

/// See [`Head::mark`].
pub(super) struct Mark {
    pub(super) step: u64,
    fresh: Option<Layer>,
    fresh_bytes: u64,
}

impl Head {
    pub(super) fn new(base: Arc<Snapshot>) -> Head {
        Head {
            base,
            flights: VecDeque::new(),
            fresh: None,
            fresh_bytes: 0,
            fresh_records: Vec::new(),
            fresh_answers: Answers::default(),
            fresh_requests: 0,
            step: 0,
            generation: 0,
            failed: None,
        }
    }

    /// True when the published snapshot is all there is.
    pub(super) fn is_clean(&self) -> bool {
        self.fresh.is_none() && self.flights.is_empty() && self.fresh_records.is_empty()
    }

    /// Size and shape after the newest step.
    pub(super) fn extent(&self) -> Extent {
        let flying = self.flights.back().map(|waiting| waiting.flight.layer.extent);
        self.fresh
            .as_ref()
            .map(|layer| layer.extent)
            .or(flying)
            .unwrap_or(self.base.extent)
    }

    /// The version that the newest flight makes.
    pub(super) fn version(&self) -> Version {
        self.flights
            .back()
            .map_or(self.base.version, |waiting| waiting.flight.version)
    }

    pub(super) fn chain(&self) -> Chain {
        self.flights
            .back()
            .map_or(self.base.chain, |waiting| waiting.flight.chain)
    }

    /// Everything that is there now, as the holder of the turn sees it.
    pub(super) fn view(&self, pages: &Arc<Pages>, patience: Patience) -> HeadView {
        HeadView {
            fresh: self.fresh.clone(),
            flights: self
                .flights
                .iter()
                .map(|waiting| Arc::clone(&waiting.flight))
                .collect(),
            base: Arc::clone(&self.base),
            extent: self.extent(),
            pages: Arc::clone(pages),
            patience,
        }
    }

    /// Adds what one SQLite transaction changed.
    pub(super) fn step(&mut self, batch: Batch) {
        let extent = Extent {
            page_count: batch.page_count,
            page_size: Some(batch.page_size),
        };
        let before = self.extent();
        let layer = self.fresh.get_or_insert_with(|| Layer {
            images: OrdMap::new(),
            limit: before.page_count,
            extent,
        });
        if batch.page_count < layer.extent.page_count.max(before.page_count) {
            let (kept, _) = layer.images.split(&(batch.page_count + 1));
            layer.images = kept;
        }
        layer.limit = layer.limit.min(batch.page_count);
        layer.extent = extent;
        for (no, image) in batch.pages {
            let before = layer.images.insert(no.get(), image);
            self.fresh_bytes += if before.is_some() {
                0
            } else {
                u64::from(batch.page_size.bytes())
            };
        }
        self.step += 1;
    }

    /// Adds a record that goes with the steps. It counts for the size of the entry: 256 merged requests may have 64 MiB
    /// of replies to keep.
    pub(super) fn remember(&mut self, record: Record) {
        self.fresh_bytes += (record.key.len() + record.value.len()) as u64;
        self.fresh_records.push(record);
    }

    /// Where the steps are now, so that the holder of the turn can undo its own.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            step: self.step,
            fresh: self.fresh.clone(),
            fresh_bytes: self.fresh_bytes,
        }
    }

    /// Drops the steps since `mark`. Only before they are proposed; whoever saw them must forget them. Numbers
    /// of steps are never used again.
    pub(super) fn undo(&mut self, mark: Mark) {
        self.fresh = mark.fresh;
        self.fresh_bytes = mark.fresh_bytes;
    }

    /// A record that is on its way, if there is one.
    pub(super) fn record(&self, key: &[u8]) -> Option<Bytes> {
        let flying = self
            .flights
            .iter()
            .rev()
            .flat_map(|waiting| waiting.flight.records.iter().rev());
        let mut newest = self.fresh_records.iter().rev().chain(flying);
        newest
            .find(|record| record.key == key)
            .map(|record| record.value.clone())
    }

    /// Records that are on their way to a version above `published`.
    pub(super) fn records_above(&self, published: Version) -> u64 {
        let flying = self
            .flights
            .iter()
            .filter(|waiting| waiting.flight.version > published)
            .map(|waiting| waiting.flight.records.len());
        (flying.sum::<usize>() + self.fresh_records.len()) as u64
    }

    /// What a page was before `fresh`, if it is in memory, and how long its chain of differences is then.
    pub(super) fn prior(&self, no: PageNo, size: usize, pages: &Pages) -> Option<(Image, u8)> {
        let zeros = || Some((zeros(size), 0));
        for waiting in self.flights.iter().rev() {
            let Flight { layer, depths, .. } = &*waiting.flight;
            if no.get() > layer.extent.page_count {
                return zeros();
            }
            if let Some(image) = layer.images.get(&no.get()) {
                return Some((image.clone(), depths.get(&no.get()).copied().unwrap_or(0)));
            }
            if no.get() > layer.limit {
                return zeros();
            }
        }
        match self.base.prior(no) {
            Prior::Zeros => zeros(),
            Prior::Slot(slot) => {
                let depth = if matches!(slot.content, Content::Delta { .. }) {
                    slot.depth
                } else {
                    0
                };
                Some((pages.in_memory(&self.base, no)?, depth))
            }
            Prior::Stored { .. } => Some((pages.in_memory(&self.base, no)?, 0)),
        }
    }

    /// `fresh` becomes a flight.
    pub(super) fn take_off(&mut self, layer: Layer, depths: BTreeMap<u32, u8>, chain: Chain) -> Arc<Flight> {
        let version = self.version().next();
        let records = std::mem::take(&mut self.fresh_records);
        let flight = Arc::new(Flight {
            version,
            layer,
            depths,
            records,
            chain,
        });
        let answers = std::mem::take(&mut self.fresh_answers);
        self.fresh_bytes = 0;
        self.fresh_requests = 0;
        self.flights.push_back(Waiting {
            flight: Arc::clone(&flight),
            answers,
            landed: false,
        });
        flight
    }

    /// Layers that the published snapshot has reached are let go.
    pub(super) fn rebase(&mut self, published: Arc<Snapshot>) {
        while self
            .flights
            .front()
            .is_some_and(|waiting| waiting.landed && waiting.flight.version <= published.version)
        {
            self.flights.pop_front();
        }
        // While a flight is in the air the base must be the version that it is on top of, or a later one
        // that holds it.
        self.base = published;
    }

    /// Drops everything above the published snapshot.
    pub(super) fn discard(&mut self, published: Arc<Snapshot>) {
        self.flights.clear();
        self.fresh = None;
        self.fresh_bytes = 0;
        self.fresh_requests = 0;
        self.fresh_records.clear();
        self.base = published;
        self.generation += 1;
        self.failed = None;
    }
}

/// The layers as they were when a transaction began.
#[derive(Debug)]
pub(super) struct HeadView {
    fresh: Option<Layer>,
    flights: Vec<Arc<Flight>>,
    base: Arc<Snapshot>,
    extent: Extent,
    pages: Arc<Pages>,
    patience: Patience,
}

impl View for HeadView {
    fn extent(&self) -> Extent {
        self.extent
    }

    fn page(&self, no: PageNo) -> Result<Image, ReadError> {
        let flying = self.flights.iter().rev().map(|flight| &flight.layer);
        for layer in self.fresh.iter().chain(flying) {
            if let Some(image) = layer.images.get(&no.get()) {
                return Ok(image.clone());
            }
            if no.get() > layer.limit {
                return Ok(self.zeros());
            }
        }
        if no.get() > self.base.extent.page_count {
            return Ok(self.zeros());
        }
        self.pages.read(&self.base, no, self.patience)
    }
}

impl HeadView {
    fn zeros(&self) -> Image {
        zeros(self.extent.page_size.map_or(0, |size| size.len()))
    }
}
