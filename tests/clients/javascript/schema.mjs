// The tables of the Drizzle suite, as an application would declare them.

import { relations, sql } from "drizzle-orm";
import { blob, index, integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const users = sqliteTable("users", {
    id: integer("id").primaryKey({ autoIncrement: true }),
    email: text("email").notNull().unique(),
    profile: text("profile", { mode: "json" }),
    active: integer("active", { mode: "boolean" }).notNull().default(true),
    joined: integer("joined", { mode: "timestamp_ms" }),
});

export const posts = sqliteTable(
    "posts",
    {
        id: integer("id").primaryKey(),
        author: integer("author").notNull().references(() => users.id, { onDelete: "cascade" }),
        title: text("title").notNull(),
        score: real("score").default(0.5),
        picture: blob("picture", { mode: "buffer" }),
        views: blob("views", { mode: "bigint" }),
        created: text("created").default(sql`(CURRENT_TIMESTAMP)`),
    },
    (table) => [index("posts_author").on(table.author)],
);

export const likes = sqliteTable(
    "likes",
    {
        user: integer("user").notNull().references(() => users.id),
        post: integer("post").notNull().references(() => posts.id),
    },
    (table) => [primaryKey({ columns: [table.user, table.post] })],
);

export const usersRelations = relations(users, ({ many }) => ({ posts: many(posts) }));
export const postsRelations = relations(posts, ({ one }) => ({
    author: one(users, { fields: [posts.author], references: [users.id] }),
}));
