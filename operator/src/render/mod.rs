//! The objects that belong to a group or a database, from their specs: pure, and the same for the same input. What is
//! rendered is what is applied; golden files in `tests/golden` show it.
//!
//! Renderers of pods are versioned: a group keeps the revision that its pods were made with (`status.templateRevision`),
//! so that a new operator restarts nothing. A change of what a pod is comes as a new revision, and revisions are never
//! changed once they are released.

mod config;
mod database;
mod group;
mod services;
mod statefulset;

pub use config::{NodeConfig, config_text, restart_hash};
pub use database::{DatabaseObjects, TokenSecret, database_objects, endpoint};
pub use group::{GroupObjects, claim_growth, group_objects, keys_secret, peers_secret};
pub use statefulset::{MemberTemplate, statefulset, template_hash};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use orion_crds::ReplicationGroup;
use serde_json::{Value, json};

use crate::names;

/// The newest revision of pod templates.
pub const TEMPLATE_REVISION: u32 = 1;

/// What all renderers of a group's objects need.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The group.
    pub group: &'a ReplicationGroup,
    /// Its image: the spec's, or the one chosen once.
    pub image: &'a str,
    /// The key that checks tokens; None where nobody needs one.
    pub public_key: Option<&'a str>,
    /// How pods are rendered.
    pub revision: u32,
}

impl Context<'_> {
    /// The group's name.
    pub fn name(&self) -> &str {
        self.group.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.group.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn labels(&self) -> Value {
        json!({
            "app.kubernetes.io/name": "orion",
            "app.kubernetes.io/instance": self.name(),
            "app.kubernetes.io/managed-by": names::MANAGER,
            (names::GROUP): self.name()
        })
    }

    fn selector(&self) -> Value {
        json!({ (names::GROUP): self.name(), "app.kubernetes.io/name": "orion" })
    }

    /// An object of the group's, which goes with it.
    fn object(&self, api_version: &str, kind: &str, name: &str, body: Value) -> Value {
        let mut object = json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace(),
                "labels": self.labels(),
                "ownerReferences": [owner("ReplicationGroup", &self.group.metadata)]
            }
        });
        merge(&mut object, body);
        object
    }
}

/// The reference that makes an object go with its owner, and says that it is ours.
pub(crate) fn owner(
    kind: &str,
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> Value {
    json!({
        "apiVersion": "orion-db.dev/v1alpha1",
        "kind": kind,
        "name": metadata.name.as_deref().unwrap_or_default(),
        "uid": metadata.uid.as_deref().unwrap_or_default(),
        "controller": true,
        "blockOwnerDeletion": true
    })
}

/// The data of a Secret.
pub(crate) fn encoded<'a>(data: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let encode = |(key, text): (&str, &str)| (key.to_owned(), json!(STANDARD.encode(text)));
    Value::Object(data.into_iter().map(encode).collect())
}

/// Puts one object's fields into another's; where both are maps, into each other.
pub(crate) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
