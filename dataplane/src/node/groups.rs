//! Several groups in one process: each has a log, a leader and databases of its own; names and room are the node's.

use super::several::{free_address, options_of};
use super::tests::{materialize, options, run};
use super::{LifecycleError, Node, Options};
use crate::entry::Limits;
use orion_api::{Code, GroupName, Value};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn second() -> GroupName {
    "second".parse().expect("a name")
}

/// A node of the groups "default" and "second".
fn of_two(dir: &Path) -> Options {
    Options {
        more_groups: vec![second()],
        ..options(dir)
    }
}

async fn create(node: &Node, group: &GroupName, name: &str) {
    node.create(Some(group), name, Limits::default(), None)
        .await
        .expect("created");
    run(node, name, &["CREATE TABLE t (v)"]).await;
}

async fn count(node: &Node, name: &str) -> Value {
    let mut results = run(node, name, &["SELECT count(*) FROM t"]).await;
    results.remove(0).expect("it reads").rows.remove(0).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_a_node_have_databases_of_their_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let home = options(dir.path()).group;
    let node = Node::start(of_two(dir.path())).await.expect("starts");
    create(&node, &home, "app").await;
    create(&node, &second(), "other").await;
    for _ in 0..20 {
        run(&node, "app", &["INSERT INTO t VALUES (1)"]).await;
        run(
            &node,
            "other",
            &["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"],
        )
        .await;
    }
    materialize(&node, "other").await;
    run(&node, "other", &["INSERT INTO t VALUES (3)"]).await;
    let groups: Vec<_> = node
        .list(false)
        .into_iter()
        .map(|info| (info.name.to_string(), info.group))
        .collect();
    assert_eq!(
        groups,
        [("app".to_owned(), home.clone()), ("other".to_owned(), second())]
    );
    assert_eq!(node.home.list(true).len(), 1, "a group knows its own only");
    node.stop().await;
    drop(node);
    let node = Node::start(of_two(dir.path())).await.expect("starts again");
    assert_eq!(count(&node, "app").await, Value::Integer(20));
    assert_eq!(count(&node, "other").await, Value::Integer(41));
    node.drop_database("other").await.expect("dropped");
    assert_eq!(node.list(false).len(), 1);
    // The name is free for any group.
    create(&node, &home, "other").await;
    assert_eq!(node.get("other").expect("there").group, home);
    assert_eq!(count(&node, "other").await, Value::Integer(0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_one_databases_in_all_groups() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(of_two(dir.path())).await.expect("starts");
    create(&node, &second(), "app").await;
    let taken = node.create(None, "app", Limits::default(), None).await;
    assert!(matches!(taken, Err(LifecycleError::Exists(_))), "{taken:?}");
    let nowhere = "nowhere".parse().expect("a name");
    let missing = node.create(Some(&nowhere), "new", Limits::default(), None).await;
    assert_eq!(missing.expect_err("no such group").code(), Code::NotFound);
    let limits = |_: &Limits| Limits {
        streams: 3,
        ..Limits::default()
    };
    let changed = node.change_limits("app", limits).await.expect("changed");
    assert_eq!((changed.group, changed.limits.streams), (second(), 3));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_two_groups_is_read_again_by_each() {
    let dir = tempfile::tempdir().expect("a folder");
    let home = options(dir.path()).group;
    let node = Node::start(of_two(dir.path())).await.expect("starts");
    create(&node, &home, "one").await;
    create(&node, &second(), "two").await;
    for group in node.groups.all().iter() {
        // It takes no snapshot at the stop.
        group.stop().await;
    }
    node.stop().await;
    drop(node);
    // Only one of them now: what is the other's stays where it is.
    let node = Node::start(options(dir.path())).await.expect("starts with one");
    assert_eq!(node.list(false).len(), 1);
    run(&node, "one", &["INSERT INTO t VALUES (1)"]).await;
    node.stop().await;
    drop(node);
    let node = Node::start(of_two(dir.path())).await.expect("starts with both");
    assert_eq!(count(&node, "one").await, Value::Integer(1));
    assert_eq!(count(&node, "two").await, Value::Integer(0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overlays_of_all_groups_share_the_nodes_room() {
    const ROOM: u64 = 2 << 20;
    let dir = tempfile::tempdir().expect("a folder");
    let home = options(dir.path()).group;
    let mut options = of_two(dir.path());
    // Nothing is materialized but for want of room.
    (options.flush_bytes, options.flush_age) = (1 << 30, Duration::from_secs(3600));
    options.overlay_node_bytes = ROOM;
    options.database.overlay_node_bytes = ROOM;
    let node: Arc<Node> = Node::start(options).await.expect("starts");
    create(&node, &home, "small").await;
    create(&node, &second(), "large").await;
    run(&node, "large", &["INSERT INTO t VALUES (randomblob(3000000))"]).await;
    let written = run(&node, "small", &["INSERT INTO t VALUES (1)"]).await;
    assert!(written[0].is_ok(), "{written:?}");
    assert!(
        node.groups.overlay_bytes() < ROOM,
        "the write waited until the other group had made room"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_group_keeps_no_log_of_a_busy_one() {
    const SEGMENT: u64 = 1 << 20;
    let dir = tempfile::tempdir().expect("a folder");
    // With other nodes to be: the log is kept for members that lag.
    let mut options = options_of(dir.path(), &[free_address()], 0);
    options.more_groups = vec![second()];
    options.log.segment_bytes = SEGMENT;
    options.snapshot_log_bytes = 2 * SEGMENT;
    options.snapshot_age = Duration::from_secs(1);
    let home = options.group.clone();
    let node = Node::start(options).await.expect("starts");
    for group in node.groups.all().iter() {
        group.wait_until_serving().await.expect("it leads alone");
    }
    create(&node, &second(), "idle").await;
    create(&node, &home, "busy").await;
    for _ in 0..40 {
        run(
            &node,
            "busy",
            &["INSERT INTO t VALUES (randomblob(500000))", "DELETE FROM t"],
        )
        .await;
    }
    // Twenty segments of it, of which the busy group needs a few.
    let shrinks = async {
        while node.disk().disk_bytes() > 10 * SEGMENT {
            tokio::time::sleep(Duration::from_millis(50)).await;
            run(
                &node,
                "busy",
                &["INSERT INTO t VALUES (randomblob(100000))", "DELETE FROM t"],
            )
            .await;
        }
    };
    let shrunk = tokio::time::timeout(Duration::from_secs(30), shrinks).await;
    assert!(shrunk.is_ok(), "{} bytes of log", node.disk().disk_bytes());
    node.stop().await;
}
