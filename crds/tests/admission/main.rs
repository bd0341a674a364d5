//! What a real API server takes and what it refuses, with which sentence. Each case is an object that is right, changed
//! in one place.

mod database;
mod group;
mod placement_move;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use orion_apiserver::{Controllers, shared};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// A case: what is changed, and what is heard. None: it is taken.
type Case = (Value, Option<&'static str>);

struct Kind {
    api: Api<DynamicObject>,
    base: Value,
}

impl Kind {
    /// The kind's definition, installed, and a namespace of the test's own.
    async fn installed(kind: &str, plural: &str, spec: Value) -> Kind {
        let server = shared(Controllers::Off);
        let client = server.client().await.expect("the server answers");
        install(&client, &format!("{plural}.orion-db.dev")).await;
        let namespace = server.namespace(&client).await.expect("a namespace can be made");
        let gvk = GroupVersionKind::gvk("orion-db.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        let base = json!({
            "apiVersion": "orion-db.dev/v1alpha1", "kind": kind, "metadata": {"name": "one"}, "spec": spec
        });
        Kind {
            api: Api::namespaced_with(client, &namespace, &resource),
            base,
        }
    }

    /// Tries each change on a new object.
    async fn check_creation(&self, cases: &[Case]) {
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        for (change, refusal) in cases {
            let object = serde_json::from_value(merged(self.base.clone(), change)).expect("an object");
            compare(self.api.create(&dry, &object).await, change, *refusal);
        }
    }

    /// Tries each change on an object that is there.
    async fn check_change(&self, name: &str, cases: &[Case]) {
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        for (change, refusal) in cases {
            compare(
                self.api.patch(name, &dry, &Patch::Merge(change)).await,
                change,
                *refusal,
            );
        }
    }

    /// Makes the object, changed, and returns it as the server keeps it.
    async fn create(&self, change: &Value) -> Value {
        let object = serde_json::from_value(merged(self.base.clone(), change)).expect("an object");
        let made = self.api.create(&PostParams::default(), &object).await;
        serde_json::to_value(made.expect("it is taken")).expect("an object is JSON")
    }
}

fn compare(answer: kube::Result<DynamicObject>, change: &Value, refusal: Option<&str>) {
    match (answer, refusal) {
        (Ok(_), None) => {}
        (Ok(_), Some(refusal)) => panic!("{change} is taken, not refused with {refusal:?}"),
        (Err(kube::Error::Api(status)), Some(refusal)) => {
            assert!(
                status.message.contains(refusal),
                "{change} is refused with {}",
                status.message
            );
        }
        (Err(error), _) => panic!("{change} is refused: {error}"),
    }
}

/// JSON merge patch (RFC 7396).
fn merged(mut base: Value, change: &Value) -> Value {
    let Value::Object(changes) = change else {
        return change.clone();
    };
    if !base.is_object() {
        base = Value::Object(Map::new());
    }
    if let Value::Object(map) = &mut base {
        for (key, value) in changes {
            match value {
                Value::Null => drop(map.remove(key)),
                value => {
                    let before = map.remove(key).unwrap_or_default();
                    map.insert(key.clone(), merged(before, value));
                }
            }
        }
    }
    base
}

async fn install(client: &Client, name: &str) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in orion_crds::schema::crds().expect("the definitions are JSON") {
        if definition["metadata"]["name"] != name {
            continue;
        }
        let applied = definitions
            .patch(
                name,
                &PatchParams::apply("tests").force(),
                &Patch::Apply(&definition),
            )
            .await;
        applied.unwrap_or_else(|error| panic!("the API server refuses {name}: {error}"));
    }
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let found = definitions.get(name).await.expect("it was just written");
        let conditions = found
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        if conditions
            .iter()
            .any(|condition| condition.type_ == "Established" && condition.status == "True")
        {
            return;
        }
        let bad = conditions
            .iter()
            .find(|condition| condition.type_ == "NonStructuralSchema");
        assert!(bad.is_none(), "{name}: {bad:?}");
        assert!(Instant::now() < end, "{name} is not established: {conditions:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
