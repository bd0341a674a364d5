//! Random SQLite transactions, as the VFS hands them over, from the writer's head through entries and the
//! state machine to the published version, against a model of all pages.

use super::super::backend::ConnectionBackend;
use super::super::queue::Holder;
use super::Setup;
use crate::entry::Limits;
use crate::node::Node;
use crate::node::tests::options;
use crate::overlay::{PageCache, Pages, Snapshot};
use crate::page::{PageNo, PageSize};
use crate::vfs::{Backend, Batch, View};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const PAGE: usize = 512;

/// A transaction that brings the database to `count` pages, and the model with it.
fn batch(random: &mut StdRng, model: &mut Vec<Vec<u8>>, count: usize) -> Batch {
    model.resize(count, vec![0; PAGE]);
    let mut pages = BTreeMap::new();
    let written =
        std::iter::once(0).chain((0..random.random_range(0..5)).map(|_| random.random_range(0..count)));
    for at in written.collect::<Vec<_>>() {
        if random.random_bool(0.3) {
            random.fill(&mut model[at][..]);
        }
        let start = random.random_range(0..PAGE - 8);
        random.fill(&mut model[at][start..start + 8]);
        pages.insert(at, Bytes::from(model[at].clone()));
    }
    let numbered = |(at, image)| Some((PageNo::new(at as u32 + 1)?, image));
    Batch {
        page_count: count as u32,
        page_size: PageSize::new(PAGE as u32).expect("a size"),
        pages: pages.into_iter().filter_map(numbered).collect(),
    }
}

fn check_view(view: &dyn View, model: &[Vec<u8>], what: &str) {
    assert_eq!(view.extent().page_count as usize, model.len(), "{what}");
    for (no, expected) in (1u32..).zip(model) {
        let image = view.page(PageNo::new(no).expect("from 1")).expect("it reads");
        assert!(image[..] == expected[..], "page {no}, {what}");
    }
}

fn check_published(pages: &Pages, snapshot: &Snapshot, model: &[Vec<u8>]) {
    assert_eq!(snapshot.extent.page_count as usize, model.len());
    for (no, expected) in (1u32..).zip(model) {
        let no = PageNo::new(no).expect("from 1");
        let image = pages.page(snapshot, no).expect("it reads");
        assert!(
            image[..] == expected[..],
            "page {no} of version {}",
            snapshot.version
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_writer_saw_is_what_all_members_have() {
    let mut random = StdRng::seed_from_u64(crate::seed::seed());
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = options(dir.path());
    // Some entries are too large, so that they go in parts.
    options.database.entry_bytes = 4 << 10;
    let node = Node::start(options).await.expect("starts");
    node.create(None, "app", Limits::default(), None)
        .await
        .expect("created");
    let setup = Setup::of(node);
    let queue = &setup.database.queue;
    let mut model: Vec<Vec<u8>> = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(6);
    let mut visible = Vec::new();
    let mut open = None;
    while Instant::now() < deadline {
        let turn = queue.turn().expect("queued").await.expect("the turn");
        let backend = ConnectionBackend::new(Arc::clone(queue));
        backend.set_turn(true);
        for _ in 0..random.random_range(1..5) {
            let count = match random.random_range(0..4) {
                0 => random.random_range(1..=model.len().max(1)),
                1 => model.len() + random.random_range(1..12),
                _ => model.len().max(1),
            };
            let count = count.min(60);
            let view = tokio::task::block_in_place(|| backend.begin()).expect("it begins");
            tokio::task::block_in_place(|| check_view(&*view, &model, "before a step"));
            let view = backend
                .commit(batch(&mut random, &mut model, count))
                .expect("it commits");
            tokio::task::block_in_place(|| check_view(&*view, &model, "after a step"));
        }
        let (sender, applied) = oneshot::channel();
        queue.answer_when_visible(Holder::Stream, Box::new(move |at| drop(sender.send(at))));
        visible.push(applied);
        drop(turn);
        // Often the next ones go on while these are in the air.
        if random.random_bool(0.3) {
            for applied in visible.drain(..) {
                applied.await.expect("an answer").expect("applied");
            }
            let snapshot = setup.database.entry.published.load_full();
            let bases = Arc::clone(&setup.node.home.group.pages.bases);
            let handle = tokio::runtime::Handle::current();
            // Without the images that only the proposing node has.
            let cold = Pages::new(PageCache::new(1 << 20), bases, handle, Duration::from_secs(10));
            let expected = model.clone();
            tokio::task::spawn_blocking(move || check_published(&cold, &snapshot, &expected))
                .await
                .expect("as the model says");
        }
        if random.random_bool(0.05) {
            let entry = setup.node.home.group.catalog.find("app").expect("there");
            crate::materialize::materialize(&setup.node.home.group, &entry, &mut open)
                .await
                .expect("materialized");
        }
    }
    setup.node.stop().await;
}
