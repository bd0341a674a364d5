//! What SQLite must have been compiled with. Checked once at start: cargo takes the options from
//! `.cargo/config.toml` only below the repository, and without them commits would not come as batches.

use crate::vfs;

/// Options that must be there.
const REQUIRED: [&str; 2] = ["ENABLE_BATCH_ATOMIC_WRITE", "TEMP_STORE=1"];

/// SQLite is not the one that this product needs.
#[derive(Debug, thiserror::Error)]
pub enum CompileOptionsError {
    /// Compiled without it.
    #[error("SQLite was compiled without {0}: build below the repository, or set LIBSQLITE3_FLAGS")]
    Missing(&'static str),
    /// Something used SQLite before this check.
    #[error("SQLite was already in use, so that its heap cannot be limited")]
    StartedTooEarly,
    /// SQLite does not even run.
    #[error("SQLite does not start")]
    Broken(#[source] rusqlite::Error),
}

/// Starts SQLite, and fails unless it was compiled as it must be. The first use of SQLite in the process.
pub fn check() -> Result<(), CompileOptionsError> {
    if !vfs::start().map_err(CompileOptionsError::Broken)? {
        return Err(CompileOptionsError::StartedTooEarly);
    }
    check_present(&present().map_err(CompileOptionsError::Broken)?)
}

fn check_present(present: &[String]) -> Result<(), CompileOptionsError> {
    match missing(present) {
        Some(option) => Err(CompileOptionsError::Missing(option)),
        None => Ok(()),
    }
}

fn present() -> rusqlite::Result<Vec<String>> {
    let connection = rusqlite::Connection::open_in_memory()?;
    let mut statement = connection.prepare("PRAGMA compile_options")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn missing(present: &[String]) -> Option<&'static str> {
    REQUIRED
        .into_iter()
        .find(|option| !present.iter().any(|one| one == option))
}

#[cfg(test)]
mod tests {
    use super::{check_present, missing, present};

    #[test]
    fn this_build_is_compiled_as_it_must_be() {
        check_present(&present().expect("SQLite starts")).expect("LIBSQLITE3_FLAGS of .cargo/config.toml");
    }

    #[test]
    fn a_missing_option_is_named() {
        assert_eq!(
            missing(&["TEMP_STORE=1".to_owned()]),
            Some("ENABLE_BATCH_ATOMIC_WRITE")
        );
    }
}
