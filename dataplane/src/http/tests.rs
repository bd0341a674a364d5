//! The routes over a real TCP connection, on databases in memory.

mod bad_input;
mod bodies;
mod client;
mod connections;
mod fixture;
mod on_a_node;
mod pipelines;
mod replies;
mod unread;
