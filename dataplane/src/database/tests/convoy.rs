//! Transactions that go in parts.

use super::{Setup, until};
use crate::database::convoy::Convoy;
use crate::entry::{PageChange, PageContent, Pages};
use bytes::Bytes;
use orion_api::Code;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

impl Setup {
    /// Parts with these numbers of one transaction, of a page each.
    fn parts(&self, numbers: &[u32]) -> Vec<Pages> {
        let part = |number: &u32| Pages {
            database: Bytes::copy_from_slice(self.database.id().as_bytes()),
            epoch: self.database.entry.epoch.0,
            transaction: 7,
            part: *number,
            pages: vec![PageChange {
                number: number + 1,
                checksum: 0,
                content: Some(PageContent::Image(Bytes::from_static(&[1; 4096]))),
            }],
        };
        numbers.iter().map(part).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_convoy_ends_with_the_first_part_that_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let group = &setup.node.home.group;
    let arrivals = Arc::<AtomicU64>::default();
    let (sender, ended) = oneshot::channel();
    let parts = setup.parts(&[0, 1, 9, 2, 3, 4, 5]);
    Convoy::set_out(Arc::clone(group), Arc::clone(&arrivals), parts, move |way| {
        drop(sender.send(way));
    });
    let error = ended.await.expect("once").expect_err("the third part is refused");
    assert_eq!(error.code, Code::NotLeader, "nothing was applied: {error:?}");
    assert!(
        arrivals.load(Ordering::Relaxed) <= 3,
        "and what was in the air with it"
    );
    until("the parts are dropped", || {
        setup.database.entry.pages_in_parts() == 0
    })
    .await;
    // The next one is a transaction like any other.
    setup
        .run(&["INSERT INTO t (v) VALUES (randomblob(3000000))"])
        .await;
    assert_eq!(setup.number("SELECT length(v) FROM t").await, 3_000_000);
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_convoy_ends_when_all_parts_are_proposed() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let arrivals = Arc::<AtomicU64>::default();
    let (sender, ended) = oneshot::channel();
    let numbers: Vec<u32> = (0..50).collect();
    let (group, parts) = (Arc::clone(&setup.node.home.group), setup.parts(&numbers));
    Convoy::set_out(group, Arc::clone(&arrivals), parts, move |way| {
        drop(sender.send(way))
    });
    ended.await.expect("once").expect("all are taken");
    until("all are there", || setup.database.entry.pages_in_parts() == 50).await;
    assert_eq!(arrivals.load(Ordering::Relaxed), 50);
    setup.node.stop().await;
}
