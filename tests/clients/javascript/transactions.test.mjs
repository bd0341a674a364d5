// transaction(): interactive transactions, alone and against each other.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connect, connectTo, errorOf, isPending, transports } from "./support.mjs";

const values = async (client) => (await client.execute("SELECT v FROM x ORDER BY v")).rows.map((row) => row.v);

async function withTable(t, createClient) {
    const client = await connect(t, { createClient });
    await client.execute("CREATE TABLE x (v UNIQUE)");
    return client;
}

for (const [transport, createClient] of Object.entries(transports)) {
    describe(`@libsql/client/${transport}: transaction`, () => {
        for (const mode of ["write", "deferred"]) {
            test(`${mode}: nobody else sees it before the commit, everybody after`, async (t) => {
                const client = await withTable(t, createClient);
                const transaction = await client.transaction(mode);
                await transaction.execute("INSERT INTO x VALUES (1)");
                await transaction.execute({ sql: "INSERT INTO x VALUES (?)", args: [2] });
                assert.deepEqual(await values(transaction), [1, 2]);
                assert.deepEqual(await values(client), []);
                await transaction.commit();
                assert.ok(transaction.closed);
                assert.deepEqual(await values(client), [1, 2]);
            });

            test(`${mode}: a rollback leaves nothing`, async (t) => {
                const client = await withTable(t, createClient);
                const transaction = await client.transaction(mode);
                await transaction.execute("INSERT INTO x VALUES (1)");
                await transaction.execute("CREATE TABLE y (v)");
                await transaction.rollback();
                assert.deepEqual(await values(client), []);
                await errorOf(client.execute("SELECT * FROM y"));
            });
        }

        test("closing without a commit rolls back and lets the next writer in", async (t) => {
            const client = await withTable(t, createClient);
            const transaction = await client.transaction("write");
            await transaction.execute("INSERT INTO x VALUES (1)");
            transaction.close();
            await client.execute("INSERT INTO x VALUES (2)");
            assert.deepEqual(await values(client), [2]);
        });

        test("a failed statement fails alone", async (t) => {
            const client = await withTable(t, createClient);
            const transaction = await client.transaction("write");
            await transaction.execute("INSERT INTO x VALUES (1)");
            const error = await errorOf(transaction.execute("INSERT INTO x VALUES (1)"));
            assert.equal(error.code, "SQLITE_CONSTRAINT");
            await transaction.execute("INSERT INTO x VALUES (2)");
            await transaction.commit();
            assert.deepEqual(await values(client), [1, 2]);
        });

        test("a batch and a script within a transaction belong to it", async (t) => {
            const client = await withTable(t, createClient);
            const transaction = await client.transaction("write");
            const [, select] = await transaction.batch(["INSERT INTO x VALUES (1)", "SELECT count(*) AS n FROM x"]);
            assert.equal(select.rows[0].n, 1);
            await transaction.executeMultiple("INSERT INTO x VALUES (2); INSERT INTO x VALUES (3);");
            assert.deepEqual(await values(client), []);
            await transaction.commit();
            assert.deepEqual(await values(client), [1, 2, 3]);
        });

        test("savepoints nest", async (t) => {
            const client = await withTable(t, createClient);
            const transaction = await client.transaction("write");
            await transaction.execute("INSERT INTO x VALUES (1)");
            await transaction.execute("SAVEPOINT a");
            await transaction.execute("INSERT INTO x VALUES (2)");
            await transaction.execute("ROLLBACK TO a");
            await transaction.execute("INSERT INTO x VALUES (3)");
            await transaction.execute("RELEASE a");
            await transaction.commit();
            assert.deepEqual(await values(client), [1, 3]);
        });

        test("rowids and changes of a transaction are its own", async (t) => {
            const client = await connect(t, { createClient });
            await client.execute("CREATE TABLE r (id INTEGER PRIMARY KEY, v)");
            const transaction = await client.transaction("write");
            await transaction.execute("INSERT INTO r (id, v) VALUES (7, 'a'), (8, 'b')");
            const { rows } = await transaction.execute("SELECT last_insert_rowid() AS id, changes() AS n");
            assert.deepEqual([rows[0].id, rows[0].n], [8, 2]);
            await transaction.commit();
        });

        test("a read transaction keeps its state while others write", async (t) => {
            const client = await withTable(t, createClient);
            await client.execute("INSERT INTO x VALUES (1)");
            const reader = await client.transaction("read");
            assert.deepEqual(await values(reader), [1]);
            await client.execute("INSERT INTO x VALUES (2)");
            assert.deepEqual(await values(reader), [1]);
            await reader.commit();
            assert.deepEqual(await values(client), [1, 2]);
        });

        test("a read transaction refuses to write and stays of use", async (t) => {
            const client = await withTable(t, createClient);
            const reader = await client.transaction("read");
            await reader.execute("SELECT * FROM x");
            const error = await errorOf(reader.execute("INSERT INTO x VALUES (1)"));
            assert.equal(error.code, "SQLITE_READONLY", error.message);
            assert.deepEqual(await values(reader), []);
            await reader.rollback();
            assert.deepEqual(await values(client), []);
        });

        test("readers and a writer do not wait for each other", async (t) => {
            const client = await withTable(t, createClient);
            const writer = await client.transaction("write");
            await writer.execute("INSERT INTO x VALUES (1)");
            const readers = await Promise.all([client.transaction("read"), client.transaction("deferred")]);
            for (const reader of readers) assert.deepEqual(await values(reader), []);
            await writer.commit();
            for (const reader of readers) {
                assert.deepEqual(await values(reader), []);
                await reader.commit();
            }
        });
    });

    describe(`@libsql/client/${transport}: two writers`, () => {
        test("the second waits for the first's commit and sees it", async (t) => {
            const client = await withTable(t, createClient);
            const first = await client.transaction("write");
            await first.execute("INSERT INTO x VALUES (1)");
            const second = await client.transaction("write");
            const waits = second.execute("INSERT INTO x SELECT max(v) + 1 FROM x");
            assert.ok(await isPending(waits), "the second writer did not wait");
            await first.execute("INSERT INTO x VALUES (5)");
            await first.commit();
            await waits;
            await second.commit();
            assert.deepEqual(await values(client), [1, 5, 6]);
        });

        test("a single write waits for an open transaction, too", async (t) => {
            const client = await withTable(t, createClient);
            const first = await client.transaction("write");
            await first.execute("INSERT INTO x VALUES (1)");
            const waits = client.execute("INSERT INTO x VALUES (2)");
            assert.ok(await isPending(waits), "the write did not wait");
            await first.rollback();
            await waits;
            assert.deepEqual(await values(client), [2]);
        });

        test("many writers take turns", async (t) => {
            const client = await connect(t, { createClient });
            await client.batch(["CREATE TABLE n (v INTEGER)", "INSERT INTO n VALUES (0)"], "write");
            const raise = async () => {
                const transaction = await client.transaction("write");
                const { rows } = await transaction.execute("SELECT v FROM n");
                await transaction.execute({ sql: "UPDATE n SET v = ?", args: [rows[0].v + 1] });
                await transaction.commit();
            };
            await Promise.all(Array.from({ length: 12 }, raise));
            assert.equal((await client.execute("SELECT v FROM n")).rows[0].v, 12);
        });

        test("who read an old state may not write over a new one", async (t) => {
            const client = await withTable(t, createClient);
            await client.execute("INSERT INTO x VALUES (1)");
            const stale = await client.transaction("deferred");
            assert.deepEqual(await values(stale), [1]);
            await client.execute("UPDATE x SET v = 2");
            const error = await errorOf(stale.execute("UPDATE x SET v = v + 10"));
            assert.match(error.code, /^SQLITE_BUSY/, error.message);
            await stale.rollback();
            assert.deepEqual(await values(client), [2]);
        });

        test("a writer that falls silent is rolled back, and learns it", async (t) => {
            const client = await withTable(t, createClient);
            const silent = await client.transaction("write");
            await silent.execute("INSERT INTO x VALUES (1)");
            // Waits for the turn, and so for the end of the silent one: a second client, tried again, because
            // waiting has a limit of its own.
            const other = connectTo(t, { url: client.databaseUrl }, { createClient });
            const deadline = Date.now() + 30_000;
            for (;;) {
                try {
                    await other.execute("INSERT INTO x VALUES (2)");
                    break;
                } catch (error) {
                    assert.equal(error.code, "TRANSACTION_BUSY", error.message);
                    assert.ok(Date.now() < deadline, "the silent writer keeps its turn");
                }
            }
            const error = await errorOf(silent.execute("INSERT INTO x VALUES (3)"));
            assert.equal(error.code, "TRANSACTION_TIMEOUT", error.message);
            assert.deepEqual(await values(client), [2]);
        });
    });
}
