//! The JSON form of a [`Value`]: `{"type":"integer","value":"1"}`.

use crate::Value;
use base64::Engine;
use base64::alphabet;
use base64::display::Base64Display;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::de::{Error as _, MapAccess, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// Writes without padding, reads with or without; stray low bits at the end are forgiven as other servers do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Value::Null => map.serialize_entry("type", "null")?,
            Value::Integer(number) => {
                map.serialize_entry("type", "integer")?;
                map.serialize_entry("value", itoa::Buffer::new().format(*number))?;
            }
            Value::Real(number) if number.is_finite() => {
                map.serialize_entry("type", "float")?;
                map.serialize_entry("value", number)?;
            }
            // `{"type":"float","value":null}` breaks the parsers of most clients.
            Value::Real(_) => map.serialize_entry("type", "null")?,
            Value::Text(text) => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("value", text)?;
            }
            Value::Blob(bytes) => {
                map.serialize_entry("type", "blob")?;
                map.serialize_entry("base64", &Displayed(Base64Display::new(bytes, &BASE64)))?;
            }
        }
        map.end()
    }
}

/// Serializes what it shows, without a string in between.
struct Displayed<T>(T);

impl<T: fmt::Display> Serialize for Displayed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(ValueVisitor)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Type,
    Value,
    Base64,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    Null,
    Integer,
    Float,
    Text,
    Blob,
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, as {\"type\": …, \"value\": …}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut kind = None;
        let mut value = None;
        let mut base64 = None;
        while let Some(field) = map.next_key()? {
            match field {
                Field::Type => kind = Some(map.next_value::<Type>()?),
                Field::Value => value = Some(map.next_value::<Scalar<'de>>()?),
                Field::Base64 => base64 = Some(map.next_value::<Scalar<'de>>()?),
                Field::Unknown => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        let value = value.ok_or_else(|| A::Error::missing_field("value"));
        match kind.ok_or_else(|| A::Error::missing_field("type"))? {
            Type::Null => Ok(Value::Null),
            Type::Integer => value?.integer(),
            Type::Float => value?.float(),
            Type::Text => value?.text("a string").map(|text| Value::Text(text.into_owned())),
            Type::Blob => {
                let text = base64
                    .ok_or_else(|| A::Error::missing_field("base64"))?
                    .text("base64 text")?;
                BASE64
                    .decode(text.as_bytes())
                    .map(|bytes| Value::Blob(Bytes::from(bytes)))
                    .map_err(|error| A::Error::custom(format_args!("invalid base64: {error}")))
            }
        }
    }
}

/// What may stand after `"value":`, before the type is known.
enum Scalar<'de> {
    Null,
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(Cow<'de, str>),
}

impl<'de> Scalar<'de> {
    fn integer<E: serde::de::Error>(self) -> Result<Value, E> {
        let expected = &"a 64-bit signed integer, as a decimal string";
        match self {
            Scalar::Text(text) => text
                .parse()
                .map(Value::Integer)
                .map_err(|_| E::invalid_value(Unexpected::Str(&text), expected)),
            Scalar::Signed(number) => Ok(Value::Integer(number)),
            Scalar::Unsigned(number) => i64::try_from(number)
                .map(Value::Integer)
                .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), expected)),
            other => Err(E::invalid_type(other.unexpected(), expected)),
        }
    }

    fn float<E: serde::de::Error>(self) -> Result<Value, E> {
        match self {
            Scalar::Float(number) => Ok(Value::Real(number)),
            Scalar::Signed(number) => Ok(Value::Real(number as f64)),
            Scalar::Unsigned(number) => Ok(Value::Real(number as f64)),
            // What JavaScript makes of NaN and the infinities.
            Scalar::Null => Ok(Value::Null),
            Scalar::Text(text) => Err(E::invalid_type(Unexpected::Str(&text), &"a number")),
        }
    }

    fn text<E: serde::de::Error>(self, expected: &'static str) -> Result<Cow<'de, str>, E> {
        match self {
            Scalar::Text(text) => Ok(text),
            other => Err(E::invalid_type(other.unexpected(), &expected)),
        }
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Scalar::Null => Unexpected::Unit,
            Scalar::Signed(number) => Unexpected::Signed(*number),
            Scalar::Unsigned(number) => Unexpected::Unsigned(*number),
            Scalar::Float(number) => Unexpected::Float(*number),
            Scalar::Text(text) => Unexpected::Str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar<'de>, D::Error> {
        struct ScalarVisitor;

        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number or null")
            }

            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Null)
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Signed(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Unsigned(number))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Float(number))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text)))
            }
        }

        deserializer.deserialize_any(ScalarVisitor)
    }
}
