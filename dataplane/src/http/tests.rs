//! The routes over a real TCP connection, on databases in memory.

mod bad_input;
mod fixture;
mod pipelines;
mod replies;
