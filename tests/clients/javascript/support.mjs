// What all suites share: a database of its own for each test, and Hrana without a client.
//
// The server is running already; ORION_URL says where (see ../run).

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createClient as createHttpClient } from "@libsql/client/http";
import { createClient as createWebClient } from "@libsql/client/web";

const SERVER = process.env.ORION_URL;
assert.ok(SERVER, "ORION_URL is not set: start these tests with tests/clients/run");

/** Where the server listens. */
export const server = SERVER.replace(/\/$/, "");

/** The entries of @libsql/client that speak HTTP. */
export const transports = { http: createHttpClient, web: createWebClient };

/** Makes an empty database; answers its name and the URL for clients. */
export async function createDatabase() {
    const name = `t-${randomUUID()}`;
    const reply = await fetch(`${server}/_orion/v1/databases`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name }),
    });
    assert.ok(reply.ok, `creating ${name}: ${reply.status} ${await reply.text()}`);
    return { name, url: `${server}/${name}/` };
}

/** A client of a new database, closed at the end of the test. */
export async function connect(t, { createClient = createHttpClient, ...config } = {}) {
    const database = await createDatabase();
    return connectTo(t, database, { createClient, ...config });
}

/** One more client of a database. */
export function connectTo(t, { url }, { createClient = createHttpClient, ...config } = {}) {
    const client = createClient({ url, ...config });
    t.after(() => client.close());
    client.databaseUrl = url;
    return client;
}

/** Sends JSON to a path below a database; answers status, headers, text and, if it is JSON, body. */
export async function send(database, path, body, headers = {}) {
    const reply = await fetch(new URL(path, database.url), {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await reply.text();
    const isJson = (reply.headers.get("content-type") ?? "").startsWith("application/json");
    return { status: reply.status, headers: reply.headers, text, body: isJson ? JSON.parse(text) : undefined };
}

/** Runs a pipeline that must be answered with 200; answers its body. */
export async function pipeline(database, requests, { baton = null, version = 3, headers } = {}) {
    const reply = await send(database, `v${version}/pipeline`, { baton, requests }, headers);
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.body.results.length, requests.length);
    return reply.body;
}

/** The request that runs one statement. */
export function execute(sql, args = []) {
    return { type: "execute", stmt: { sql, args } };
}

/** The request that ends a stream. */
export const close = { type: "close" };

/** The rows of one result of a pipeline, as plain values; integers stay text. */
export function rowsOf(result) {
    assert.equal(result.type, "ok", JSON.stringify(result));
    return result.response.result.rows.map((row) => row.map((value) => value.value ?? value.base64 ?? null));
}

/** A promise's error; fails if there is none. */
export async function errorOf(promise) {
    try {
        await promise;
    } catch (error) {
        return error;
    }
    return assert.fail("it should have failed");
}

/** Whether a promise is settled after everything that was already under way has had its time. */
export async function isPending(promise) {
    const pending = Symbol("pending");
    const later = new Promise((resolve) => setTimeout(resolve, 150, pending));
    const first = await Promise.race([promise.then(() => "settled", () => "settled"), later]);
    return first === pending;
}
