//! From types to CustomResourceDefinitions: what schemars and kube make is not what the API server should check, so
//! `tidy` goes over it; `yaml` writes it.

mod crds;
mod tidy;
pub mod yaml;

pub use crds::{crds, files};

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Serialize;

/// A rule over several fields, in CEL, and what a person hears whose object breaks it: what to write instead.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rule {
    /// True where it is kept.
    pub rule: &'static str,
    /// For people.
    pub message: &'static str,
}

/// A rule and its message.
pub(crate) const fn rule(rule: &'static str, message: &'static str) -> Rule {
    Rule { rule, message }
}

/// Most entries of a map.
const MAP_MAX: u32 = 64;

pub(crate) fn text_schema(characters_max: u32, pattern: &str) -> Schema {
    json_schema!({ "type": "string", "maxLength": characters_max, "pattern": pattern })
}

fn map_schema(values: serde_json::Value) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": values, "maxProperties": MAP_MAX })
}

/// Labels, and selectors of them.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    map_schema(serde_json::json!({ "type": "string", "maxLength": 63 }))
}

/// Annotations.
pub(crate) fn annotations(_: &mut SchemaGenerator) -> Schema {
    map_schema(serde_json::json!({ "type": "string", "maxLength": 4096 }))
}

/// Amounts by name of the resource.
pub(crate) fn quantities(generator: &mut SchemaGenerator) -> Schema {
    map_schema(generator.subschema_for::<crate::Quantity>().into())
}

/// An object that Kubernetes itself checks once it is in a pod's template: its own schema would be half a megabyte.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A list of such objects.
pub(crate) fn any_objects(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 32, "items": any_object(generator) })
}
