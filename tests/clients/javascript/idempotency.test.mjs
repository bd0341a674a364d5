// Retries that apply once, and reads that see what was written.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { close, connectTo, createDatabase, execute, pipeline, rowsOf, send } from "./support.mjs";

const KEY = "x-orion-idempotency-key";
const insert = execute("INSERT INTO k (v) VALUES (1) RETURNING id");
const count = async (database) => Number(rowsOf((await pipeline(database, [execute("SELECT count(*) FROM k"), close])).results[0])[0][0]);

async function withTable() {
    const database = await createDatabase();
    await pipeline(database, [execute("CREATE TABLE k (id INTEGER PRIMARY KEY, v)"), close]);
    return database;
}

describe("idempotency keys", () => {
    test("a retry gives the first answer and writes nothing", async () => {
        const database = await withTable();
        const options = { headers: { [KEY]: "once" } };
        const first = await pipeline(database, [insert, close], options);
        const second = await pipeline(database, [insert, close], options);
        assert.deepEqual(second.results, first.results);
        const { reused, status, key } = second.orion.idempotency;
        assert.deepEqual([first.orion.idempotency.reused, reused, status, key], [false, true, "stored", "once"]);
        assert.equal(await count(database), 1);
    });

    test("equal requests at once apply once", async () => {
        const database = await withTable();
        const options = { headers: { [KEY]: "at once" } };
        const replies = await Promise.all(Array.from({ length: 16 }, () => pipeline(database, [insert, close], options)));
        for (const reply of replies) assert.deepEqual(reply.results, replies[0].results);
        assert.equal(replies.filter(({ orion }) => !orion.idempotency.reused).length, 1);
        assert.equal(await count(database), 1);
    });

    test("a key is for one request", async () => {
        const database = await withTable();
        const headers = { [KEY]: "taken" };
        await pipeline(database, [insert, close], { headers });
        const other = execute("INSERT INTO k (v) VALUES (2) RETURNING id");
        const reply = await send(database, "v3/pipeline", { requests: [other, close] }, headers);
        assert.deepEqual([reply.status, reply.body.code], [409, "ORION_IDEMPOTENCY_CONFLICT"]);
        assert.equal(await count(database), 1);
    });

    test("databases have keys of their own", async () => {
        const options = { headers: { [KEY]: "shared" } };
        for (const database of [await withTable(), await withTable()]) {
            const { orion } = await pipeline(database, [insert, close], options);
            assert.equal(orion.idempotency.reused, false);
        }
    });

    test("a request that committed nothing may be tried again", async () => {
        const database = await createDatabase();
        const options = { headers: { [KEY]: "again" } };
        const failed = await pipeline(database, [insert, close], options);
        assert.equal(failed.results[0].type, "error");
        assert.equal(failed.orion.idempotency.status, "not_stored");
        await pipeline(database, [execute("CREATE TABLE k (id INTEGER PRIMARY KEY, v)"), close]);
        const { results } = await pipeline(database, [insert, close], options);
        assert.deepEqual(rowsOf(results[0]), [["1"]]);
    });

    test("a stream cannot be retried", async () => {
        const database = await withTable();
        const { baton } = await pipeline(database, [execute("BEGIN")]);
        const reply = await send(database, "v3/pipeline", { baton, requests: [insert] }, { [KEY]: "stream" });
        assert.deepEqual([reply.status, reply.body.code], [400, "INVALID_REQUEST"]);
    });

    test("a client of libSQL retries safely through a fetch that adds the key", async (t) => {
        const database = await withTable();
        const withKey = (request) => {
            const keyed = new Request(request);
            keyed.headers.set(KEY, "client");
            return fetch(keyed);
        };
        const client = connectTo(t, database, { fetch: withKey });
        const statements = ["INSERT INTO k (v) VALUES (1) RETURNING id", "INSERT INTO k (v) VALUES (2) RETURNING id"];
        const first = await client.batch(statements, "write");
        const second = await client.batch(statements, "write");
        const ids = (results) => results.map(({ rows }) => rows[0].id);
        assert.deepEqual([ids(first), ids(second)], [[1, 2], [1, 2]]);
        assert.equal(await count(database), 2);
    });
});

describe("read policies", () => {
    test("each policy is named in its reply", async () => {
        const database = await withTable();
        const written = await pipeline(database, [insert, close]);
        const policies = {
            strong: {},
            revocation_safe: {},
            local: {},
            session: { "x-orion-session-token": written.orion.session_token },
            bounded_staleness: { "x-orion-max-staleness-ms": "1000" },
        };
        for (const [policy, headers] of Object.entries(policies)) {
            const options = { headers: { "x-orion-read-policy": policy, ...headers } };
            const { results, orion } = await pipeline(database, [execute("SELECT count(*) FROM k"), close], options);
            assert.equal(orion.read_policy, policy);
            assert.deepEqual(rowsOf(results[0]), [["1"]]);
            assert.ok(orion.freshness.applied >= written.orion.freshness.applied);
        }
    });

    test("a session token of another database is refused", async () => {
        const [database, other] = [await withTable(), await withTable()];
        const { orion } = await pipeline(database, [insert, close]);
        const reply = await send(other, "v3/pipeline", { requests: [close] }, { "x-orion-session-token": orion.session_token });
        assert.equal(reply.status, 400);
    });
});
