// The protocol itself: streams, batons, cursors and resolution, with fetch and with @libsql/hrana-client.

import assert from "node:assert/strict";
import http from "node:http";
import { describe, test } from "node:test";
import * as hrana from "@libsql/hrana-client";
import { close, createDatabase, errorOf, execute, pipeline, rowsOf, send, server } from "./support.mjs";

const result = (answer) => answer.response.result;

async function openStream(t) {
    const { url } = await createDatabase();
    const client = hrana.openHttp(url);
    t.after(() => client.close());
    return client.openStream();
}

describe("@libsql/hrana-client", () => {
    test("describe tells parameters, columns and what a statement does", async (t) => {
        const stream = await openStream(t);
        await stream.run("CREATE TABLE d (id INTEGER PRIMARY KEY, v TEXT)");
        const select = await stream.describe("SELECT id, v AS named FROM d WHERE v = :v AND id > ?2");
        assert.deepEqual(select.paramNames, [":v", "?2"]);
        assert.deepEqual(select.columns, [{ name: "id", decltype: "INTEGER" }, { name: "named", decltype: "TEXT" }]);
        assert.deepEqual([select.isExplain, select.isReadonly], [false, true]);
        const insert = await stream.describe("INSERT INTO d (v) VALUES (?)");
        assert.deepEqual([insert.paramNames, insert.columns, insert.isReadonly], [[undefined], [], false]);
        assert.ok((await stream.describe("EXPLAIN SELECT 1")).isExplain);
        const { value } = await stream.queryValue("SELECT count(*) FROM d");
        assert.equal(value, 0, "describing must not run");
        const error = await errorOf(stream.describe("SELECT * FROM missing"));
        assert.match(error.message, /no such table/);
    });

    test("sequence runs a script", async (t) => {
        const stream = await openStream(t);
        await stream.sequence("CREATE TABLE s (v); INSERT INTO s VALUES (1); INSERT INTO s VALUES (2);");
        assert.equal((await stream.queryValue("SELECT sum(v) FROM s")).value, 3);
        await errorOf(stream.sequence("INSERT INTO s VALUES (3); nonsense"));
    });

    test("a stored text is run by its number", async (t) => {
        const stream = await openStream(t);
        const text = stream.storeSql("SELECT ? * 2");
        assert.equal((await stream.queryValue(new hrana.Stmt(text).bindIndexes([21n]))).value, 42);
        assert.equal((await stream.queryValue(new hrana.Stmt(text).bindIndexes([4n]))).value, 8);
        text.close();
        assert.equal((await stream.queryValue("SELECT 1")).value, 1);
    });

    test("a batch evaluates its conditions", async (t) => {
        const stream = await openStream(t);
        const batch = stream.batch();
        const good = batch.step();
        const goodRun = good.queryValue("SELECT 1");
        const bad = batch.step();
        const badRun = errorOf(bad.run("SELECT * FROM missing"));
        const afterBad = batch.step().condition(hrana.BatchCond.error(bad)).queryValue("SELECT 'after'");
        const skipped = batch.step().condition(hrana.BatchCond.ok(bad)).queryValue("SELECT 'never'");
        const both = batch.step()
            .condition(hrana.BatchCond.and(batch, [hrana.BatchCond.ok(good), hrana.BatchCond.not(hrana.BatchCond.ok(bad))]))
            .queryValue("SELECT 'both'");
        const either = batch.step()
            .condition(hrana.BatchCond.or(batch, [hrana.BatchCond.ok(bad), hrana.BatchCond.ok(good)]))
            .queryValue("SELECT 'either'");
        await batch.execute();
        assert.equal((await goodRun).value, 1);
        assert.match((await badRun).message, /no such table/);
        assert.equal((await afterBad).value, "after");
        assert.equal(await skipped, undefined);
        assert.equal((await both).value, "both");
        assert.equal((await either).value, "either");
    });

    test("the state of a stream lasts from request to request", async (t) => {
        const stream = await openStream(t);
        await stream.run("CREATE TEMP TABLE mine (v)");
        await stream.run("INSERT INTO mine VALUES (7)");
        assert.equal((await stream.queryValue("SELECT v FROM mine")).value, 7);
        await stream.run("CREATE TABLE r (id INTEGER PRIMARY KEY)");
        await stream.run("INSERT INTO r VALUES (99)");
        assert.equal((await stream.queryValue("SELECT last_insert_rowid()")).value, 99);
        await stream.run("PRAGMA foreign_keys = ON");
        assert.equal((await stream.queryValue("PRAGMA foreign_keys")).value, 1);
    });

    test("a newer client finds the versions that are there", async (t) => {
        const { url } = await createDatabase();
        const client = hrana.openHttp(url, undefined, undefined, undefined, 3);
        t.after(() => client.close());
        assert.ok((await client.getVersion()) >= 2);
        const stream = client.openStream();
        assert.equal((await stream.queryValue("SELECT 1")).value, 1);
        stream.closeGracefully();
    });
});

describe("batons", () => {
    test("each reply has a new one, and only the newest is good", async () => {
        const database = await createDatabase();
        const first = await pipeline(database, [execute("BEGIN"), execute("CREATE TABLE b (v)")]);
        assert.ok(first.baton);
        const second = await pipeline(database, [execute("INSERT INTO b VALUES (1)")], { baton: first.baton });
        assert.notEqual(second.baton, first.baton);
        const replayed = await send(database, "v3/pipeline", { baton: first.baton, requests: [execute("COMMIT"), close] });
        assert.equal(replayed.status, 400);
        assert.equal(replayed.body.code, "HRANA_PROTO_ERROR");
        const last = await pipeline(database, [execute("COMMIT"), execute("SELECT v FROM b"), close], { baton: second.baton });
        assert.equal(last.baton, null);
        assert.deepEqual(rowsOf(last.results[1]), [["1"]]);
    });

    test("the baton of a closed stream has expired", async () => {
        const database = await createDatabase();
        const { baton } = await pipeline(database, [execute("SELECT 1")]);
        await pipeline(database, [close], { baton });
        const reply = await send(database, "v3/pipeline", { baton, requests: [execute("SELECT 1")] });
        assert.deepEqual([reply.status, reply.body.code], [400, "STREAM_EXPIRED"], reply.text);
    });

    test("nobody can make one up, or use that of another database", async () => {
        const [database, other] = [await createDatabase(), await createDatabase()];
        const { baton } = await pipeline(database, [execute("SELECT 1")]);
        const changed = (baton[0] === "A" ? "B" : "A") + baton.slice(1);
        for (const [where, forged] of [[database, "baton"], [database, changed], [database, `${baton}A`], [other, baton]]) {
            const reply = await send(where, "v3/pipeline", { baton: forged, requests: [execute("SELECT 1")] });
            assert.deepEqual([reply.status, reply.body.code], [400, "HRANA_PROTO_ERROR"], reply.text);
        }
        assert.deepEqual(rowsOf((await pipeline(database, [execute("SELECT 1"), close], { baton })).results[0]), [["1"]]);
    });

    test("an empty baton is none", async () => {
        const database = await createDatabase();
        const { results } = await pipeline(database, [execute("SELECT 1"), close], { baton: "" });
        assert.deepEqual(rowsOf(results[0]), [["1"]]);
    });

    test("an open transaction ends with its stream", async () => {
        const database = await createDatabase();
        await pipeline(database, [execute("CREATE TABLE b (v)"), close]);
        const { baton } = await pipeline(database, [execute("BEGIN IMMEDIATE"), execute("INSERT INTO b VALUES (1)")]);
        await pipeline(database, [close], { baton });
        const { results } = await pipeline(database, [execute("INSERT INTO b VALUES (2)"), execute("SELECT v FROM b"), close]);
        assert.deepEqual(rowsOf(results[1]), [["2"]]);
    });
});

describe("pipelines", () => {
    for (const version of [2, 3]) {
        test(`v${version}: an error of one request stops no other`, async () => {
            const database = await createDatabase();
            const { results } = await pipeline(database, [execute("SELECT 1"), execute("nonsense"), execute("SELECT 2"), close], { version });
            assert.deepEqual(results.map((one) => one.type), ["ok", "error", "ok", "ok"]);
            assert.match(results[1].error.message, /syntax error/);
        });
    }

    test("get_autocommit tells of a transaction", async () => {
        const database = await createDatabase();
        const ask = { type: "get_autocommit" };
        const { results } = await pipeline(database, [ask, execute("BEGIN"), ask, execute("COMMIT"), ask, close]);
        assert.deepEqual([0, 2, 4].map((at) => results[at].response.is_autocommit), [true, false, true]);
    });

    test("rows that are not wanted are not sent", async () => {
        const database = await createDatabase();
        const statement = { sql: "SELECT 1", want_rows: false };
        const { results } = await pipeline(database, [{ type: "execute", stmt: statement }, close]);
        assert.deepEqual(result(results[0]).rows, []);
    });

    test("what a request does not know is ignored", async () => {
        const database = await createDatabase();
        const statement = { sql: "SELECT 1", replication_index: "5", a_new_field: [1] };
        const reply = await send(database, "v3/pipeline", { requests: [{ type: "execute", stmt: statement, more: 1 }, close], new: {} });
        assert.equal(reply.status, 200);
    });

    test("a result counts what it read and wrote", async () => {
        const database = await createDatabase();
        const { results } = await pipeline(database, [
            execute("CREATE TABLE r (id INTEGER PRIMARY KEY)"),
            execute("INSERT INTO r VALUES (5), (6)"),
            execute("SELECT * FROM r"),
            close,
        ]);
        const insert = result(results[1]);
        assert.deepEqual([insert.affected_row_count, insert.last_insert_rowid], [2, "6"]);
        for (const one of results.slice(0, 3).map(result)) {
            assert.equal(typeof one.rows_read, "number");
            assert.equal(typeof one.rows_written, "number");
            assert.equal(typeof one.query_duration_ms, "number");
        }
    });

    test("a broken constraint has its extended code beside the primary one", async () => {
        const database = await createDatabase();
        const { results } = await pipeline(database, [
            execute("CREATE TABLE p (id INTEGER PRIMARY KEY, u UNIQUE)"),
            execute("INSERT INTO p VALUES (1, 1)"),
            execute("INSERT INTO p VALUES (1, 2)"),
            execute("INSERT INTO p VALUES (2, 1)"),
            close,
        ]);
        const codes = results.slice(2, 4).map(({ error }) => [error.code, error.extended_code]);
        assert.deepEqual(codes, [
            ["SQLITE_CONSTRAINT", "SQLITE_CONSTRAINT_PRIMARYKEY"],
            ["SQLITE_CONSTRAINT", "SQLITE_CONSTRAINT_UNIQUE"],
        ]);
    });

    test("what is no pipeline is refused with a reason", async () => {
        const database = await createDatabase();
        for (const body of ["", "{", "[]", '{"requests":{}}', '{"requests":[{"type":"fly"}]}']) {
            const reply = await send(database, "v3/pipeline", body);
            assert.deepEqual([reply.status, reply.body?.code], [400, "HRANA_PROTO_ERROR"], body);
        }
    });
});

describe("cursors", () => {
    const lines = (text) => text.trimEnd().split("\n").map((line) => JSON.parse(line));

    test("a cursor sends each step and row as a line", async () => {
        const database = await createDatabase();
        const steps = [
            { stmt: { sql: "CREATE TABLE c (v)" } },
            { stmt: { sql: "INSERT INTO c VALUES (1), (2)" } },
            { stmt: { sql: "SELECT v FROM c" } },
            { stmt: { sql: "SELECT * FROM missing" } },
            { condition: { type: "ok", step: 3 }, stmt: { sql: "SELECT 'never'" } },
        ];
        const reply = await send(database, "v3/cursor", { baton: null, batch: { steps } });
        assert.equal(reply.status, 200);
        const [head, ...entries] = lines(reply.text);
        assert.ok("baton" in head && "base_url" in head);
        const seen = entries.map((entry) => [entry.type, entry.step]).filter(([type]) => type !== "replication_index");
        assert.deepEqual(seen, [
            ["step_begin", 0], ["step_end", undefined],
            ["step_begin", 1], ["step_end", undefined],
            ["step_begin", 2], ["row", undefined], ["row", undefined], ["step_end", undefined],
            ["step_error", 3],
        ]);
        assert.deepEqual(entries.filter(({ type }) => type === "row").map(({ row }) => row[0].value), ["1", "2"]);
        assert.equal(entries.at(-1).type, "replication_index");
    });

    test("a cursor and a pipeline share a stream", async () => {
        const database = await createDatabase();
        const { baton } = await pipeline(database, [execute("CREATE TEMP TABLE c (v)"), execute("INSERT INTO c VALUES (3)")]);
        const batch = { steps: [{ stmt: { sql: "SELECT v FROM c" } }] };
        const reply = await send(database, "v3/cursor", { baton, batch });
        const [head, ...entries] = lines(reply.text);
        assert.equal(entries.find(({ type }) => type === "row").row[0].value, "3");
        await pipeline(database, [close], { baton: head.baton });
    });
});

describe("which database is meant", () => {
    const whoami = execute("SELECT v FROM who");

    async function named() {
        const database = await createDatabase();
        await pipeline(database, [execute("CREATE TABLE who AS SELECT ? AS v", [{ type: "text", value: database.name }]), close]);
        return database;
    }

    /** fetch does not let Host be set. */
    function postAs(host) {
        const { hostname, port } = new URL(server);
        const body = JSON.stringify({ requests: [whoami, close] });
        return new Promise((resolve, reject) => {
            const request = http.request({ hostname, port, path: "/v2/pipeline", method: "POST", headers: { host } }, async (reply) => {
                const parts = [];
                for await (const part of reply) parts.push(part);
                resolve(JSON.parse(Buffer.concat(parts)));
            });
            request.on("error", reject);
            request.end(body);
        });
    }

    test("a header, the path or the host names it", async () => {
        const database = await named();
        const root = { url: `${server}/` };
        const expected = [[database.name]];
        assert.deepEqual(rowsOf((await pipeline(database, [whoami, close])).results[0]), expected);
        const headers = { "x-namespace": database.name };
        assert.deepEqual(rowsOf((await pipeline(root, [whoami, close], { headers })).results[0]), expected);
        const binary = { "x-namespace-bin": Buffer.from(database.name).toString("base64").replace(/=+$/, "") };
        assert.deepEqual(rowsOf((await pipeline(root, [whoami, close], { headers: binary })).results[0]), expected);
        assert.deepEqual(rowsOf((await postAs(`${database.name}.example.com`)).results[0]), expected);
    });

    test("an unknown one is not found", async () => {
        const reply = await send({ url: `${server}/no-such/` }, "v2/pipeline", { requests: [close] });
        assert.deepEqual([reply.status, reply.body.code], [404, "DATABASE_NOT_FOUND"]);
        assert.match(reply.body.error, /no-such/);
    });

    test("versions answer to probes", async () => {
        const { url } = await createDatabase();
        for (const path of ["v2", "v3"]) assert.ok((await fetch(new URL(path, url))).ok, path);
    });
});
