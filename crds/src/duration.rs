//! Spans of time as people write them: `500ms`, `30s`, `1h30m`.

use crate::schema::text_schema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What the schema admits; [`Duration::std`] reads exactly this.
const PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$";

/// Text such as `30s`. Kept as it was written, so that nothing changes what a person wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(pub String);

impl Duration {
    /// Its length. None where the text is none, or longer than 64 bits of milliseconds: the schema refuses the first.
    pub fn std(&self) -> Option<std::time::Duration> {
        let mut rest = self.0.as_str();
        let mut millis = 0.0;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let units = [("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 3.6e6)];
            let (unit, factor) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
            rest = &rest[unit.len()..];
            millis += number * factor;
        }
        (millis < u64::MAX as f64).then(|| std::time::Duration::from_millis(millis as u64))
    }
}

impl From<&str> for Duration {
    fn from(text: &str) -> Duration {
        Duration(text.to_owned())
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        text_schema(32, PATTERN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        let millis = |text: &str| Duration::from(text).std().map(|length| length.as_millis());
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("0.5s"), Some(500));
        assert_eq!(millis("2m"), Some(120_000));
        for wrong in ["", "5", "s", "5d", "1s2", "-1s", "1..2s"] {
            assert_eq!(millis(wrong), None, "{wrong:?}");
        }
    }
}
