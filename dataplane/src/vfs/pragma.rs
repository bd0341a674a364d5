//! Which pragmas the file refuses or answers itself. Pure.
//!
//! Refused is what would make SQLite write outside of a batch or keep unbounded pages on the heap. Clients do not
//! get that far: `sql::pragmas` takes such a wish without effect before SQLite asks the file. A page size that
//! comes too late and a cache that is too large are ignored here. Values are compared with the few spellings that
//! SQLite is known to take; anything else is refused, because SQLite's own parsing is lenient (`synchronous=256`
//! means OFF).

/// What to do with a pragma.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// SQLite goes on with it.
    Pass,
    /// An error with this text.
    Refuse(String),
    /// No result, SQLite does nothing.
    Nothing,
    /// The value is noted, and what holds is the result: `busy_timeout` in milliseconds.
    BusyTimeout(Option<u32>),
}

/// What the file knows when a pragma comes.
pub(super) struct Known {
    /// Bytes of each page, `None` if nothing was written yet.
    pub(super) page_bytes: Option<u32>,
    /// What the page cache may hold at most.
    pub(super) cache_bytes: u64,
}

/// Decides on `PRAGMA name` or `PRAGMA name=value`.
pub(super) fn decide(name: &str, value: Option<&str>, known: &Known) -> Answer {
    let name = name.to_ascii_lowercase();
    let value = value.map(|value| value.trim().to_ascii_lowercase());
    match name.as_str() {
        "busy_timeout" => Answer::BusyTimeout(value.map(|value| value.parse().unwrap_or(0))),
        "cache_size" => value.map_or(Answer::Pass, |value| cache_size(&value, known)),
        "page_size" => value.map_or(Answer::Pass, |value| page_size(&value, known)),
        "default_cache_size" => fixed(&name, value.as_deref(), &[]),
        "journal_mode" => fixed(&name, value.as_deref(), &["memory"]),
        "locking_mode" => fixed(&name, value.as_deref(), &["normal"]),
        "synchronous" => fixed(
            &name,
            value.as_deref(),
            &["1", "2", "3", "normal", "full", "extra"],
        ),
        "cache_spill" => fixed(&name, value.as_deref(), &["0", "off", "no", "false"]),
        "mmap_size" => fixed(&name, value.as_deref(), &["0"]),
        "temp_store" => fixed(&name, value.as_deref(), &["0", "1", "default", "file"]),
        _ => Answer::Pass,
    }
}

fn fixed(name: &str, value: Option<&str>, allowed: &[&str]) -> Answer {
    match value {
        Some(value) if !allowed.contains(&value) => {
            Answer::Refuse(format!("PRAGMA {name} cannot be set to {value} here"))
        }
        _ => Answer::Pass,
    }
}

fn page_size(value: &str, known: &Known) -> Answer {
    match (known.page_bytes, value.parse::<u32>().ok()) {
        (Some(bytes), Some(wanted)) if bytes == wanted => Answer::Pass,
        (None, Some(_)) => Answer::Pass,
        // Not an error to SQLite either: it would only change it with a VACUUM.
        _ => Answer::Nothing,
    }
}

fn cache_size(value: &str, known: &Known) -> Answer {
    let page_bytes = u64::from(known.page_bytes.unwrap_or(4096));
    let bytes = match value.parse::<i64>() {
        Ok(pages) if pages >= 0 => pages.unsigned_abs().saturating_mul(page_bytes),
        Ok(kibibytes) => kibibytes.unsigned_abs().saturating_mul(1024),
        Err(_) => u64::MAX,
    };
    if bytes <= known.cache_bytes {
        return Answer::Pass;
    }
    // A larger wish is not an error: the shared page cache below serves what does not fit here.
    Answer::Nothing
}
