// Values go to the server and come back as they were.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connect, createDatabase, errorOf, execute, close, pipeline, rowsOf, send, transports } from "./support.mjs";

const I64_MAX = 9223372036854775807n;
const I64_MIN = -9223372036854775808n;

/** The value and SQLite's type of it, after a way there and back. */
async function roundTrip(client, value) {
    const { rows } = await client.execute({ sql: "SELECT ? AS v, typeof(?1) AS t", args: [value] });
    return [rows[0].v, rows[0].t];
}

/** The same through a row of a table. */
async function stored(client, value) {
    await client.execute("CREATE TABLE IF NOT EXISTS kept (v)");
    await client.execute("DELETE FROM kept");
    await client.execute({ sql: "INSERT INTO kept VALUES (?)", args: [value] });
    return (await client.execute("SELECT v FROM kept")).rows[0].v;
}

for (const [transport, createClient] of Object.entries(transports)) {
    describe(`@libsql/client/${transport}`, () => {
        test("null is null", async (t) => {
            const client = await connect(t, { createClient });
            assert.deepEqual(await roundTrip(client, null), [null, "null"]);
            assert.equal(await stored(client, null), null);
        });

        test("integers keep all 64 bits", async (t) => {
            const client = await connect(t, { createClient, intMode: "bigint" });
            for (const value of [0n, 1n, -1n, 2n ** 53n, 2n ** 53n + 1n, I64_MAX, I64_MIN, I64_MAX - 1n]) {
                assert.deepEqual(await roundTrip(client, value), [value, "integer"]);
                assert.equal(await stored(client, value), value);
            }
        });

        test("integers are text where the client asks for it", async (t) => {
            const client = await connect(t, { createClient, intMode: "string" });
            assert.deepEqual(await roundTrip(client, I64_MIN), [I64_MIN.toString(), "integer"]);
        });

        test("an integer that a number cannot hold is refused by the client, not rounded", async (t) => {
            const client = await connect(t, { createClient });
            const { rows } = await client.execute("SELECT 9007199254740991 AS v");
            assert.equal(rows[0].v, Number.MAX_SAFE_INTEGER);
            const error = await errorOf(client.execute("SELECT 9007199254740993 AS v"));
            assert.ok(error instanceof RangeError, String(error));
        });

        test("numbers are floats, and whole in an integer column", async (t) => {
            const client = await connect(t, { createClient });
            assert.deepEqual(await roundTrip(client, 1), [1, "real"]);
            await client.execute("CREATE TABLE whole (v INTEGER)");
            await client.execute({ sql: "INSERT INTO whole VALUES (?)", args: [7] });
            const { rows } = await client.execute("SELECT v, typeof(v) AS t FROM whole");
            assert.deepEqual([rows[0].v, rows[0].t], [7, "integer"]);
        });

        test("floats keep all bits", async (t) => {
            const client = await connect(t, { createClient });
            const values = [
                0.1, -0.1, 1 / 3, Math.PI, 1e100, -1e-100, 1.5e300, 123456789.123456789,
                Number.MAX_VALUE, Number.MIN_VALUE, Number.EPSILON, 2 ** 53, 2 ** 63, 2.2250738585072014e-308,
            ];
            for (const value of values) {
                assert.deepEqual(await roundTrip(client, value), [value, "real"]);
                assert.equal(await stored(client, value), value);
            }
        });

        test("booleans are 0 and 1, dates are milliseconds", async (t) => {
            const client = await connect(t, { createClient });
            assert.deepEqual(await roundTrip(client, true), [1, "integer"]);
            assert.deepEqual(await roundTrip(client, false), [0, "integer"]);
            const date = new Date("2024-02-29T12:34:56.789Z");
            assert.equal((await roundTrip(client, date))[0], date.valueOf());
        });

        test("text is any Unicode", async (t) => {
            const client = await connect(t, { createClient });
            const texts = [
                "", " ", "plain", "Grüße", "日本語", "العربية", "👩‍👩‍👧‍👦 🇺🇳", "e\u0301 is not \u00e9", "\u{10ffff}\uffff\ufeff",
                "line\nline\r\n\ttab", "\u2028\u2029", "it's \"quoted\" \\ `so`", "\u0001\u001f\u007f", "%s ? :a $b @c ?1",
            ];
            for (const text of texts) {
                assert.deepEqual(await roundTrip(client, text), [text, "text"]);
                assert.equal(await stored(client, text), text);
            }
        });

        test("a NUL within text cuts nothing off", async (t) => {
            const client = await connect(t, { createClient });
            for (const text of ["\0", "a\0b", "\0\0", "ends\0", "\0begins"]) {
                assert.deepEqual(await roundTrip(client, text), [text, "text"]);
                assert.equal(await stored(client, text), text);
            }
            const { rows } = await client.execute({ sql: "SELECT hex(CAST(? AS BLOB)) AS h", args: ["a\0b"] });
            assert.equal(rows[0].h, "610062");
        });

        test("a megabyte of text is one value", async (t) => {
            const client = await connect(t, { createClient });
            const text = "ä€😀".repeat(120_000);
            assert.equal(await stored(client, text), text);
        });

        test("blobs of every length and byte", async (t) => {
            const client = await connect(t, { createClient });
            const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
            for (const bytes of [all.slice(0, 0), all.slice(0, 1), all.slice(0, 2), all.slice(0, 3), all.slice(250), all]) {
                const [value, type] = await roundTrip(client, bytes);
                assert.equal(type, "blob");
                assert.ok(value instanceof ArrayBuffer);
                assert.deepEqual(new Uint8Array(value), bytes);
                assert.deepEqual(new Uint8Array(await stored(client, bytes.slice().buffer)), bytes);
            }
        });

        test("an empty blob is neither null nor text", async (t) => {
            const client = await connect(t, { createClient });
            await client.execute("CREATE TABLE b (v BLOB NOT NULL)");
            await client.execute({ sql: "INSERT INTO b VALUES (?)", args: [new Uint8Array()] });
            const { rows } = await client.execute("SELECT v, typeof(v) AS t, length(v) AS n FROM b");
            assert.deepEqual([rows[0].v.byteLength, rows[0].t, rows[0].n], [0, "blob", 0]);
        });

        test("a blob of eight megabytes comes back whole", async (t) => {
            const client = await connect(t, { createClient });
            const bytes = new Uint8Array(8 << 20);
            for (let at = 0; at < bytes.length; at += 1) bytes[at] = (at * 2654435761) >>> 24;
            const back = new Uint8Array(await stored(client, bytes));
            assert.equal(Buffer.compare(back, bytes), 0);
        });
    });
}

describe("Hrana's JSON", () => {
    test("base64 is taken with and without padding and sent without", async () => {
        const database = await createDatabase();
        const forms = [["AQ==", "AQ"], ["AQ", "AQ"], ["AQI=", "AQI"], ["AQI", "AQI"], ["AQID", "AQID"], ["", ""], ["+/+/", "+/+/"]];
        const requests = forms.map(([base64]) => execute("SELECT ?", [{ type: "blob", base64 }]));
        for (const version of [2, 3]) {
            const { results } = await pipeline(database, [...requests, close], { version });
            forms.forEach(([, expected], at) => {
                assert.deepEqual(results[at].response.result.rows, [[{ type: "blob", base64: expected }]]);
            });
        }
    });

    test("bad base64 is an error of the protocol", async () => {
        const database = await createDatabase();
        for (const base64 of ["*", "A", "AQ===", "A Q I D"]) {
            const request = execute("SELECT ?", [{ type: "blob", base64 }]);
            const reply = await send(database, "v3/pipeline", { requests: [request, close] });
            assert.deepEqual([reply.status, reply.body?.code], [400, "HRANA_PROTO_ERROR"], `${base64}: ${reply.text}`);
        }
    });

    test("integers are text both ways", async () => {
        const database = await createDatabase();
        const arg = { type: "integer", value: I64_MIN.toString() };
        const { results } = await pipeline(database, [execute("SELECT ?, 9223372036854775807", [arg]), close]);
        assert.deepEqual(results[0].response.result.rows, [[arg, { type: "integer", value: I64_MAX.toString() }]]);
    });

    test("an integer of more than 64 bits is refused", async () => {
        const database = await createDatabase();
        const arg = { type: "integer", value: (I64_MAX + 1n).toString() };
        const reply = await send(database, "v3/pipeline", { requests: [execute("SELECT ?", [arg]), close] });
        assert.deepEqual([reply.status, reply.body?.code], [400, "HRANA_PROTO_ERROR"], reply.text);
    });

    test("floats that JSON does not know are null", async () => {
        const database = await createDatabase();
        const { results } = await pipeline(database, [execute("SELECT 9e999, -9e999, 1.5"), close]);
        assert.deepEqual(rowsOf(results[0]), [[null, null, 1.5]]);
    });

    test("a column tells the type that it was declared with", async () => {
        const database = await createDatabase();
        const { results } = await pipeline(database, [
            execute("CREATE TABLE d (a INTEGER PRIMARY KEY, b VARCHAR(9), c)"),
            execute("SELECT a, b AS named, c, 1 + 1 FROM d"),
            close,
        ]);
        assert.deepEqual(results[1].response.result.cols, [
            { name: "a", decltype: "INTEGER" },
            { name: "named", decltype: "VARCHAR(9)" },
            { name: "c", decltype: null },
            { name: "1 + 1", decltype: null },
        ]);
    });
});
