//! `archive`: how the log gets into the object store.

use super::Error;
use super::raw::{at_least, time};
use crate::archive::Options;
use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawArchive {
    enabled: Option<bool>,
    interval_ms: Option<u64>,
    log_bytes_max: Option<u64>,
    retention_hours: Option<u64>,
}

impl RawArchive {
    /// None where it is turned off.
    pub(super) fn check(self) -> Result<Option<Options>, Error> {
        let default = Options::default();
        let hours = match self.retention_hours {
            None => default.retention,
            Some(hours) => {
                let hours = at_least("archive.retention_hours", hours, 1)?;
                Duration::from_secs(hours.saturating_mul(3600))
            }
        };
        let options = Options {
            interval: time("archive.interval_ms", self.interval_ms, default.interval)?,
            log_bytes_max: at_least(
                "archive.log_bytes_max",
                self.log_bytes_max.unwrap_or(default.log_bytes_max),
                1 << 20,
            )?,
            retention: hours,
            ..default
        };
        Ok(self.enabled.unwrap_or(true).then_some(options))
    }
}
