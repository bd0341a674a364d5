//! HTTP: routes around parts that know nothing of it.

pub mod admin;
