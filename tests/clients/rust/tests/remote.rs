//! The Rust `libsql` crate, remote: statements, values, batches, transactions, errors.

mod support;

use anyhow::{Context, Result};
use libsql::{Connection, TransactionBehavior, Value, named_params, params};
use support::{connection, database, row};

async fn there_and_back(connection: &Connection, sent: Value) -> Result<(Value, String)> {
    let mut rows = connection.query("SELECT ?1, typeof(?1)", params![sent]).await?;
    let found = rows.next().await?.context("no row")?;
    Ok((found.get_value(0)?, found.get(1)?))
}

async fn with_table() -> Result<Connection> {
    let connection = connection().await?;
    connection
        .execute("CREATE TABLE x (id INTEGER PRIMARY KEY, v UNIQUE)", ())
        .await?;
    Ok(connection)
}

async fn count(connection: &Connection) -> Result<i64> {
    Ok(row(connection, "SELECT count(*) FROM x").await?.get(0)?)
}

#[tokio::test]
async fn values_come_back_as_they_were() -> Result<()> {
    let connection = connection().await?;
    let all: Vec<u8> = (0..=255).collect();
    for (sent, kind) in [
        (Value::Null, "null"),
        (Value::Integer(0), "integer"),
        (Value::Integer(i64::MAX), "integer"),
        (Value::Integer(i64::MIN), "integer"),
        (Value::Integer((1 << 53) + 1), "integer"),
        (Value::Real(0.1), "real"),
        (Value::Real(f64::MAX), "real"),
        (Value::Real(f64::MIN_POSITIVE), "real"),
        (Value::Real(1.0), "real"),
        (Value::Text(String::new()), "text"),
        (Value::Text("Grüße 👩‍👩‍👧‍👦 a\0b \u{10ffff}".into()), "text"),
        (Value::Blob(Vec::new()), "blob"),
        (Value::Blob(vec![0]), "blob"),
        (Value::Blob(vec![0, 255]), "blob"),
        (Value::Blob(all), "blob"),
    ] {
        let back = there_and_back(&connection, sent.clone()).await?;
        assert_eq!(back, (sent, kind.to_owned()));
    }
    Ok(())
}

#[tokio::test]
async fn large_blobs_are_whole() -> Result<()> {
    let connection = with_table().await?;
    let blob: Vec<u8> = (0..8_u32 << 20)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    connection
        .execute("INSERT INTO x (v) VALUES (?)", params![blob.clone()])
        .await?;
    let back: Vec<u8> = row(&connection, "SELECT v FROM x").await?.get(0)?;
    assert!(back == blob, "{} bytes came back", back.len());
    Ok(())
}

#[tokio::test]
async fn arguments_by_position_and_by_name() -> Result<()> {
    let connection = connection().await?;
    let mut rows = connection.query("SELECT ?2, ?1", params!["a", 5]).await?;
    let found = rows.next().await?.context("no row")?;
    assert_eq!(
        (found.get::<i64>(0)?, found.get::<String>(1)?),
        (5, "a".to_owned())
    );
    let named = named_params! { ":a": 7, "@b": "seven" };
    let mut rows = connection.query("SELECT :a, @b, :a", named).await?;
    let found = rows.next().await?.context("no row")?;
    assert_eq!(
        (
            found.get::<i64>(0)?,
            found.get::<String>(1)?,
            found.get::<i64>(2)?
        ),
        (7, "seven".to_owned(), 7)
    );
    Ok(())
}

#[tokio::test]
async fn writes_tell_rows_and_rowid() -> Result<()> {
    let connection = with_table().await?;
    assert_eq!(
        connection
            .execute("INSERT INTO x VALUES (41, 'a'), (42, 'b')", ())
            .await?,
        2
    );
    assert_eq!(connection.last_insert_rowid(), 42);
    assert_eq!(connection.changes(), 2);
    assert_eq!(connection.execute("UPDATE x SET v = id", ()).await?, 2);
    let returned: i64 = row(&connection, "INSERT INTO x (v) VALUES ('c') RETURNING id")
        .await?
        .get(0)?;
    assert_eq!(returned, 43);
    Ok(())
}

#[tokio::test]
async fn rows_have_names_and_an_order() -> Result<()> {
    let connection = with_table().await?;
    for v in 0..500 {
        connection.execute("INSERT INTO x (v) VALUES (?)", [v]).await?;
    }
    let mut rows = connection
        .query("SELECT id AS num, v FROM x ORDER BY id DESC", ())
        .await?;
    assert_eq!(
        (rows.column_count(), rows.column_name(0), rows.column_name(1)),
        (2, Some("num"), Some("v"))
    );
    let mut seen = Vec::new();
    while let Some(row) = rows.next().await? {
        seen.push(row.get::<i64>(1)?);
    }
    assert_eq!(seen, (0..500).rev().collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_prepared_statement_runs_many_times() -> Result<()> {
    let connection = with_table().await?;
    let insert = connection.prepare("INSERT INTO x (v) VALUES (?)").await?;
    for v in 1..=5_i64 {
        assert_eq!(insert.execute([v]).await?, 1);
    }
    let mut select = connection
        .prepare("SELECT sum(v) AS total FROM x WHERE v >= ?")
        .await?;
    assert_eq!(select.columns()[0].name(), "total");
    assert_eq!(select.query_row([3_i64]).await?.get::<i64>(0)?, 12);
    Ok(())
}

#[tokio::test]
async fn a_batch_runs_all_and_a_transactional_one_all_or_nothing() -> Result<()> {
    let connection = with_table().await?;
    connection
        .execute_batch("INSERT INTO x (v) VALUES (1); INSERT INTO x (v) VALUES (2)")
        .await?;
    assert_eq!(count(&connection).await?, 2);
    let half = "INSERT INTO x (v) VALUES (3); INSERT INTO x (v) VALUES (1); INSERT INTO x (v) VALUES (4)";
    let error = connection
        .execute_transactional_batch(half)
        .await
        .map(drop)
        .expect_err("a constraint");
    assert!(
        error.to_string().contains("UNIQUE constraint failed: x.v"),
        "{error}"
    );
    assert_eq!(count(&connection).await?, 2);
    connection
        .execute_transactional_batch("INSERT INTO x (v) VALUES (3); INSERT INTO x (v) VALUES (4)")
        .await?;
    assert_eq!(count(&connection).await?, 4);
    Ok(())
}

#[tokio::test]
async fn triggers_and_scripts_keep_their_semicolons() -> Result<()> {
    let connection = connection().await?;
    connection
        .execute_batch(
            "CREATE TABLE a (v); CREATE TABLE log (v);
             CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO log VALUES (new.v); INSERT INTO log VALUES (';'); END;
             INSERT INTO a VALUES ('x;y');",
        )
        .await?;
    assert_eq!(
        row(&connection, "SELECT count(*) FROM log")
            .await?
            .get::<i64>(0)?,
        2
    );
    Ok(())
}

#[tokio::test]
async fn a_transaction_is_seen_from_its_commit_on() -> Result<()> {
    let connection = with_table().await?;
    for behavior in [
        TransactionBehavior::Deferred,
        TransactionBehavior::Immediate,
        TransactionBehavior::Exclusive,
    ] {
        let before = count(&connection).await?;
        let transaction = connection.transaction_with_behavior(behavior).await?;
        transaction.execute("INSERT INTO x DEFAULT VALUES", ()).await?;
        transaction.execute("INSERT INTO x DEFAULT VALUES", ()).await?;
        assert_eq!(count(&transaction).await?, before + 2);
        assert_eq!(count(&connection).await?, before);
        transaction.commit().await?;
        assert_eq!(count(&connection).await?, before + 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_rollback_or_a_dropped_transaction_leaves_nothing() -> Result<()> {
    let connection = with_table().await?;
    let transaction = connection.transaction().await?;
    transaction.execute("INSERT INTO x (v) VALUES (1)", ()).await?;
    transaction.rollback().await?;
    assert_eq!(count(&connection).await?, 0);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .await?;
    transaction.execute("INSERT INTO x (v) VALUES (1)", ()).await?;
    drop(transaction);
    // It waits for the turn, which comes free when the dropped one is rolled back.
    connection.execute("INSERT INTO x (v) VALUES (2)", ()).await?;
    assert_eq!(row(&connection, "SELECT v FROM x").await?.get::<i64>(0)?, 2);
    Ok(())
}

#[tokio::test]
async fn a_read_only_transaction_keeps_its_state_and_refuses_writes() -> Result<()> {
    let connection = with_table().await?;
    let reader = connection
        .transaction_with_behavior(TransactionBehavior::ReadOnly)
        .await?;
    assert_eq!(count(&reader).await?, 0);
    connection.execute("INSERT INTO x (v) VALUES (1)", ()).await?;
    assert_eq!(count(&reader).await?, 0);
    let error = reader
        .execute("INSERT INTO x (v) VALUES (2)", ())
        .await
        .expect_err("it only reads");
    assert!(error.to_string().contains("SQLITE_READONLY"), "{error}");
    reader.commit().await?;
    assert_eq!(count(&connection).await?, 1);
    Ok(())
}

#[tokio::test]
async fn begin_and_commit_as_statements_make_a_transaction() -> Result<()> {
    let database = database().await?;
    let (connection, other) = (database.connect()?, database.connect()?);
    connection.execute("CREATE TABLE x (v)", ()).await?;
    assert!(connection.is_autocommit());
    connection.execute("BEGIN IMMEDIATE", ()).await?;
    assert!(!connection.is_autocommit());
    connection.execute("INSERT INTO x VALUES (1)", ()).await?;
    assert_eq!(count(&other).await?, 0);
    connection.execute("COMMIT", ()).await?;
    assert!(connection.is_autocommit());
    assert_eq!(count(&other).await?, 1);
    Ok(())
}

#[tokio::test]
async fn writers_take_turns() -> Result<()> {
    let database = database().await?;
    let connection = database.connect()?;
    connection
        .execute_batch("CREATE TABLE n (v INTEGER); INSERT INTO n VALUES (0)")
        .await?;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let connection = database.connect()?;
        writers.spawn(async move {
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .await?;
            let v: i64 = row(&transaction, "SELECT v FROM n").await?.get(0)?;
            transaction.execute("UPDATE n SET v = ?", [v + 1]).await?;
            anyhow::Ok(transaction.commit().await?)
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    assert_eq!(row(&connection, "SELECT v FROM n").await?.get::<i64>(0)?, 8);
    Ok(())
}

#[tokio::test]
async fn errors_say_what_is_wrong() -> Result<()> {
    let connection = with_table().await?;
    connection.execute("INSERT INTO x VALUES (1, 1)", ()).await?;
    for (sql, expected) in [
        ("INSERT INTO x VALUES (1, 2)", "UNIQUE constraint failed: x.id"),
        ("INSERT INTO x VALUES (1, 2)", "SQLITE_CONSTRAINT"),
        ("SELECT * FROM missing", "no such table: missing"),
        ("SELECT missing FROM x", "no such column: missing"),
        ("ATTACH ':memory:' AS other", "not allowed"),
    ] {
        let error = connection.execute(sql, ()).await.expect_err(sql);
        assert!(error.to_string().contains(expected), "{sql}: {error}");
        assert!(connection.query(sql, ()).await.is_err(), "{sql} as a query");
    }
    assert_eq!(count(&connection).await?, 1, "the connection goes on");
    Ok(())
}
