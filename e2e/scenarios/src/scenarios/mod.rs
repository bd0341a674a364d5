//! The scenarios, by what they are about. Each returns what it measured, in a sentence.

pub mod deletion;
pub mod group;
pub mod install;
pub mod members;
pub mod trouble;
