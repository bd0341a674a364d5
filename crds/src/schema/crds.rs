//! The three definitions, and the files that hold them.

use super::tidy::tidy;
use super::{Rule, yaml};
use crate::{API_GROUP, Database, PlacementMove, ReplicationGroup, database, group};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

/// The definitions as they are installed, in the order of their names.
pub fn crds() -> Result<Vec<Value>, serde_json::Error> {
    Ok(vec![
        finished(Database::crd(), &database::ROOT_RULES)?,
        finished(PlacementMove::crd(), &[])?,
        finished(ReplicationGroup::crd(), &group::ROOT_RULES)?,
    ])
}

/// Name and text of each file, without its folder.
pub fn files() -> Result<Vec<(String, String)>, serde_json::Error> {
    let file = |crd: Value| {
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default();
        let name = format!("{API_GROUP}_{plural}.yaml");
        let head = "# Generated from crds/src by `make generate`; changes here are lost.\n";
        (name, format!("{head}{}", yaml::to_text(&crd)))
    };
    Ok(crds()?.into_iter().map(file).collect())
}

fn finished(crd: CustomResourceDefinition, rules: &[Rule]) -> Result<Value, serde_json::Error> {
    let mut crd = serde_json::to_value(crd)?;
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    tidy(schema);
    // A rule of this struct reads the field, and the server checks a default before it fills in what is below it.
    if let Some(default) = schema.pointer_mut("/properties/spec/properties/tls/default") {
        *default = json!({ "issuer": "Operator" });
    }
    if !rules.is_empty() {
        schema["x-kubernetes-validations"] = json!(rules);
    }
    Ok(crd)
}
