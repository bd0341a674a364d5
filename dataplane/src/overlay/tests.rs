//! Random histories of one database against a model that keeps every page of every version.

use super::{CHAIN_MAX, PageCache, Pages, Snapshot, sum};
use crate::base::{Bases, Checkpoint, Options, Writer};
use crate::entry::{Commit, CommitBody, PageChange, PageContent, Record};
use crate::page::{Delta, PageNo, checksum};
use crate::store::Store;
use bytes::Bytes;
use orion_api::{DatabaseId, Epoch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::Xxh3;

const PAGE: usize = 512;
const EPOCH: Epoch = Epoch(3);

/// Everything that one version holds.
#[derive(Clone, Debug, Default)]
struct Version {
    pages: Vec<Vec<u8>>,
    /// Values, and when they are over; 0 for never.
    records: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
}

struct Run<'a> {
    random: StdRng,
    runtime: &'a Runtime,
    bases: Arc<Bases>,
    pages: Arc<Pages>,
    database: DatabaseId,
    model: Version,
    current: Arc<Snapshot>,
    pinned: Vec<(Version, Arc<Snapshot>)>,
    /// Written, but not yet said by an entry: the checkpoint, its pages, and when it was made.
    stored: Option<(Checkpoint, u32, u64)>,
    now: u64,
    writer: Option<Writer>,
}

impl<'a> Run<'a> {
    fn new(runtime: &'a Runtime, seed: u64) -> Run<'a> {
        let mut random = StdRng::seed_from_u64(seed);
        let bases = Arc::new(Bases::new(Store::memory(), Options::default()));
        let database = DatabaseId::random();
        let pages = pages(&mut random, &bases, runtime);
        Run {
            random,
            runtime,
            bases,
            pages,
            database,
            model: Version::default(),
            current: Arc::new(Snapshot::empty(database, EPOCH)),
            pinned: Vec::new(),
            stored: None,
            now: 1000,
            writer: None,
        }
    }

    fn step(&mut self) {
        self.now += self.random.random_range(0..10);
        match self.random.random_range(0..100) {
            0..60 => self.commit(),
            60..70 => self.store(),
            70..85 => self.materialized(),
            85..93 => self.pin(),
            93..97 => {
                let restored = crate::group::tests::round_trip(&self.current);
                self.current = Arc::new(restored);
                self.pages = pages(&mut self.random, &self.bases, self.runtime);
            }
            _ => self.give_up(),
        }
    }

    fn commit(&mut self) {
        let before = self.model.clone();
        let count = before.pages.len();
        let next = match self.random.random_range(0..10) {
            0..5 => count.max(1),
            5..8 => count + self.random.random_range(1..8),
            _ => self.random.random_range(1..=count.max(1)),
        };
        self.model.pages.resize(next, vec![0; PAGE]);
        let mut changed: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        changed.insert(0, self.image(&before, 0));
        for _ in 0..self.random.random_range(0..6) {
            let at = self.random.random_range(0..next);
            changed.insert(at, self.image(&before, at));
        }
        let changes = changed
            .into_iter()
            .map(|(at, image)| {
                let change = self.change(&before, at, &image);
                self.model.pages[at] = image;
                change
            })
            .collect();
        let body = CommitBody {
            database: Bytes::copy_from_slice(self.database.as_bytes()),
            epoch: EPOCH.0,
            base_version: self.current.version.0,
            page_count: next as u32,
            page_size: PAGE as u32,
            pages: changes,
            records: self.records(),
            ..CommitBody::default()
        };
        let (_, chain) = Commit::link(self.current.chain, &body);
        let applied = self.current.apply(&body, &[], chain).expect("it applies");
        if self.random.random_bool(0.5) {
            // As on the node that proposed it.
            for change in &body.pages {
                let no = change.number().expect("a number");
                let image = Bytes::from(self.model.pages[no.get() as usize - 1].clone());
                self.pages
                    .cache
                    .put((self.database, EPOCH), no, applied.version, image);
            }
        }
        self.current = Arc::new(applied);
    }

    /// A new image for a page, sometimes much like the one before.
    fn image(&mut self, before: &Version, at: usize) -> Vec<u8> {
        let mut image = before.pages.get(at).cloned().unwrap_or_else(|| vec![0; PAGE]);
        if self.random.random_bool(0.3) {
            self.random.fill(&mut image[..]);
        }
        let start = self.random.random_range(0..PAGE - 16);
        self.random.fill(&mut image[start..start + 16]);
        image
    }

    fn change(&mut self, before: &Version, at: usize, image: &[u8]) -> PageChange {
        let no = PageNo::new(at as u32 + 1).expect("from 1");
        let zeros = vec![0; PAGE];
        let prior = before.pages.get(at).unwrap_or(&zeros);
        let depth = match self.current.prior(no) {
            super::Prior::Slot(slot) => slot.depth,
            super::Prior::Zeros | super::Prior::Stored { .. } => 0,
        };
        let delta = (depth < CHAIN_MAX && self.random.random_bool(0.8))
            .then(|| Delta::between(prior, image, PAGE / 2))
            .flatten();
        let content = match delta {
            Some(delta) => PageContent::Delta(delta.into()),
            None => PageContent::Image(Bytes::copy_from_slice(image)),
        };
        PageChange {
            number: no.get(),
            checksum: checksum(self.database, no, image).0,
            content: Some(content),
        }
    }

    fn records(&mut self) -> Vec<Record> {
        let many = self.random.random_range(0..3);
        let mut records = Vec::new();
        for _ in 0..many {
            let key = vec![b'k', self.random.random_range(0..6)];
            let value = vec![7; self.random.random_range(0..40)];
            if value.is_empty() {
                self.model.records.remove(&key);
            } else {
                self.model.records.insert(key.clone(), (value.clone(), 0));
            }
            records.push(Record {
                key: key.into(),
                value: value.into(),
                expires_at_ms: 0,
            });
        }
        let key = vec![b'i', self.random.random_range(0..12)];
        let is_live = |(_, over): &(Vec<u8>, u64)| *over > self.now;
        if !self.model.records.get(&key).is_some_and(is_live) {
            let value = self.now.to_be_bytes().to_vec();
            let over = self.now + self.random.random_range(1..300);
            self.model.records.insert(key.clone(), (value.clone(), over));
            records.push(Record {
                key: key.into(),
                value: value.into(),
                expires_at_ms: over,
            });
        }
        records
    }

    /// The materializer writes what is current; the entry that says so comes later.
    fn store(&mut self) {
        let newest = self.current.checkpoint.as_ref().map_or(0, |at| at.version.0);
        if self.stored.is_some() || self.current.version.0 <= newest {
            return;
        }
        let checkpoint = self.write();
        self.stored = Some((checkpoint, self.current.extent.page_count, self.now));
    }

    fn write(&mut self) -> Checkpoint {
        let (bases, database) = (Arc::clone(&self.bases), self.database);
        let (writer, now) = (&mut self.writer, self.now);
        self.runtime.block_on(async {
            if writer.is_none() {
                *writer = Some(bases.writer(database, EPOCH).await.expect("it opens"));
            }
            let writer = writer.as_mut().expect("just opened");
            crate::materialize::store(&self.pages, &self.current, writer, now)
                .await
                .expect("stored")
        })
    }

    fn materialized(&mut self) {
        if let Some((checkpoint, page_count, now)) = self.stored.take() {
            let next = self.current.materialized(Arc::new(checkpoint), page_count, now);
            self.current = Arc::new(next);
        }
    }

    /// An attempt that ends before its entry.
    fn give_up(&mut self) {
        self.stored = None;
        self.store();
        self.stored = None;
        if let Some(writer) = self.writer.take() {
            self.runtime.block_on(writer.close()).expect("it closes");
        }
    }

    fn pin(&mut self) {
        self.pinned.push((self.model.clone(), Arc::clone(&self.current)));
        if self.pinned.len() > 8 {
            let at = self.random.random_range(0..self.pinned.len());
            self.pinned.swap_remove(at);
        }
    }

    fn check(&self) {
        for (model, snapshot) in &self.pinned {
            self.check_one(model, snapshot);
        }
        self.check_one(&self.model, &self.current);
    }

    fn check_one(&self, model: &Version, snapshot: &Arc<Snapshot>) {
        assert_eq!(snapshot.extent.page_count as usize, model.pages.len());
        for (no, expected) in (1u32..).zip(&model.pages) {
            let no = PageNo::new(no).expect("from 1");
            let at = format!("page {no} of version {}", snapshot.version);
            if let Some(image) = self.pages.in_memory(snapshot, no) {
                assert!(image == expected, "{at} in memory");
            }
            let image = self.pages.page(snapshot, no).expect("it reads");
            assert!(image == expected, "{at}");
        }
        self.check_sum(model, snapshot);
        for key in 0..6 {
            let key = [b'k', key];
            let value = self.pages.record(snapshot, &key).expect("it reads");
            let expected = model.records.get(&key[..]);
            assert_eq!(value.as_deref(), expected.map(|(value, _)| &value[..]));
        }
        self.check_expiring(model, snapshot);
        let slots: u64 = snapshot.slots().map(|(_, slot)| slot.chain_bytes()).sum();
        let records = snapshot
            .records()
            .map(|(key, record)| key.len() + record.value.len());
        assert_eq!(snapshot.overlay_bytes, slots + records.sum::<usize>() as u64);
        for (no, slot) in snapshot.slots() {
            assert!(
                slot.depth <= CHAIN_MAX,
                "page {no} has {} differences",
                slot.depth
            );
            assert!(no.get() <= snapshot.extent.page_count, "a slot of page {no}");
        }
    }

    /// The sum of a version is that of its pages, wherever they are.
    fn check_sum(&self, model: &Version, snapshot: &Arc<Snapshot>) {
        let mut expected = Xxh3::new();
        let size = snapshot.extent.page_size.map_or(0, |size| size.bytes());
        expected.update(&size.to_be_bytes());
        expected.update(&(model.pages.len() as u32).to_be_bytes());
        for (no, page) in (1u32..).zip(&model.pages) {
            let no = PageNo::new(no).expect("from 1");
            expected.update(&checksum(self.database, no, page).0.to_be_bytes());
        }
        let found = self.runtime.block_on(sum(&self.pages, snapshot));
        assert_eq!(found.expect("it reads").0, expected.digest());
    }

    /// Records that are not over are there, as they were written, and are counted; of those that are over the
    /// base has none that was materialized since.
    fn check_expiring(&self, model: &Version, snapshot: &Snapshot) {
        let mut live = 0;
        for key in 0..12 {
            let key = [b'i', key];
            let value = self.pages.record(snapshot, &key).expect("it reads");
            let expected = model.records.get(&key[..]);
            if let Some((expected, _)) = expected.filter(|(_, over)| *over > self.now) {
                assert_eq!(value.as_deref(), Some(&expected[..]));
                live += 1;
            } else if let Some(value) = value {
                let known = expected.map(|(value, _)| &value[..]);
                assert_eq!(Some(&value[..]), known, "only the last one may be left");
            }
        }
        assert_eq!(snapshot.expiries.live(self.now), live);
    }

    fn materialize_everything(&mut self) {
        self.materialized();
        self.commit();
        self.store();
        self.materialized();
        let at = self.current.checkpoint.clone().expect("materialized");
        for key in 0..12 {
            let key = [b'i', key];
            let stored = self.runtime.block_on(self.bases.record(&at, &key));
            let expected = self.model.records.get(&key[..]);
            let expected = expected.filter(|(_, over)| *over > self.now);
            let expected = expected.map(|(value, _)| Bytes::copy_from_slice(value));
            assert_eq!(
                stored.expect("it reads"),
                expected,
                "nothing that is over is left"
            );
        }
        assert_eq!(self.current.expiries.over(self.now), 0);
        self.check();
        assert_eq!(self.current.overlay_bytes, 0);
        assert_eq!(self.current.changed_since, None);
    }
}

/// A small cache, so that images come from everywhere.
fn pages(random: &mut StdRng, bases: &Arc<Bases>, runtime: &Runtime) -> Arc<Pages> {
    let cache = PageCache::new(random.random_range(2_000..40_000));
    let handle = runtime.handle().clone();
    Arc::new(Pages::new(
        cache,
        Arc::clone(bases),
        handle,
        Duration::from_secs(30),
    ))
}

#[test]
fn every_page_of_every_pinned_version_is_what_was_committed() {
    let mut seeds = StdRng::seed_from_u64(crate::seed::seed());
    let runtime = Runtime::new().expect("a runtime");
    let deadline = Instant::now() + Duration::from_secs(8);
    while Instant::now() < deadline {
        let mut run = Run::new(&runtime, seeds.random());
        for step in 0..150 {
            run.step();
            if step % 10 == 0 {
                run.check();
            }
        }
        run.materialize_everything();
    }
}

/// A history that is written out: a page whose image is cached, cut off, there again without having been
/// written, materialized.
#[test]
fn a_page_that_exists_again_is_zeros_also_after_it_was_materialized() {
    let runtime = Runtime::new().expect("a runtime");
    let mut run = Run::new(&runtime, 1);
    let handle = runtime.handle().clone();
    run.pages = Arc::new(Pages::new(
        PageCache::new(1 << 20),
        Arc::clone(&run.bases),
        handle,
        Duration::from_secs(30),
    ));
    let commit = |run: &mut Run<'_>, page_count: u32, written: &[u32]| {
        let before = run.model.clone();
        run.model.pages.resize(page_count as usize, vec![0; PAGE]);
        let mut changes = Vec::new();
        for no in written {
            let image = vec![*no as u8 + 1; PAGE];
            changes.push(run.change(&before, *no as usize - 1, &image));
            run.model.pages[*no as usize - 1] = image;
        }
        let body = CommitBody {
            page_count,
            page_size: PAGE as u32,
            pages: changes,
            ..CommitBody::default()
        };
        let (_, chain) = Commit::link(run.current.chain, &body);
        run.current = Arc::new(run.current.apply(&body, &[], chain).expect("it applies"));
    };
    commit(&mut run, 5, &[1, 2, 3, 4, 5]);
    run.materialize_everything();
    // After a restart there are no slots: page 4 is cached as of the checkpoint.
    run.current = Arc::new(crate::group::tests::round_trip(&run.current));
    run.check();
    commit(&mut run, 2, &[1]);
    run.check();
    commit(&mut run, 5, &[1, 5]);
    run.check();
    run.materialize_everything();
    commit(&mut run, 5, &[4]);
    run.check();
    run.materialize_everything();
}
