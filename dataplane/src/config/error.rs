//! Why a configuration is refused. The message names the key, because a person wrote the file.

use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Not YAML, an unknown key, or a value of the wrong type; the text says where.
    #[error("the configuration is not as it must be: {0}")]
    Parse(Box<serde_saphyr::Error>),
    /// A value that cannot be used.
    #[error("configuration key `{key}`: {reason}")]
    Value {
        /// Path of the key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    pub(super) fn value(key: &'static str, reason: impl ToString) -> Error {
        Error::Value {
            key,
            reason: reason.to_string(),
        }
    }
}
