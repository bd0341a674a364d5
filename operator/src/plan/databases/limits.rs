//! Sizes and limits: what a spec wishes, what differs from it, and how a size is shown.

use orion_api::admin::{ChangeDatabase, Database as Made, LimitsChange};
use orion_crds::{Database, Duration, Quantity};

/// What the spec wishes; what it does not name is the node's default.
pub(super) fn wished_limits(database: &Database) -> orion_api::admin::Limits {
    let limits = &database.spec.limits;
    let millis = |time: &Duration| time.std().and_then(|time| u64::try_from(time.as_millis()).ok());
    orion_api::admin::Limits {
        size_bytes: limits.size.as_ref().and_then(Quantity::units),
        statement_time_ms: limits.statement_timeout.as_ref().and_then(millis),
        streams: limits.connections.map(u64::from),
        ..orion_api::admin::Limits::default()
    }
}

/// Limits that the spec names and that differ. What it does not name stays as it is.
pub(super) fn limits_change(database: &Database, made: &Made) -> Option<ChangeDatabase> {
    let wished = wished_limits(database);
    let differs =
        |wished: Option<u64>, now: Option<u64>| (wished.is_some() && wished != now).then_some(wished);
    let limits = LimitsChange {
        size_bytes: differs(wished.size_bytes, made.limits.size_bytes),
        statement_time_ms: differs(wished.statement_time_ms, made.limits.statement_time_ms),
        streams: differs(wished.streams, made.limits.streams),
        ..LimitsChange::default()
    };
    (limits != LimitsChange::default()).then_some(ChangeDatabase { limits })
}

/// A size with two digits: a status that changed with every page would be written all the time.
pub fn shown_size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    match size < 10.0 && unit > 0 {
        true => format!("{size:.1} {}", units[unit]),
        false => format!("{size:.0} {}", units[unit]),
    }
}
