//! Hrana's JSON types.
