//! Objects of the operator's: made once, put right when they differ, and never taken from somebody else.
//!
//! Whether an object is as it is to be is found out once for each version of it: then it is read whole and compared. After
//! that the watch's version is enough, and nobody is asked.
//!
//! INVARIANT: an object that exists is written only if its controller is the one that the new content names. Tested by
//! `a_foreign_object_is_reported_and_not_written`.

use super::{Error, Shared, Writes};
use crate::cache::{Caches, Content, ObjectKey, Owned};
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
    pub(crate) caches: &'a Caches,
}

/// `Kind name`, for people.
pub(crate) fn title(object: &Value) -> String {
    format!("{} {}", text(&object["kind"]), name(object))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

fn key(object: &Value) -> ObjectKey {
    ObjectKey::new(text(&object["metadata"]["namespace"]), name(object))
}

pub(super) fn owner(object: &Value) -> Option<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let controller = owners.iter().find(|owner| owner["controller"] == true)?;
    controller["uid"].as_str()
}

fn content(wanted: &Value) -> Content {
    let mut content = Content::default();
    content.copy_from_slice(&blake3::hash(wanted.to_string().as_bytes()).as_bytes()[..16]);
    content
}

impl<'a> Objects<'a> {
    /// With what all looks share.
    pub(crate) fn of(shared: &'a Shared) -> Objects<'a> {
        Objects {
            client: &shared.client,
            writes: &shared.writes,
            caches: &shared.caches,
        }
    }

    fn api(&self, object: &Value) -> Api<DynamicObject> {
        let api_version = text(&object["apiVersion"]);
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, text(&object["kind"]));
        let namespace = text(&object["metadata"]["namespace"]);
        Api::namespaced_with(self.client.clone(), namespace, &ApiResource::from_gvk(&gvk))
    }

    async fn get(&self, object: &Value) -> Result<Option<DynamicObject>, Error> {
        Ok(self.api(object).get_opt(name(object)).await?)
    }

    /// Whether it is known to be as it is to be, without asking anybody.
    pub(crate) fn is_right(&self, wanted: &Value) -> bool {
        match self.caches.look(text(&wanted["kind"]), &key(wanted)) {
            Owned::There(entry) => entry.owner.as_deref() == owner(wanted) && entry.holds(&content(wanted)),
            Owned::Unwatched => self.caches.was_right(content(wanted)),
            Owned::Missing => false,
        }
    }

    /// Makes it, or puts it right.
    pub(crate) async fn ensure(&self, wanted: &Value) -> Result<Ensured, Error> {
        if self.is_right(wanted) {
            return Ok(Ensured::Right);
        }
        let found = match self.caches.look(text(&wanted["kind"]), &key(wanted)) {
            Owned::There(entry) if entry.owner.as_deref() != owner(wanted) => return Ok(Ensured::Foreign),
            Owned::There(_) | Owned::Unwatched => self.get(wanted).await?,
            Owned::Missing => None,
        };
        let found = match found {
            Some(found) => Some(found),
            None => self.create(wanted).await?,
        };
        let Some(found) = found else {
            return Ok(Ensured::Right);
        };
        let seen = serde_json::to_value(&found)?;
        if owner(&seen) != owner(wanted) {
            return Ok(Ensured::Foreign);
        }
        let written = match holds(&seen, wanted) {
            true => found,
            false => {
                self.writes.next()?;
                let parameters = PatchParams::apply(MANAGER).force();
                let patch = Patch::Apply(wanted);
                self.api(wanted).patch(name(wanted), &parameters, &patch).await?
            }
        };
        self.note(wanted, &written)?;
        Ok(Ensured::Right)
    }

    /// Makes it. Returns what is there where somebody was first.
    pub(super) async fn create(&self, wanted: &Value) -> Result<Option<DynamicObject>, Error> {
        let object: DynamicObject = serde_json::from_value(wanted.clone())?;
        let parameters = PostParams {
            field_manager: Some(MANAGER.into()),
            ..PostParams::default()
        };
        self.writes.next()?;
        match self.api(wanted).create(&parameters, &object).await {
            Ok(made) => {
                self.note(wanted, &made)?;
                Ok(None)
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => self.get(wanted).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers what the server answered.
    fn note(&self, wanted: &Value, written: &DynamicObject) -> Result<(), Error> {
        let kind = text(&wanted["kind"]);
        if kind == "StatefulSet" {
            self.caches.wrote_set(serde_json::to_value(written)?)?;
        } else if !self.caches.wrote(kind, &written.metadata, content(wanted)) {
            self.caches.is_right(content(wanted));
        }
        Ok(())
    }

    /// Deletes it, if it is ours. Returns whether this call did.
    pub(crate) async fn remove(&self, object: &Value, parameters: &DeleteParams) -> Result<bool, Error> {
        match self.caches.look(text(&object["kind"]), &key(object)) {
            Owned::Missing => return Ok(false),
            Owned::There(entry) if entry.is_terminating || entry.owner.as_deref() != owner(object) => {
                return Ok(false);
            }
            Owned::There(_) | Owned::Unwatched => {}
        }
        let Some(found) = self.get(object).await? else {
            return Ok(false);
        };
        let found = serde_json::to_value(found)?;
        if owner(&found) != owner(object) || found["metadata"]["deletionTimestamp"].is_string() {
            return Ok(false);
        }
        self.writes.next()?;
        match self.api(object).delete(name(object), parameters).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
            other => Ok(other.map(|_| true)?),
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
