//! Amounts of bytes and of processors as Kubernetes writes them: `10Gi`, `500m`, `1024`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;

const PATTERN: &str = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][-+]?[0-9]+))?$";

/// Text such as `10Gi`. A number in YAML is taken too, and is text from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

impl Quantity {
    /// Whole units (bytes, processors), rounded up as Kubernetes does. None where the text is none.
    pub fn units(&self) -> Option<u64> {
        let text = self.0.strip_prefix('+').unwrap_or(&self.0);
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let number: f64 = number.parse().ok()?;
        let factor = match suffix {
            "" => 1.0,
            "n" => 1e-9,
            "u" => 1e-6,
            "m" => 1e-3,
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "T" => 1e12,
            "P" => 1e15,
            "E" => 1e18,
            "Ki" => 1024.0,
            "Mi" => 1024f64.powi(2),
            "Gi" => 1024f64.powi(3),
            "Ti" => 1024f64.powi(4),
            "Pi" => 1024f64.powi(5),
            "Ei" => 1024f64.powi(6),
            _ => 10f64.powi(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
        };
        let units = (number * factor).ceil();
        (units < u64::MAX as f64).then_some(units as u64)
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Quantity {
        Quantity(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Quantity, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(i64),
            Text(String),
        }
        Ok(Quantity(match Written::deserialize(from)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        }))
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "maxLength": 32, "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        let units = |text: &str| Quantity::from(text).units();
        assert_eq!(units("10Gi"), Some(10 << 30));
        assert_eq!(units("1.5k"), Some(1500));
        assert_eq!(units("500m"), Some(1));
        assert_eq!(units("1e3"), Some(1000));
        assert_eq!(units("+2"), Some(2));
        for wrong in ["", "Gi", "1Xi", "1.2.3", "99E"] {
            assert_eq!(units(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_number_is_a_quantity_too() {
        let parse = |text| serde_json::from_str::<Quantity>(text).map(|read| read.0);
        assert_eq!(parse("1024").expect("valid"), "1024");
        assert_eq!(parse(r#""1Ki""#).expect("valid"), "1Ki");
        assert!(parse("[]").is_err());
    }
}
