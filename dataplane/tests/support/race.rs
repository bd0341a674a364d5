//! Many who claim one name at once.

use bytes::Bytes;
use futures::future::join_all;
use object_store::path::Path;
use orion::store::{PutOutcome, Store};

/// Puts `path` as so many rivals at once: exactly one of them creates it, and all others learn what it put.
pub async fn exactly_one_wins(store: &Store, path: &Path, rivals: usize) {
    let put = |rival: usize| store.put_if_absent(path, Bytes::from(format!("rival {rival}")));
    let outcomes = join_all((0..rivals).map(put)).await;
    let stored = store.get(path).await.expect("get").expect("one won");
    let mut created = 0;
    for (rival, outcome) in outcomes.into_iter().enumerate() {
        match outcome.expect("no trouble") {
            PutOutcome::Created | PutOutcome::Ours => {
                assert_eq!(stored, format!("rival {rival}"));
                created += 1;
            }
            PutOutcome::Exists(found) => assert_eq!(found, stored),
        }
    }
    assert_eq!(created, 1);
}
