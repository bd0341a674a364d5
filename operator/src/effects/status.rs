//! All writes of status: applied by a manager of their own, so that what is left out goes; only where something differs.

use super::{Error, Writes};
use crate::names::STATUS_MANAGER;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;

/// Writes the status of an object, if it is another one. Returns the object as the server has it then.
pub(crate) async fn write<K, S>(
    api: &Api<K>,
    writes: &Writes,
    object: &K,
    before: Option<&S>,
    status: &S,
) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    S: Serialize + PartialEq,
{
    if before == Some(status) {
        return Ok(None);
    }
    let patch = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "uid": object.uid() },
        "status": status
    });
    writes.next()?;
    let parameters = PatchParams::apply(STATUS_MANAGER).force();
    let written = api
        .patch_status(&object.name_any(), &parameters, &Patch::Apply(&patch))
        .await?;
    Ok(Some(written))
}

/// Puts the finalizer on an object or takes it off; only of the very version that was seen. Returns the object as the
/// server has it then, where anything was to be done.
pub(crate) async fn finalize<K>(
    api: &Api<K>,
    writes: &Writes,
    object: &K,
    on: bool,
) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let finalizers = object.finalizers();
    if finalizers.iter().any(|held| held == crate::names::FINALIZER) == on {
        return Ok(None);
    }
    let mut next: Vec<String> = finalizers
        .iter()
        .filter(|held| *held != crate::names::FINALIZER)
        .cloned()
        .collect();
    if on {
        next.push(crate::names::FINALIZER.to_owned());
    }
    let patch = json!({
        "metadata": { "finalizers": next, "resourceVersion": object.resource_version() }
    });
    writes.next()?;
    let written = api
        .patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(Some(written))
}
