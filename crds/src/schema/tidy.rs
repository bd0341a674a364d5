//! The pass over a generated schema. What it mends, each measured on a real API server:
//!
//! - `nullable`: an optional struct would admit null, which then counts as set for `has()`.
//! - defaults that say nothing (null, empty lists and maps), and defaults of structs, which become `{}`: the API server
//!   fills in the fields' own defaults, so that each default stands in one place.
//! - lists without a list type: atomic. Map lists and sets say so at their fields.
//! - formats that the API server does not know (`uint32`): bounds say what is meant.

use serde_json::{Map, Value, json};

/// Mends a schema and all below it.
pub(super) fn tidy(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else {
        return;
    };
    node.remove("nullable");
    mend_format(node);
    mend_default(node);
    if node.get("type") == Some(&json!("array")) && !node.contains_key("x-kubernetes-list-type") {
        node.insert("x-kubernetes-list-type".into(), json!("atomic"));
    }
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        properties.values_mut().for_each(tidy);
    }
    for below in ["items", "additionalProperties"] {
        if let Some(inner) = node.get_mut(below) {
            tidy(inner);
        }
    }
}

fn mend_format(node: &mut Map<String, Value>) {
    let known = match node.get("format").and_then(Value::as_str) {
        Some("uint8" | "uint16" | "int8" | "int16" | "uint32" | "int32") => "int32",
        Some("uint64" | "int64" | "uint" | "int") => "int64",
        _ => return,
    };
    node.insert("format".into(), json!(known));
    // As integers, not as 0.0.
    for bound in ["minimum", "maximum"] {
        if let Some(number) = node.get(bound).and_then(Value::as_f64) {
            node.insert(bound.into(), json!(number as i64));
        }
    }
}

fn mend_default(node: &mut Map<String, Value>) {
    let says_nothing = match node.get("default") {
        Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty() && !node.contains_key("properties"),
        _ => return,
    };
    match says_nothing {
        true => drop(node.remove("default")),
        false if node.contains_key("properties") => drop(node.insert("default".into(), json!({}))),
        false => {}
    }
}
