//! Whole numbers in JSON whose errors say what is expected in a reader's words.

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A type of whole numbers.
pub(crate) trait Whole: TryFrom<i128> {
    /// Its range, for people.
    const RANGE: &'static str;
}

impl Whole for i32 {
    const RANGE: &'static str = "a whole number from -2147483648 to 2147483647";
}

impl Whole for u32 {
    const RANGE: &'static str = "a whole number from 0 to 4294967295";
}

impl Whole for u64 {
    const RANGE: &'static str = "a whole number from 0 to 18446744073709551615";
}

/// A number or `null`, which is the same as an absent one.
pub(crate) fn optional<'de, D: Deserializer<'de>, T: Whole>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(Optional(PhantomData))
}

/// A field that is there, be it `null`.
pub(crate) fn wished<'de, D: Deserializer<'de>, T: Whole>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    optional(deserializer).map(Some)
}

struct Optional<T>(PhantomData<T>);

impl<'de, T: Whole> Visitor<'de> for Optional<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::RANGE)
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        T::try_from(number.into())
            .map(Some)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<T>, E> {
        T::try_from(number.into())
            .map(Some)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use crate::admin::{ChangeDatabase, CreateDatabase};
    use crate::hrana::{CursorRequest, PipelineRequest};

    fn error<T: serde::de::DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
        serde_json::from_str::<T>(text).expect_err(text).to_string()
    }

    #[test]
    fn errors_name_no_types_of_the_language() {
        let pipeline = |request: &str| error::<PipelineRequest>(&format!(r#"{{"requests":[{request}]}}"#));
        let step = |step: &str| pipeline(&format!(r#"{{"type":"batch","batch":{{"steps":[{step}]}}}}"#));
        let condition = |text: &str| step(&format!(r#"{{"stmt":{{"sql":""}},"condition":{text}}}"#));
        let statement = |text: &str| pipeline(&format!(r#"{{"type":"execute","stmt":{text}}}"#));
        let errors = [
            error::<PipelineRequest>("[]"),
            error::<PipelineRequest>("1"),
            error::<PipelineRequest>("\"x\""),
            error::<PipelineRequest>(r#"{"requests":1}"#),
            error::<PipelineRequest>(r#"{"baton":1}"#),
            pipeline("1"),
            pipeline("{}"),
            pipeline(r#"{"type":1}"#),
            pipeline(r#"{"type":"fly"}"#),
            pipeline(r#"{"type":"execute","stmt":1}"#),
            pipeline(r#"{"type":"batch","batch":1}"#),
            pipeline(r#"{"type":"store_sql","sql_id":3000000000,"sql":""}"#),
            pipeline(r#"{"type":"store_sql","sql_id":1.5,"sql":""}"#),
            pipeline(r#"{"type":"store_sql","sql_id":"1","sql":""}"#),
            statement(r#"{"sql_id":-3000000000}"#),
            statement(r#"{"args":1}"#),
            statement(r#"{"args":[1]}"#),
            statement(r#"{"args":[{"type":"x"}]}"#),
            statement(r#"{"args":[{"type":1}]}"#),
            statement(r#"{"named_args":[1]}"#),
            statement(r#"{"want_rows":1}"#),
            step("1"),
            condition("1"),
            condition(r#"{"type":"x"}"#),
            condition(r#"{"type":1}"#),
            condition(r#"{"type":"ok","step":-1}"#),
            condition(r#"{"type":"not","cond":1}"#),
            condition(r#"{"type":"and","conds":1}"#),
            error::<CursorRequest>("1"),
            error::<CursorRequest>(r#"{"batch":1}"#),
            error::<CreateDatabase>("1"),
            error::<CreateDatabase>(r#"{"name":1}"#),
            error::<CreateDatabase>(r#"{"name":"a","limits":1}"#),
            error::<CreateDatabase>(r#"{"name":"a","limits":{"streams":-1}}"#),
            error::<ChangeDatabase>("1"),
            error::<ChangeDatabase>(r#"{"limits":1}"#),
            error::<ChangeDatabase>(r#"{"limits":{"streams":"x"}}"#),
        ];
        let words = [
            "struct", "enum", "variant", "u32", "i32", "u64", "tuple", "unit", "Flat",
        ];
        for text in errors {
            let spoken = text.replace("unknown variant", "unknown word");
            let named = words.iter().find(|word| spoken.contains(*word));
            assert_eq!(named, None, "{text}");
            assert!(text.contains("line 1 column"), "{text}");
        }
    }

    #[test]
    fn numbers_of_the_range_are_taken() {
        let text = r#"{"name":"a","limits":{"streams":18446744073709551615,"result_bytes":null}}"#;
        let wish: CreateDatabase = serde_json::from_str(text).expect("valid");
        assert_eq!(
            (wish.limits.streams, wish.limits.result_bytes),
            (Some(u64::MAX), None)
        );
        let text = r#"{"requests":[{"type":"close_sql","sql_id":-2147483648}]}"#;
        let request: PipelineRequest = serde_json::from_str(text).expect("valid");
        assert_eq!(request.requests.len(), 1);
    }
}
