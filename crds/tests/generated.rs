//! The YAML that is checked in is what the types say, and the API server can take it.

use orion_crds::schema::{crds, files};
use serde_json::Value;
use std::path::PathBuf;

/// kubectl apply keeps a copy of an object in an annotation; annotations together hold 256 KiB, and a definition this
/// small leaves no doubt.
const BYTES_MAX: usize = 64 * 1024;

fn at_root(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

#[test]
fn the_files_are_what_the_types_say() {
    for (name, text) in files().expect("the definitions are JSON") {
        for folder in ["config/crd", "charts/orion/crds"] {
            let path = at_root(folder).join(&name);
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == text,
                "{} is not up to date: run `make generate`",
                path.display()
            );
        }
    }
}

#[test]
fn the_files_hold_what_was_generated() {
    let definitions = crds().expect("the definitions are JSON");
    for ((name, text), definition) in files().expect("as before").iter().zip(definitions) {
        let read: Value = serde_saphyr::from_str(text).expect("a file is YAML");
        assert_eq!(read, definition, "{name}");
        assert!(text.len() <= BYTES_MAX, "{name} has {} bytes", text.len());
    }
}

#[test]
fn every_field_says_what_it_is_and_has_bounds() {
    for definition in crds().expect("the definitions are JSON") {
        let kind = definition["spec"]["names"]["kind"]
            .as_str()
            .expect("it has a kind")
            .to_owned();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for part in ["spec", "status"] {
            check(&schema["properties"][part], &format!("{kind}.{part}"));
        }
    }
}

fn check(schema: &Value, path: &str) {
    assert!(schema.get("nullable").is_none(), "{path} admits null");
    assert_ne!(
        schema.get("default"),
        Some(&Value::Null),
        "{path} has a default that says nothing"
    );
    if let Some(description) = schema["description"].as_str() {
        assert!(description.len() <= 300, "{path}: the description is too long");
    }
    match schema["type"].as_str() {
        Some("string") => {
            let is_bounded = ["maxLength", "enum", "format"]
                .iter()
                .any(|bound| schema.get(bound).is_some());
            assert!(is_bounded, "{path} has no bound");
        }
        Some("array") => {
            assert!(schema.get("maxItems").is_some(), "{path} has no bound");
            assert!(
                schema.get("x-kubernetes-list-type").is_some(),
                "{path} has no list type"
            );
            check(&schema["items"], &format!("{path}[]"));
        }
        Some("object") if schema.get("additionalProperties").is_some() => {
            assert!(schema.get("maxProperties").is_some(), "{path} has no bound");
            check(&schema["additionalProperties"], &format!("{path}{{}}"));
        }
        _ => {}
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        assert!(below["description"].is_string(), "{path} does not say what it is");
        check(below, &path);
    }
}

/// Every reason that a condition can have, from the modules that hold them.
fn reasons() -> Vec<String> {
    let sources = [
        include_str!("../src/group/status.rs"),
        include_str!("../src/database/status.rs"),
    ];
    let modules = sources
        .iter()
        .filter_map(|source| source.split_once("pub mod reason {"));
    let lines = modules.flat_map(|(_, module)| module.lines());
    let values = lines.filter_map(|line| {
        let (_, value) = line.trim().strip_prefix("pub const ")?.split_once(" = \"")?;
        Some(value.strip_suffix("\";")?.to_owned())
    });
    values.collect()
}

#[test]
fn every_reason_has_a_chapter_in_the_runbook() {
    let runbook = std::fs::read_to_string(at_root("docs/runbook.md")).expect("the runbook is there");
    let chapters: Vec<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let reasons = reasons();
    assert!(reasons.len() > 20, "the reasons were not found: {reasons:?}");
    for reason in &reasons {
        assert!(chapters.contains(&reason.as_str()), "{reason} has no chapter");
    }
    for chapter in chapters {
        assert!(
            reasons.iter().any(|reason| reason == chapter),
            "{chapter} is no reason"
        );
    }
}
