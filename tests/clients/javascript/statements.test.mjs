// Single statements, scripts and what goes wrong in them, through @libsql/client.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LibsqlError, createClient as createDefaultClient } from "@libsql/client";
import { connect, connectTo, createDatabase, errorOf, server, transports } from "./support.mjs";

const PARSE = /^SQL_PARSE_ERROR$/;

test("the package's default entry reaches the server", async (t) => {
    const client = await connect(t, { createClient: createDefaultClient });
    assert.equal(client.protocol, "http");
    assert.equal((await client.execute("SELECT 1 + 1 AS two")).rows[0].two, 2);
});

test("the scheme libsql: reaches it too, without TLS", async (t) => {
    const { url } = await createDatabase();
    const client = connectTo(t, { url: `${url.replace("http:", "libsql:")}?tls=0` });
    assert.equal((await client.execute("SELECT 1 + 1 AS two")).rows[0].two, 2);
});

test("a dropped database is gone for who uses it, an open transaction included", async (t) => {
    const database = await createDatabase();
    const client = connectTo(t, database);
    const transaction = await client.transaction("write");
    await transaction.execute("CREATE TABLE x (v)");
    const dropped = await fetch(`${server}/_orion/v1/databases/${database.name}`, { method: "DELETE" });
    assert.ok(dropped.ok);
    assert.equal((await errorOf(transaction.commit())).code, "DATABASE_NOT_FOUND");
    assert.equal((await errorOf(client.execute("SELECT 1"))).code, "DATABASE_NOT_FOUND");
});

for (const [transport, createClient] of Object.entries(transports)) {
    describe(`@libsql/client/${transport}: statements`, () => {
        test("arguments by position", async (t) => {
            const client = await connect(t, { createClient });
            const { rows } = await client.execute("SELECT ? AS a, ?3 AS c, ?2 AS b", ["x", "y", "z"]);
            assert.deepEqual({ ...rows[0] }, { a: "x", c: "z", b: "y" });
        });

        test("arguments by name, with the sign and without", async (t) => {
            const client = await connect(t, { createClient });
            const sql = "SELECT :a AS a, @b AS b, $c AS c, :a AS again";
            const expected = { a: 1, b: "two", c: null, again: 1 };
            for (const args of [{ a: 1, b: "two", c: null }, { ":a": 1, "@b": "two", "$c": null }]) {
                const { rows } = await client.execute({ sql, args });
                assert.deepEqual({ ...rows[0] }, expected);
            }
        });

        test("an argument that no parameter takes is an error", async (t) => {
            const client = await connect(t, { createClient });
            for (const stmt of [
                { sql: "SELECT ?", args: [1, 2] },
                { sql: "SELECT :a", args: { b: 1 } },
            ]) {
                const error = await errorOf(client.execute(stmt));
                assert.ok(error instanceof LibsqlError);
                assert.equal(error.code, "ARGS_INVALID");
            }
        });

        test("rows are known by index and name, and columns in order", async (t) => {
            const client = await connect(t, { createClient });
            const result = await client.execute("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y'");
            assert.deepEqual(result.columns, ["a", "b"]);
            assert.deepEqual(result.rows.map((row) => [row[0], row.b, row.length]), [[1, "x", 2], [2, "y", 2]]);
        });

        test("columns of one name all arrive", async (t) => {
            const client = await connect(t, { createClient });
            const result = await client.execute("SELECT 1 AS a, 2 AS a");
            assert.deepEqual(result.columns, ["a", "a"]);
            assert.deepEqual([...Array.prototype.slice.call(result.rows[0])], [1, 2]);
        });

        test("column types are those of the declaration", async (t) => {
            const client = await connect(t, { createClient });
            await client.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, name TEXT, price REAL, raw BLOB, any)");
            const { columnTypes } = await client.execute("SELECT *, 1 FROM c");
            assert.deepEqual(columnTypes, ["INTEGER", "TEXT", "REAL", "BLOB", "", ""]);
        });

        test("a write tells its rows and its rowid", async (t) => {
            const client = await connect(t, { createClient });
            await client.execute("CREATE TABLE r (id INTEGER PRIMARY KEY, v)");
            const insert = await client.execute("INSERT INTO r (id, v) VALUES (41, 'a'), (42, 'b')");
            assert.deepEqual([insert.rowsAffected, insert.lastInsertRowid], [2, 42n]);
            assert.equal((await client.execute("UPDATE r SET v = 'c'")).rowsAffected, 2);
            assert.equal((await client.execute("SELECT * FROM r")).rowsAffected, 0);
            assert.equal((await client.execute("DELETE FROM r WHERE id = 41")).rowsAffected, 1);
        });

        test("RETURNING gives rows", async (t) => {
            const client = await connect(t, { createClient });
            await client.execute("CREATE TABLE r (id INTEGER PRIMARY KEY, v)");
            const { rows, rowsAffected } = await client.execute("INSERT INTO r (v) VALUES ('a'), ('b') RETURNING id, v");
            assert.deepEqual(rows.map((row) => [row.id, row.v]), [[1, "a"], [2, "b"]]);
            assert.equal(rowsAffected, 2);
        });

        test("another client sees what was written", async (t) => {
            const client = await connect(t, { createClient });
            await client.execute("CREATE TABLE s (v)");
            await client.execute("INSERT INTO s VALUES (5)");
            const other = connectTo(t, { url: client.databaseUrl }, { createClient });
            assert.equal((await other.execute("SELECT v FROM s")).rows[0].v, 5);
        });

        test("many statements at once all arrive", async (t) => {
            const client = await connect(t, { createClient });
            await client.execute("CREATE TABLE n (v INTEGER UNIQUE)");
            const inserts = Array.from({ length: 200 }, (_, v) => client.execute({ sql: "INSERT INTO n VALUES (?)", args: [v] }));
            await Promise.all(inserts);
            const { rows } = await client.execute("SELECT count(*) AS n, sum(v) AS s FROM n");
            assert.deepEqual([rows[0].n, rows[0].s], [200, 19900]);
        });

        test("SQLite's own parts are there", async (t) => {
            const client = await connect(t, { createClient });
            await client.executeMultiple(`
                CREATE VIRTUAL TABLE words USING fts5(body);
                INSERT INTO words VALUES ('the quick brown fox'), ('lazy dogs');
                CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
                INSERT INTO boxes VALUES (1, 0, 10), (2, 20, 30);
                CREATE TABLE g (a INTEGER, b INTEGER GENERATED ALWAYS AS (a * 2) STORED) STRICT;
                INSERT INTO g (a) VALUES (21);
            `);
            const one = async (sql) => (await client.execute(sql)).rows[0][0];
            assert.equal(await one("SELECT body FROM words WHERE words MATCH 'quick'"), "the quick brown fox");
            assert.equal(await one("SELECT id FROM boxes WHERE x0 >= 15"), 2);
            assert.equal(await one("SELECT b FROM g"), 42);
            assert.equal(await one("SELECT json_extract('{\"a\":[1,2]}', '$.a[1]')"), 2);
            assert.equal(await one("SELECT round(sqrt(2), 3)"), 1.414);
            assert.equal(await one("SELECT sum(column1) OVER () FROM (VALUES (1), (2))"), 3);
        });
    });

    describe(`@libsql/client/${transport}: scripts`, () => {
        test("a script runs to its end", async (t) => {
            const client = await connect(t, { createClient });
            await client.executeMultiple(`
                -- a comment; with a semicolon
                CREATE TABLE a (v);
                CREATE TABLE log (v);
                CREATE TRIGGER ta AFTER INSERT ON a BEGIN
                    INSERT INTO log VALUES (new.v); INSERT INTO log VALUES (';');
                END;
                INSERT INTO a VALUES ('x;y');; /* and the end */
                SELECT * FROM a
            `);
            const { rows } = await client.execute("SELECT v FROM log");
            assert.deepEqual(rows.map((row) => row.v), ["x;y", ";"]);
        });

        test("a script stops at its first error", async (t) => {
            const client = await connect(t, { createClient });
            const error = await errorOf(client.executeMultiple("CREATE TABLE a (v); INSERT INTO a VALUES (1); INSERT INTO missing VALUES (1); INSERT INTO a VALUES (2);"));
            assert.match(error.message, /no such table: missing/);
            assert.deepEqual((await client.execute("SELECT v FROM a")).rows.map((row) => row.v), [1]);
        });

        test("a script with a transaction of its own is all or nothing", async (t) => {
            const client = await connect(t, { createClient });
            await client.execute("CREATE TABLE a (v)");
            await errorOf(client.executeMultiple("BEGIN; INSERT INTO a VALUES (1); INSERT INTO missing VALUES (1); COMMIT;"));
            assert.equal((await client.execute("SELECT count(*) AS n FROM a")).rows[0].n, 0);
            await client.executeMultiple("BEGIN; INSERT INTO a VALUES (1); INSERT INTO a VALUES (2); COMMIT;");
            assert.equal((await client.execute("SELECT count(*) AS n FROM a")).rows[0].n, 2);
        });
    });

    describe(`@libsql/client/${transport}: errors`, () => {
        const schema = `
            CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE, n TEXT NOT NULL DEFAULT '', c INTEGER CHECK (c > 0));
            INSERT INTO p (id, u) VALUES (1, 'one');
        `;

        test("a broken constraint names itself", async (t) => {
            const client = await connect(t, { createClient });
            await client.executeMultiple(schema);
            for (const [sql, message] of [
                ["INSERT INTO p (id) VALUES (1)", /UNIQUE constraint failed: p\.id/],
                ["INSERT INTO p (u) VALUES ('one')", /UNIQUE constraint failed: p\.u/],
                ["INSERT INTO p (n) VALUES (NULL)", /NOT NULL constraint failed: p\.n/],
                ["INSERT INTO p (c) VALUES (0)", /CHECK constraint failed/],
            ]) {
                const error = await errorOf(client.execute(sql));
                assert.ok(error instanceof LibsqlError);
                assert.equal(error.code, "SQLITE_CONSTRAINT");
                assert.match(error.message, message);
            }
            assert.equal((await client.execute("SELECT count(*) AS n FROM p")).rows[0].n, 1);
        });

        test("what cannot be parsed or found says what it is", async (t) => {
            const client = await connect(t, { createClient });
            for (const [sql, code, message] of [
                ["SELEC 1", /^SQL_PARSE_ERROR$/, /near "SELEC": syntax error/],
                ["SELECT 'open", /^SQL_PARSE_ERROR$/, /unrecognized token/],
                // SQLite's API does not tell a text that is not SQL from one that names what is not there.
                ["SELECT (1", PARSE, /incomplete input/],
                ["SELECT * FROM missing", PARSE, /no such table: missing/],
                ["SELECT missing", PARSE, /no such column: missing/],
                ["SELECT missing()", PARSE, /no such function: missing/],
                ["SELECT 1; SELECT 2", /^SQL_MANY_STATEMENTS$/, /more than one statement/],
                ["", /^SQL_NO_STATEMENT$/, /no statement/],
                ["-- nothing", /^SQL_NO_STATEMENT$/, /no statement/],
            ]) {
                const error = await errorOf(client.execute(sql));
                assert.ok(error instanceof LibsqlError, sql);
                assert.match(error.code, code, `${sql}: ${error.message}`);
                assert.match(error.message, message);
            }
        });

        test("what the service does not allow says so", async (t) => {
            const client = await connect(t, { createClient });
            for (const [sql, message] of [
                ["ATTACH DATABASE '/etc/passwd' AS x", /ATTACH is not allowed/],
                ["ATTACH ':memory:' AS x", /ATTACH is not allowed/],
                ["DETACH DATABASE main", /DETACH is not allowed/],
                ["VACUUM INTO '/tmp/x'", /VACUUM INTO is not allowed/],
                ["PRAGMA writable_schema = 1", /writable_schema/],
                ["PRAGMA temp_store_directory = '/tmp'", /temp_store_directory/],
            ]) {
                const error = await errorOf(client.execute(sql));
                assert.ok(error instanceof LibsqlError, sql);
                assert.equal(error.code, "SQLITE_AUTH", sql);
                assert.match(error.message, message);
            }
            assert.match((await errorOf(client.execute("SELECT load_extension('x')"))).message, /load_extension/);
        });

        test("an unknown database is an error with a reason", async (t) => {
            const client = connectTo(t, { url: `${server}/no-such-database/` }, { createClient });
            const error = await errorOf(client.execute("SELECT 1"));
            assert.ok(error instanceof LibsqlError);
            assert.equal(error.code, "DATABASE_NOT_FOUND");
            assert.match(error.message, /no-such-database/);
        });

        test("a request that is too large is an error with a reason, not a broken connection", async (t) => {
            const client = await connect(t, { createClient });
            const error = await errorOf(client.execute({ sql: "SELECT ?", args: [new Uint8Array(30 << 20)] }));
            assert.equal(error.code, "REQUEST_TOO_LARGE", String(error));
            assert.equal((await client.execute("SELECT 1 AS v")).rows[0].v, 1);
        });

        test("a result that is too large is an error with a reason", async (t) => {
            const client = await connect(t, { createClient });
            const error = await errorOf(client.execute("SELECT zeroblob(20000000) UNION ALL SELECT zeroblob(20000000)"));
            assert.equal(error.code, "RESPONSE_TOO_LARGE");
        });

        test("after an error the client goes on", async (t) => {
            const client = await connect(t, { createClient });
            await errorOf(client.execute("SELECT * FROM missing"));
            assert.equal((await client.execute("SELECT 1 AS v")).rows[0].v, 1);
        });
    });
}
