"""The Python package `libsql`, remote: values, statements, transactions, errors."""

import libsql
import pytest


@pytest.fixture
def table(connection):
    connection.execute("CREATE TABLE x (id INTEGER PRIMARY KEY, v UNIQUE)")
    connection.commit()
    return connection


def count(connection):
    return connection.execute("SELECT count(*) FROM x").fetchone()[0]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (0, "integer"),
        (-1, "integer"),
        (2**31 - 1, "integer"),
        (-(2**31), "integer"),
        (0.1, "real"),
        (1.0, "real"),
        (1.7976931348623157e308, "real"),
        (5e-324, "real"),
        ("", "text"),
        ("Grüße 👩‍👩‍👧‍👦 \U0010ffff", "text"),
        ("a\0b", "text"),
        (b"", "blob"),
        (b"\x00", "blob"),
        (bytes(range(256)), "blob"),
    ],
)
def test_values_come_back_as_they_were(connection, value, kind):
    back = connection.execute("SELECT ?1, typeof(?1)", (value,)).fetchone()
    assert back == (value, kind)
    assert type(back[0]) is type(value)


def test_large_integers_come_back_whole(connection):
    # As an argument this client makes a float of what does not fit into 32 bits, so they go as SQL here.
    row = connection.execute("SELECT 9223372036854775807, -9223372036854775808, 9007199254740993").fetchone()
    assert row == (2**63 - 1, -(2**63), 2**53 + 1)
    row = connection.execute("SELECT CAST(? AS INTEGER)", (str(2**63 - 1),)).fetchone()
    assert row == (2**63 - 1,)


def test_large_blobs_are_whole(table):
    blob = bytes((at * 2654435761 >> 24) & 255 for at in range(4 << 20))
    table.execute("INSERT INTO x (v) VALUES (?)", (blob,))
    table.commit()
    assert table.execute("SELECT v FROM x").fetchone()[0] == blob


def test_columns_and_rows(connection):
    cursor = connection.execute("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y' UNION ALL SELECT 3, 'z'")
    assert [column[0] for column in cursor.description] == ["a", "b"]
    assert cursor.fetchone() == (1, "x")
    assert cursor.fetchmany(1) == [(2, "y")]
    assert cursor.fetchall() == [(3, "z")]
    assert cursor.fetchone() is None


def test_a_write_tells_rows_and_rowid(table):
    # A cursor of this client adds up the rows of all its statements, so each has its own here.
    insert = table.execute("INSERT INTO x VALUES (41, 'a'), (42, 'b')")
    assert (insert.rowcount, insert.lastrowid) == (2, 42)
    assert table.execute("UPDATE x SET v = id").rowcount == 2
    assert table.execute("INSERT INTO x (v) VALUES ('c') RETURNING id, v").fetchall() == [(43, "c")]


def test_executemany_and_executescript(table):
    table.executemany("INSERT INTO x (v) VALUES (?)", [(1,), (2,), (3,)])
    table.commit()
    assert count(table) == 3
    table.executescript(
        """
        CREATE TABLE log (v);
        CREATE TRIGGER t AFTER INSERT ON x BEGIN INSERT INTO log VALUES (new.v); INSERT INTO log VALUES (';'); END;
        INSERT INTO x (v) VALUES ('a;b');
        """
    )
    assert table.execute("SELECT v FROM log").fetchall() == [("a;b",), (";",)]


def test_a_write_begins_a_transaction_that_others_see_after_its_commit(table, url):
    other = libsql.connect(url)
    assert not table.in_transaction
    table.execute("INSERT INTO x (v) VALUES (1)")
    assert table.in_transaction
    assert (count(table), count(other)) == (1, 0)
    table.commit()
    assert not table.in_transaction
    assert count(other) == 1


def test_a_rollback_leaves_nothing(table):
    table.execute("INSERT INTO x (v) VALUES (1)")
    table.execute("CREATE TABLE y (v)")
    table.rollback()
    assert count(table) == 0
    with pytest.raises(ValueError, match="no such table: y"):
        table.execute("SELECT * FROM y")


def test_with_commits_or_rolls_back(table):
    with table:
        table.execute("INSERT INTO x (v) VALUES (1)")
    assert not table.in_transaction
    with pytest.raises(ZeroDivisionError):
        with table:
            table.execute("INSERT INTO x (v) VALUES (2)")
            1 / 0
    assert count(table) == 1


def test_savepoints_nest(table):
    table.execute("BEGIN IMMEDIATE")
    table.execute("INSERT INTO x (v) VALUES (1)")
    table.execute("SAVEPOINT a")
    table.execute("INSERT INTO x (v) VALUES (2)")
    table.execute("ROLLBACK TO a")
    table.execute("RELEASE a")
    table.execute("COMMIT")
    assert table.execute("SELECT v FROM x").fetchall() == [(1,)]


def test_without_an_isolation_level_each_statement_commits(table, url):
    connection = libsql.connect(url, isolation_level=None)
    connection.execute("INSERT INTO x (v) VALUES (1)")
    assert not connection.in_transaction
    assert count(table) == 1


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("INSERT INTO x VALUES (1, 2)", "UNIQUE constraint failed: x.id"),
        ("INSERT INTO x VALUES (1, 2)", "SQLITE_CONSTRAINT"),
        ("SELECT * FROM missing", "no such table: missing"),
        ("SELEC 1", 'near .+SELEC.+: syntax error'),
        ("ATTACH ':memory:' AS other", "not allowed"),
    ],
)
def test_errors_say_what_is_wrong(table, sql, message):
    table.execute("INSERT INTO x VALUES (1, 1)")
    table.commit()
    with pytest.raises(ValueError, match=message):
        table.execute(sql)
    table.rollback()
    assert count(table) == 1
