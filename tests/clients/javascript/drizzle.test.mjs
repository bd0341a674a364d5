// Drizzle ORM over @libsql/client: migrations, queries, transactions.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { describe, test } from "node:test";
import { and, asc, count, desc, eq, gt, inArray, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/libsql";
import { migrate } from "drizzle-orm/libsql/migrator";
import * as schema from "./schema.mjs";
import { connect, errorOf } from "./support.mjs";

const { users, posts, likes } = schema;
const migrationsFolder = fileURLToPath(new URL("migrations", import.meta.url));

async function migrated(t) {
    const client = await connect(t);
    const db = drizzle(client, { schema });
    await migrate(db, { migrationsFolder });
    return db;
}

/** Drizzle wraps what the client throws. */
const cause = (error) => error.cause ?? error;

describe("drizzle-orm: migrations", () => {
    test("run once, keep data, and may be run again", async (t) => {
        const db = await migrated(t);
        const before = await db.values(sql`SELECT hash, created_at FROM __drizzle_migrations`);
        assert.equal(before.length, 2);
        await migrate(db, { migrationsFolder });
        assert.deepEqual(await db.values(sql`SELECT hash, created_at FROM __drizzle_migrations`), before);
        assert.equal((await db.select().from(users)).length, 1);
        assert.equal((await db.select().from(posts))[0].title, "from a migration", "rebuilding users must not cascade");
    });
});

describe("drizzle-orm: queries", () => {
    test("an insert returns what the database made of it", async (t) => {
        const db = await migrated(t);
        const joined = new Date("2024-05-06T07:08:09.123Z");
        const [user] = await db.insert(users).values({ email: "a@example.com", profile: { tags: ["x", "ü"] }, joined }).returning();
        assert.deepEqual(user, { id: 2, email: "a@example.com", profile: { tags: ["x", "ü"] }, active: true, joined });
        const many = await db.insert(users).values([{ email: "b@example.com" }, { email: "c@example.com" }]).returning({ id: users.id });
        assert.deepEqual(many, [{ id: 3 }, { id: 4 }]);
    });

    test("blobs and large integers come back as they were", async (t) => {
        const db = await migrated(t);
        const picture = Buffer.from([0, 1, 2, 254, 255]);
        const views = 9223372036854775807n;
        await db.insert(posts).values({ id: 5, author: 1, title: "p", picture, views });
        const [post] = await db.select().from(posts).where(eq(posts.id, 5));
        assert.deepEqual(Buffer.from(post.picture), picture);
        assert.equal(post.views, views);
        assert.equal(post.score, 0.5);
        assert.match(post.created, /^\d{4}-\d\d-\d\d /);
    });

    test("joins, groups and orders", async (t) => {
        const db = await migrated(t);
        await db.insert(users).values([{ id: 2, email: "b@example.com" }, { id: 3, email: "c@example.com", active: false }]);
        await db.insert(posts).values([{ id: 2, author: 2, title: "two" }, { id: 3, author: 2, title: "three" }]);
        await db.insert(likes).values([{ user: 1, post: 2 }, { user: 3, post: 2 }]);
        const joined = await db
            .select({ email: users.email, title: posts.title, likes: count(likes.user) })
            .from(users)
            .leftJoin(posts, eq(posts.author, users.id))
            .leftJoin(likes, eq(likes.post, posts.id))
            .where(inArray(users.id, [2, 3]))
            .groupBy(users.id, posts.id)
            .orderBy(asc(users.id), desc(posts.id));
        assert.deepEqual(joined, [
            { email: "b@example.com", title: "three", likes: 0 },
            { email: "b@example.com", title: "two", likes: 2 },
            { email: "c@example.com", title: null, likes: 0 },
        ]);
        const whole = await db.select().from(users).innerJoin(posts, eq(posts.author, users.id)).where(and(eq(users.active, true), gt(posts.id, 2)));
        assert.deepEqual(whole.map((row) => [row.users.email, row.posts.title]), [["b@example.com", "three"]]);
    });

    test("relations are loaded in one query", async (t) => {
        const db = await migrated(t);
        await db.insert(posts).values({ id: 2, author: 1, title: "second" });
        const user = await db.query.users.findFirst({ with: { posts: { columns: { title: true }, orderBy: asc(posts.id) } } });
        assert.deepEqual(user.posts, [{ title: "from a migration" }, { title: "second" }]);
        const post = await db.query.posts.findFirst({ where: eq(posts.id, 2), with: { author: true } });
        assert.equal(post.author.email, "first@example.com");
    });

    test("an upsert updates what is there", async (t) => {
        const db = await migrated(t);
        const [user] = await db
            .insert(users)
            .values({ email: "first@example.com", active: false })
            .onConflictDoUpdate({ target: users.email, set: { active: false } })
            .returning();
        assert.deepEqual([user.id, user.active], [1, false]);
        const nothing = await db.insert(users).values({ email: "first@example.com" }).onConflictDoNothing().returning();
        assert.deepEqual(nothing, []);
    });

    test("updates and deletes tell their rows", async (t) => {
        const db = await migrated(t);
        await db.insert(users).values([{ email: "b@example.com" }, { email: "c@example.com" }]);
        assert.equal((await db.update(users).set({ active: false }).where(gt(users.id, 1))).rowsAffected, 2);
        const gone = await db.delete(users).where(eq(users.active, false)).returning({ email: users.email });
        assert.deepEqual(gone, [{ email: "b@example.com" }, { email: "c@example.com" }]);
    });

    test("a prepared query runs many times", async (t) => {
        const db = await migrated(t);
        const byEmail = db.select().from(users).where(eq(users.email, sql.placeholder("email"))).prepare();
        assert.equal((await byEmail.all({ email: "first@example.com" })).length, 1);
        assert.equal((await byEmail.all({ email: "nobody@example.com" })).length, 0);
    });

    test("a batch is one transaction", async (t) => {
        const db = await migrated(t);
        const [inserted, all] = await db.batch([
            db.insert(users).values({ email: "b@example.com" }).returning({ id: users.id }),
            db.select({ n: count() }).from(users),
        ]);
        assert.deepEqual([inserted, all], [[{ id: 2 }], [{ n: 2 }]]);
        await errorOf(db.batch([
            db.insert(users).values({ email: "c@example.com" }),
            db.insert(users).values({ email: "b@example.com" }),
        ]));
        assert.equal(await db.$count(users), 2);
    });

    test("a broken constraint is SQLite's error", async (t) => {
        const db = await migrated(t);
        const error = cause(await errorOf(db.insert(users).values({ email: "first@example.com" })));
        assert.equal(error.code, "SQLITE_CONSTRAINT");
        assert.match(error.message, /UNIQUE constraint failed: users\.email/);
    });
});

describe("drizzle-orm: transactions", () => {
    test("commit together or not at all", async (t) => {
        const db = await migrated(t);
        const id = await db.transaction(async (tx) => {
            const [user] = await tx.insert(users).values({ email: "b@example.com" }).returning();
            await tx.insert(posts).values({ author: user.id, title: "in the transaction" });
            return user.id;
        });
        assert.equal(await db.$count(posts, eq(posts.author, id)), 1);
        const error = await errorOf(db.transaction(async (tx) => {
            await tx.insert(users).values({ email: "c@example.com" });
            await tx.insert(users).values({ email: "b@example.com" });
        }));
        assert.equal(cause(error).code, "SQLITE_CONSTRAINT");
        assert.equal(await db.$count(users), 2);
    });

    test("rollback() undoes them", async (t) => {
        const db = await migrated(t);
        await errorOf(db.transaction(async (tx) => {
            await tx.delete(posts);
            tx.rollback();
        }));
        assert.equal(await db.$count(posts), 1);
    });

    test("nested ones are savepoints", async (t) => {
        const db = await migrated(t);
        await db.transaction(async (tx) => {
            await tx.insert(users).values({ email: "outer@example.com" });
            await errorOf(tx.transaction(async (inner) => {
                await inner.insert(users).values({ email: "inner@example.com" });
                inner.rollback();
            }));
            await tx.transaction(async (inner) => inner.insert(users).values({ email: "kept@example.com" }));
        });
        const emails = (await db.select({ email: users.email }).from(users).orderBy(users.id)).map(({ email }) => email);
        assert.deepEqual(emails, ["first@example.com", "outer@example.com", "kept@example.com"]);
    });

    test("that write at once take turns", async (t) => {
        const db = await migrated(t);
        await db.insert(posts).values({ id: 9, author: 1, title: "", score: 0 });
        const raise = () => db.transaction(async (tx) => {
            const [{ score }] = await tx.select({ score: posts.score }).from(posts).where(eq(posts.id, 9));
            await tx.update(posts).set({ score: score + 1 }).where(eq(posts.id, 9));
        });
        await Promise.all(Array.from({ length: 8 }, raise));
        const [{ score }] = await db.select({ score: posts.score }).from(posts).where(eq(posts.id, 9));
        assert.equal(score, 8);
    });
});
