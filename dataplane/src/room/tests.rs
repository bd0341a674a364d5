//! Laws of the room: limits hold, everything comes back, nobody waits for ever.

use super::*;
use futures::future::join_all;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;

#[tokio::test]
async fn small_requests_wait_for_nobody() {
    let room = Room::new(MIB, 0, LONG);
    let mut large = Share::of(&room);
    large.take(MIB + GRAIN).await.expect("room");
    let mut waiting = Share::of(&room);
    assert!(!waiting.try_take(GRAIN + 1));
    let mut small = Share::of(&room);
    assert!(small.try_take(GRAIN));
    small.cover(GRAIN);
    assert!(small.is_free());
}

#[tokio::test]
async fn everything_comes_back() {
    let room = Room::new(MIB, 0, LONG);
    let mut share = Share::of(&room);
    share.take(MIB / 2).await.expect("room");
    assert!(share.try_take(GRAIN));
    assert!(room.used() > 0);
    drop(share);
    let mut covered = Share::of(&room);
    covered.cover(3 * MIB);
    assert_eq!(room.used(), 3 * MIB - GRAIN, "what is there is counted");
    assert!(!Share::of(&room).try_take(2 * GRAIN));
    covered.cover(5);
    assert_eq!(room.used(), 0);
    drop(covered);
    assert_eq!((room.used(), room.line()), (0, 0));
}

#[tokio::test]
async fn the_line_is_served_in_its_order() {
    let room = Room::new(4 * MIB, 0, LONG);
    let mut first = Share::of(&room);
    first.take(4 * MIB).await.expect("room");
    let order = Arc::new(Mutex::new(Vec::new()));
    let waits = (0..4).map(|number| {
        let (room, order) = (Arc::clone(&room), Arc::clone(&order));
        async move {
            let mut share = Share::of(&room);
            // The second asks for little, and gets it no sooner.
            let bytes = if number == 1 { 2 * GRAIN } else { 3 * MIB };
            share.take(bytes).await.expect("its turn comes");
            order.lock().push(number);
        }
    });
    let release = async {
        while room.line() < 4 {
            tokio::task::yield_now().await;
        }
        assert!(!Share::of(&room).try_take(2 * GRAIN), "nobody passes the line");
        drop(first);
    };
    tokio::join!(join_all(waits), release);
    assert_eq!(*order.lock(), [0, 1, 2, 3]);
    assert_eq!(room.used(), 0);
}

#[tokio::test]
async fn who_waits_too_long_or_leaves_is_out_of_the_line() {
    let room = Room::new(MIB, 0, Duration::from_millis(1));
    let mut large = Share::of(&room);
    large.take(MIB).await.expect("room");
    let mut late = Share::of(&room);
    assert_eq!(late.take(MIB).await, Err(Full));
    assert_eq!(room.line(), 0);
    let mut leaving = Share::of(&room);
    assert!(
        futures::poll!(std::pin::pin!(leaving.take(MIB))).is_pending(),
        "no room"
    );
    drop(leaving);
    assert_eq!(room.line(), 0);
    drop(large);
    late.take(MIB).await.expect("room again");
    assert_eq!(room.counts(), (2, 1));
}

/// Bodies of 2 MiB that come in pieces, many more than there is room for, each with a half before any goes on.
#[tokio::test]
async fn halves_that_wait_for_each_other_all_get_their_turn() {
    let room = Room::new(8 * MIB, 2 * MIB, LONG);
    let bodies = (0..40).map(|_| {
        let room = Arc::clone(&room);
        async move {
            let mut share = Share::of(&room);
            for _ in 0..32 {
                share.take(MIB / 16).await.expect("its turn comes");
                assert!(room.used() <= 8 * MIB);
                tokio::task::yield_now().await;
            }
        }
    });
    join_all(bodies).await;
    assert!(room.counts().0 > 0, "they had to wait");
    assert_eq!((room.used(), room.line()), (0, 0));
}
