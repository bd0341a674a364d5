CREATE TABLE `users` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`email` text,
	`profile` text,
	`active` integer DEFAULT true NOT NULL
);
--> statement-breakpoint
CREATE TABLE `posts` (
	`id` integer PRIMARY KEY NOT NULL,
	`author` integer NOT NULL,
	`title` text NOT NULL,
	`score` real DEFAULT 0.5,
	`picture` blob,
	`views` blob,
	`created` text DEFAULT (CURRENT_TIMESTAMP),
	FOREIGN KEY (`author`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `posts_author` ON `posts` (`author`);--> statement-breakpoint
CREATE TABLE `likes` (
	`user` integer NOT NULL,
	`post` integer NOT NULL,
	PRIMARY KEY(`user`, `post`),
	FOREIGN KEY (`user`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`post`) REFERENCES `posts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
INSERT INTO `users` (`id`, `email`) VALUES (1, 'first@example.com');
--> statement-breakpoint
INSERT INTO `posts` (`id`, `author`, `title`) VALUES (1, 1, 'from a migration');
