// batch() and migrate(): several statements in one transaction and one request.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LibsqlBatchError } from "@libsql/client/http";
import { connect, errorOf, transports } from "./support.mjs";

const count = async (client, table) => (await client.execute(`SELECT count(*) AS n FROM ${table}`)).rows[0].n;

for (const [transport, createClient] of Object.entries(transports)) {
    describe(`@libsql/client/${transport}: batch`, () => {
        for (const mode of ["write", "deferred"]) {
            test(`a ${mode} batch gives each statement's result in order`, async (t) => {
                const client = await connect(t, { createClient });
                const results = await client.batch(
                    [
                        "CREATE TABLE b (id INTEGER PRIMARY KEY, v)",
                        { sql: "INSERT INTO b (v) VALUES (?)", args: ["x"] },
                        ["INSERT INTO b (v) VALUES (:v)", { v: "y" }],
                        "SELECT id, v FROM b ORDER BY id",
                    ],
                    mode,
                );
                assert.equal(results.length, 4);
                assert.deepEqual(results.slice(1, 3).map((result) => [result.rowsAffected, result.lastInsertRowid]), [[1, 1n], [1, 2n]]);
                assert.deepEqual(results[3].rows.map((row) => [row.id, row.v]), [[1, "x"], [2, "y"]]);
            });

            test(`a failing ${mode} batch leaves nothing behind`, async (t) => {
                const client = await connect(t, { createClient });
                await client.execute("CREATE TABLE b (v UNIQUE)");
                const statements = ["INSERT INTO b VALUES (1)", "CREATE TABLE c (v)", "INSERT INTO b VALUES (1)", "INSERT INTO b VALUES (2)"];
                const error = await errorOf(client.batch(statements, mode));
                assert.ok(error instanceof LibsqlBatchError, String(error));
                assert.deepEqual([error.code, error.statementIndex], ["SQLITE_CONSTRAINT", 2]);
                assert.match(error.message, /UNIQUE constraint failed: b\.v/);
                assert.equal(await count(client, "b"), 0);
                assert.equal(await count(client, "sqlite_schema WHERE name = 'c'"), 0);
                await client.batch(["INSERT INTO b VALUES (3)"], mode);
                assert.equal(await count(client, "b"), 1);
            });
        }

        test("a read batch reads one state", async (t) => {
            const client = await connect(t, { createClient });
            await client.batch(["CREATE TABLE b (v)", "INSERT INTO b VALUES (1), (2)"], "write");
            const results = await client.batch(["SELECT count(*) AS n FROM b", "SELECT max(v) AS m FROM b"], "read");
            assert.deepEqual([results[0].rows[0].n, results[1].rows[0].m], [2, 2]);
        });

        test("a read batch refuses to write", async (t) => {
            const client = await connect(t, { createClient });
            await client.execute("CREATE TABLE b (v)");
            const error = await errorOf(client.batch(["SELECT 1", "INSERT INTO b VALUES (1)"], "read"));
            assert.equal(error.code, "SQLITE_READONLY", error.message);
            assert.equal(error.statementIndex, 1);
            assert.equal(await count(client, "b"), 0);
            await client.batch(["INSERT INTO b VALUES (1)"], "write");
        });

        test("a batch of a thousand rows is one transaction", async (t) => {
            const client = await connect(t, { createClient });
            await client.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, v TEXT)");
            const inserts = Array.from({ length: 1000 }, (_, id) => ({ sql: "INSERT INTO b VALUES (?, ?)", args: [id, `row ${id}`] }));
            await client.batch(inserts, "write");
            assert.equal(await count(client, "b"), 1000);
            const error = await errorOf(client.batch([...inserts.slice(0, 1).map(({ args }) => ({ sql: "INSERT INTO b VALUES (?, ?)", args: [args[0] + 5000, ""] })), ...inserts], "write"));
            assert.equal(error.statementIndex, 1);
            assert.equal(await count(client, "b"), 1000);
        });

        test("an empty batch is no error", async (t) => {
            const client = await connect(t, { createClient });
            assert.deepEqual(await client.batch([], "write"), []);
        });

        test("batches that write at once all commit", async (t) => {
            const client = await connect(t, { createClient });
            await client.batch(["CREATE TABLE b (v INTEGER)", "INSERT INTO b VALUES (0)"], "write");
            const raise = () => client.batch(["UPDATE b SET v = v + 1", "UPDATE b SET v = v + 1"], "write");
            await Promise.all(Array.from({ length: 50 }, raise));
            assert.equal((await client.execute("SELECT v FROM b")).rows[0].v, 100);
        });

        test("deferred batches that read and then write at once all commit", async (t) => {
            const client = await connect(t, { createClient });
            await client.batch(["CREATE TABLE b (v INTEGER)", "INSERT INTO b VALUES (0)"], "write");
            const raise = () => client.batch(["SELECT v FROM b", "UPDATE b SET v = v + 1"], "deferred");
            await Promise.all(Array.from({ length: 50 }, raise));
            assert.equal((await client.execute("SELECT v FROM b")).rows[0].v, 50);
        });
    });

    describe(`@libsql/client/${transport}: migrate`, () => {
        const tables = [
            "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)",
            "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id) ON DELETE CASCADE)",
            "INSERT INTO parent VALUES (1, 'one')",
            "INSERT INTO child VALUES (10, 1)",
        ];
        // SQLite's own way to change a table; with foreign keys on, DROP TABLE would take the children along.
        const rebuild = [
            "CREATE TABLE new_parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL, added INTEGER DEFAULT 5)",
            "INSERT INTO new_parent (id, name) SELECT id, name FROM parent",
            "DROP TABLE parent",
            "ALTER TABLE new_parent RENAME TO parent",
        ];

        test("a table that others refer to can be rebuilt", async (t) => {
            const client = await connect(t, { createClient });
            await client.migrate(tables);
            await client.migrate(rebuild);
            const { rows } = await client.execute("SELECT c.id, p.name, p.added FROM child c JOIN parent p ON p.id = c.parent");
            assert.deepEqual(rows.map((row) => [row.id, row.name, row.added]), [[10, "one", 5]]);
        });

        test("a failing migration leaves everything as it was", async (t) => {
            const client = await connect(t, { createClient });
            await client.migrate(tables);
            const error = await errorOf(client.migrate([...rebuild, "SELECT * FROM missing"]));
            assert.match(error.message, /no such table: missing/);
            const { rows } = await client.execute("SELECT name FROM pragma_table_info('parent')");
            assert.deepEqual(rows.map((row) => row.name), ["id", "name"]);
            assert.equal(await count(client, "child"), 1);
        });

        test("the pragmas of a migration stay its own", async (t) => {
            const client = await connect(t, { createClient });
            const foreignKeys = async () => (await client.execute("PRAGMA foreign_keys")).rows[0][0];
            const before = await foreignKeys();
            await client.migrate(tables);
            for (let again = 0; again < 5; again += 1) assert.equal(await foreignKeys(), before);
        });
    });
}
