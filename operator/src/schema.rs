//! Whether the kinds that are installed are those that this operator was built with. Fields that a newer release added are
//! no harm; one that is missing would be dropped by the API server, silently, from all that is written.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;

use crate::names::MANAGER;

/// What is wrong with the installed kinds, in a sentence that says what to do; None where all is well.
pub async fn trouble(client: &Client) -> kube::Result<Option<String>> {
    let installed: Api<CustomResourceDefinition> = Api::all(client.clone());
    for wanted in definitions()? {
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
        let Some(found) = installed.get_opt(name).await? else {
            return Ok(Some(format!(
                "the CustomResourceDefinition {name} is not installed; run `orion-operator crds apply`"
            )));
        };
        let found = serde_json::to_value(found).map_err(kube::Error::SerdeError)?;
        if let Some(why) = incompatible(&found, &wanted) {
            return Ok(Some(format!(
                "the CustomResourceDefinition {name} is of another release: {why}; run `orion-operator crds apply`"
            )));
        }
    }
    Ok(None)
}

/// Installs the kinds, or brings them up to this release.
pub async fn apply(client: &Client) -> kube::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for wanted in definitions()? {
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
        let parameters = PatchParams::apply(MANAGER).force();
        api.patch(name, &parameters, &Patch::Apply(&wanted)).await?;
        tracing::info!(name, "applied");
    }
    Ok(())
}

fn definitions() -> kube::Result<Vec<Value>> {
    orion_crds::schema::crds().map_err(kube::Error::SerdeError)
}

fn incompatible(found: &Value, wanted: &Value) -> Option<String> {
    for version in wanted["spec"]["versions"].as_array()? {
        let name = &version["name"];
        let versions = found["spec"]["versions"].as_array();
        let same = versions.and_then(|all| all.iter().find(|found| found["name"] == *name));
        let Some(same) = same.filter(|same| same["served"] == true) else {
            return Some(format!(
                "the version {} is not served",
                name.as_str().unwrap_or_default()
            ));
        };
        let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
        if let Some(path) = lacking(&schema(same), &schema(version), String::new()) {
            return Some(format!("it lacks {path}"));
        }
    }
    None
}

/// The first field that is wanted and not there, or of another type.
fn lacking(found: &Value, wanted: &Value, path: String) -> Option<String> {
    if wanted["type"].is_string() && found["type"] != wanted["type"] {
        return Some(path);
    }
    for (name, field) in wanted["properties"].as_object().into_iter().flatten() {
        let found = lacking(&found["properties"][name], field, format!("{path}.{name}"));
        if found.is_some() {
            return found;
        }
    }
    for below in ["items", "additionalProperties"] {
        if wanted[below].is_object() {
            let found = lacking(&found[below], &wanted[below], format!("{path}[]"));
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn group() -> Value {
        let definitions = definitions().expect("JSON");
        let is_group = |crd: &&Value| crd["spec"]["names"]["kind"] == "ReplicationGroup";
        definitions.iter().find(is_group).expect("the kind").clone()
    }

    #[test]
    fn a_definition_that_lacks_a_field_is_refused_and_a_newer_one_is_not() {
        let wanted = group();
        assert_eq!(incompatible(&wanted, &wanted), None);
        let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties";
        let mut newer = wanted.clone();
        newer.pointer_mut(schema).expect("status")["fresh"] = json!({"type": "string"});
        assert_eq!(incompatible(&newer, &wanted), None);
        let mut older = wanted.clone();
        let fields = older.pointer_mut(schema).and_then(Value::as_object_mut);
        fields.expect("status").remove("nextMember");
        assert_eq!(
            incompatible(&older, &wanted),
            Some("it lacks .status.nextMember".into())
        );
        let mut other = wanted.clone();
        other.pointer_mut(schema).expect("status")["nextMember"]["type"] = json!("string");
        assert!(incompatible(&other, &wanted).is_some(), "of another type");
        let mut unserved = wanted.clone();
        unserved["spec"]["versions"][0]["served"] = json!(false);
        assert_eq!(
            incompatible(&unserved, &wanted),
            Some("the version v1alpha1 is not served".into())
        );
    }
}
