//! Objects of the operator's: made once, put right when they differ, and never taken from somebody else.
//!
//! INVARIANT: an object that exists is written only if its controller is the one that the new content names. Tested by
//! `a_foreign_object_is_reported_and_not_written`.

use super::{Error, Writes};
use crate::names::MANAGER;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;

/// What came of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ensured {
    /// It is as it is to be.
    Right,
    /// It belongs to somebody else and was left alone.
    Foreign,
}

/// Writes objects.
#[derive(Clone, Copy)]
pub(crate) struct Objects<'a> {
    pub(crate) client: &'a Client,
    pub(crate) writes: &'a Writes,
}

/// `Kind name`, for people.
pub(crate) fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn owner(object: &Value) -> Option<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let controller = owners.iter().find(|owner| owner["controller"] == true)?;
    controller["uid"].as_str()
}

impl Objects<'_> {
    fn api(&self, object: &Value) -> Api<DynamicObject> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let api_version = text(&object["apiVersion"]);
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let gvk = GroupVersionKind::gvk(group, version, &text(&object["kind"]));
        let namespace = text(&object["metadata"]["namespace"]);
        Api::namespaced_with(self.client.clone(), &namespace, &ApiResource::from_gvk(&gvk))
    }

    /// The object as the server has it.
    pub(crate) async fn get(&self, object: &Value) -> Result<Option<Value>, Error> {
        let found = self.api(object).get_opt(name(object)).await?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// Makes it, or puts it right.
    pub(crate) async fn ensure(&self, wanted: &Value) -> Result<Ensured, Error> {
        let api = self.api(wanted);
        let mut found = self.get(wanted).await?;
        if found.is_none() {
            let object: DynamicObject = serde_json::from_value(wanted.clone())?;
            let parameters = PostParams {
                field_manager: Some(MANAGER.into()),
                ..PostParams::default()
            };
            self.writes.next()?;
            match api.create(&parameters, &object).await {
                Ok(_) => return Ok(Ensured::Right),
                // Made by somebody in between.
                Err(kube::Error::Api(status)) if status.is_already_exists() => {
                    found = self.get(wanted).await?
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Some(found) = found else {
            return Ok(Ensured::Right);
        };
        if owner(&found) != owner(wanted) {
            return Ok(Ensured::Foreign);
        }
        if holds(&found, wanted) {
            return Ok(Ensured::Right);
        }
        self.writes.next()?;
        let parameters = PatchParams::apply(MANAGER).force();
        api.patch(name(wanted), &parameters, &Patch::Apply(wanted))
            .await?;
        Ok(Ensured::Right)
    }

    /// Makes it if there is none; what is there stays as it is. Returns what is there then.
    pub(crate) async fn create_once(&self, wanted: &Value) -> Result<(Ensured, Value), Error> {
        if let Some(found) = self.get(wanted).await? {
            let is_ours = owner(&found) == owner(wanted);
            return Ok((if is_ours { Ensured::Right } else { Ensured::Foreign }, found));
        }
        let ensured = self.ensure(wanted).await?;
        let found = self.get(wanted).await?.unwrap_or_default();
        Ok((ensured, found))
    }

    /// Deletes it, if it is ours.
    pub(crate) async fn remove(&self, object: &Value, parameters: &DeleteParams) -> Result<(), Error> {
        let Some(found) = self.get(object).await? else {
            return Ok(());
        };
        if owner(&found) != owner(object) || found["metadata"]["deletionTimestamp"].is_string() {
            return Ok(());
        }
        self.writes.next()?;
        match self.api(object).delete(name(object), parameters).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }
}

/// Whether all that is wanted is there. Lists must be of one length; what the server adds to maps does not count.
fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| match found.get(key) {
                Some(found) => holds(found, wanted),
                None => is_empty(wanted),
            })
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted)| holds(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}

/// The server leaves out what says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Null | Value::Bool(false) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_server_adds_is_no_difference_and_what_others_change_is() {
        let wanted = json!({"spec": {"a": 1, "list": [{"x": 1}], "none": {}, "off": false}});
        assert!(holds(
            &json!({"spec": {"a": 1, "b": 2, "list": [{"x": 1, "y": 2}]}, "status": {}}),
            &wanted
        ));
        assert!(!holds(&json!({"spec": {"a": 2, "list": [{"x": 1}]}}), &wanted));
        assert!(!holds(
            &json!({"spec": {"a": 1, "list": [{"x": 1}, {"x": 2}]}}),
            &wanted
        ));
        assert!(!holds(&json!({"spec": {"list": [{"x": 1}]}}), &wanted));
    }
}
