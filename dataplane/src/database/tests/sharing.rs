//! Shared connections: no request sees what another left behind.

use super::{Setup, number};

#[tokio::test(flavor = "multi_thread")]
async fn counters_of_the_connection_are_the_requests_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let insert = "INSERT INTO t (id, v) VALUES (NULL, 1), (NULL, 2)";
    for round in 0..5 {
        setup.run(&[insert]).await;
        for sql in [
            "SELECT last_insert_rowid()",
            "SELECT changes()",
            "SELECT total_changes()",
        ] {
            assert_eq!(setup.number(sql).await, 0, "{sql} alone, round {round}");
        }
        let own = setup
            .run(&[
                "INSERT INTO t (v) VALUES (3)",
                "SELECT last_insert_rowid() = (SELECT max(id) FROM t)",
                "SELECT changes()",
            ])
            .await;
        assert_eq!((number(&own[1]), number(&own[2])), (1, 1), "round {round}");
    }
    setup.node.stop().await;
}

/// Known to write, so that all of them run on the shared writer, one client after the other.
#[tokio::test(flavor = "multi_thread")]
async fn counters_before_the_first_write_are_those_of_a_fresh_connection() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    setup
        .run(&[
            "CREATE VIEW counters AS SELECT last_insert_rowid() + changes() + total_changes() AS sum",
            "CREATE TABLE seen (rowid_, changes_ DEFAULT (changes()), total DEFAULT (total_changes()))",
            "CREATE TRIGGER see AFTER UPDATE ON t BEGIN INSERT INTO seen (rowid_) VALUES (last_insert_rowid()); END",
        ])
        .await;
    const ASKED: &str = "SELECT last_insert_rowid() + changes() + total_changes()";
    let insert = "INSERT INTO t (v) VALUES (1), (2), (3)";
    let update = "UPDATE t SET v = 4 WHERE id = 1";
    for round in 0..5 {
        setup.run(&[ASKED, "SELECT sum FROM counters", insert]).await;
        let own = setup
            .run(&[
                ASKED,
                "SELECT sum FROM counters",
                "UPDATE t SET v = 0 WHERE 0",
                ASKED,
                insert,
                "SELECT last_insert_rowid() = (SELECT max(id) FROM t)",
                "SELECT changes()",
                "SELECT total_changes()",
                "UPDATE t SET v = 0 WHERE 0",
                "SELECT changes()",
                "SELECT total_changes()",
            ])
            .await;
        let own = [0, 1, 3, 5, 6, 7, 9, 10].map(|statement| number(&own[statement]));
        assert_eq!(own, [0, 0, 0, 1, 3, 3, 0, 3], "round {round}");
        let updated = setup.run(&[update]).await.remove(0).expect("updated");
        assert_eq!(
            updated.last_insert_rowid,
            Some(0),
            "the trigger's is the trigger's"
        );
        let seen = "SELECT sum(rowid_ + changes_ + total) FROM seen";
        assert_eq!(
            setup.number(seen).await,
            0,
            "in a trigger and in defaults, round {round}"
        );
    }
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_tables_do_not_outlive_their_request() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    for _ in 0..5 {
        let results = setup
            .run(&[
                "CREATE TEMP TABLE own (a)",
                "INSERT INTO own VALUES (1)",
                "INSERT INTO t (v) SELECT a FROM own",
            ])
            .await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        for sql in ["SELECT count(*) FROM own", "INSERT INTO t (v) SELECT a FROM own"] {
            let results = setup.run(&[sql]).await;
            assert!(results[0].is_err(), "{sql}: {results:?}");
        }
    }
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pragmas_do_not_outlive_their_request() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    let asked = "SELECT foreign_keys * 10 + (SELECT recursive_triggers FROM pragma_recursive_triggers) FROM pragma_foreign_keys";
    let before = setup.number(asked).await;
    for round in 0..5 {
        setup
            .run(&[
                "PRAGMA foreign_keys = 1",
                "PRAGMA recursive_triggers = 1",
                "INSERT INTO t (v) VALUES (1)",
            ])
            .await;
        setup
            .run(&["PRAGMA foreign_keys = 0", "PRAGMA recursive_triggers = 1"])
            .await;
        assert_eq!(setup.number(asked).await, before, "on a reader, round {round}");
        let results = setup.run(&[asked, "INSERT INTO t (v) VALUES (1)"]).await;
        assert_eq!(number(&results[0]), before, "on the writer, round {round}");
    }
    setup.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_left_open_is_rolled_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::start(dir.path(), |_| {}).await;
    for _ in 0..3 {
        setup.run(&["BEGIN", "INSERT INTO t (v) VALUES (1)"]).await;
        assert_eq!(setup.number("SELECT count(*) FROM t").await, 0);
    }
    setup.node.stop().await;
}
