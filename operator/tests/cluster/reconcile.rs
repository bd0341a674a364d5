//! From specs to objects and members, and back.

use crate::stage::{Stage, until};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use orion_crds::condition::Status;
use orion_crds::group::{Phase, condition, reason};
use orion_operator::effects::Writes;
use serde_json::json;
use std::collections::BTreeMap;

fn assert_no_violations(stage: &Stage) {
    let cluster = stage.cluster.lock().expect("no panic");
    assert!(cluster.violations.is_empty(), "{:?}", cluster.violations);
    assert_eq!(cluster.begun, 1, "a group is begun once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_begins_scales_and_serves_databases() {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    stage.make_group(3).await;
    let group = stage.group_is_ready(3).await;
    let status = group.status.expect("it has one");
    assert_eq!(status.ready.as_deref(), Some("3/3"));
    assert_eq!(status.group_id, group.metadata.uid);
    for name in ["main", "main-rw", "main-ro", "main-peers"] {
        assert!(
            stage.get("Service", name).await.is_some(),
            "there is no Service {name}"
        );
    }

    stage
        .make_database("app", json!({"deletionPolicy": "Delete"}))
        .await;
    let database = until("the database is ready", || async {
        let database = stage.databases().get("app").await.expect("it is there");
        let is_ready = database.status.as_ref().is_some_and(|status| {
            status.phase == Some(orion_crds::database::Phase::Ready) && status.endpoint.is_some()
        });
        if is_ready {
            Ok(database)
        } else {
            Err(database.status)
        }
    })
    .await;
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let secret = secrets
        .get("app-db")
        .await
        .expect("the Secret is there")
        .data
        .unwrap_or_default();
    let url = String::from_utf8(secret["LIBSQL_URL"].0.clone()).expect("text");
    assert_eq!(Some(&url), database.status.expect("it has one").endpoint.as_ref());
    let services: Api<Service> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let alias = services
        .get("app")
        .await
        .expect("the Service is there")
        .spec
        .unwrap_or_default();
    assert_eq!(alias.type_.as_deref(), Some("ExternalName"));

    for replicas in [5, 3, 1, 3] {
        stage.scale(replicas).await;
        stage.group_is_ready(replicas as usize).await;
    }

    stage
        .databases()
        .delete("app", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    until("the database is gone", || async {
        let found = stage
            .databases()
            .get_opt("app")
            .await
            .expect("the server answers");
        if found.is_none() { Ok(()) } else { Err(found) }
    })
    .await;
    let state = stage.cluster.lock().expect("no panic").databases["app"].state;
    assert_eq!(state, orion_api::admin::DatabaseState::Dropped);
    assert_no_violations(&stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_changes_all_pods_and_a_bad_image_only_one() {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    stage.make_group(3).await;
    stage.group_is_ready(3).await;
    stage.change_group(json!({"spec": {"image": "orion:2"}})).await;
    stage.group_is_ready(3).await;
    let images = || async {
        let pods: Api<Pod> = Api::namespaced(stage.client.clone(), &stage.namespace);
        let mut images: BTreeMap<String, u32> = BTreeMap::new();
        for pod in pods
            .list(&ListParams::default())
            .await
            .expect("the server answers")
        {
            let image = pod.spec.and_then(|spec| spec.containers.first()?.image.clone());
            *images.entry(image.unwrap_or_default()).or_default() += 1;
        }
        images
    };
    assert_eq!(images().await, BTreeMap::from([("orion:2".to_owned(), 3)]));
    stage
        .change_group(json!({"spec": {"image": "orion:broken"}}))
        .await;
    stage.group_says(reason::MEMBERS_NOT_READY).await;
    let seen = images().await;
    assert_eq!(seen.get("orion:broken"), Some(&1), "{seen:?}");
    stage.change_group(json!({"spec": {"image": "orion:2"}})).await;
    stage.group_is_ready(3).await;
    assert_no_violations(&stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_object_is_reported_and_not_written() {
    let stage = Stage::new().await;
    let services: Api<Service> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let theirs = json!({"metadata": {"name": "main-rw"}, "spec": {"ports": [{"port": 1}]}});
    let theirs = serde_json::from_value(theirs).expect("a Service");
    let before = services
        .create(&PostParams::default(), &theirs)
        .await
        .expect("it is taken");
    let _operator = stage.operator(Writes::limited(0));
    stage.make_group(1).await;
    stage.group_says(reason::NAME_TAKEN).await;
    let after = services.get("main-rw").await.expect("it is there");
    assert_eq!(after.resource_version(), before.resource_version());
    assert!(
        stage.get("StatefulSet", "main-a-0").await.is_none(),
        "nothing is made beside it"
    );
    services
        .delete("main-rw", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    stage.group_is_ready(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_said_and_mended() {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    let group = json!({
        "apiVersion": "orion-db.dev/v1alpha1", "kind": "ReplicationGroup", "metadata": {"name": "main"},
        "spec": {
            "memberSets": [{"name": "a", "replicas": 1, "storage": {"size": "1Gi"}}],
            "objectStore": {"url": "s3://bucket", "credentialsSecret": {"name": "s3"}}
        }
    });
    let group = serde_json::from_value(group).expect("a group");
    stage
        .groups()
        .create(&PostParams::default(), &group)
        .await
        .expect("it is taken");
    stage.group_says(reason::SECRET_MISSING).await;
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let secret = json!({"metadata": {"name": "s3"}, "stringData": {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}});
    let secret = serde_json::from_value(secret).expect("a Secret");
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .expect("it is taken");
    stage.group_is_ready(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_databases_is_not_deleted() {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    stage.make_group(1).await;
    stage.group_is_ready(1).await;
    stage.make_database("app", json!({})).await;
    until("the database is made", || async {
        let made = stage.cluster.lock().expect("no panic").databases.len();
        if made == 1 { Ok(()) } else { Err(made) }
    })
    .await;
    stage
        .groups()
        .delete("main", &DeleteParams::default())
        .await
        .expect("it is marked");
    let blocked = condition::DELETION_BLOCKED;
    stage
        .group_has(blocked, Status::True, reason::DATABASES_REFER)
        .await;
    stage
        .databases()
        .delete("app", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    until("the group is gone", || async {
        let found = stage.groups().get_opt("main").await.expect("the server answers");
        if found.is_none() {
            Ok(())
        } else {
            Err(found.and_then(|group| group.status))
        }
    })
    .await;
    let state = stage.cluster.lock().expect("no panic").databases["app"].state;
    assert_eq!(
        state,
        orion_api::admin::DatabaseState::Active,
        "Retain keeps the data"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_dies_after_each_few_writes_converges() {
    let stage = Stage::new().await;
    stage.make_group(3).await;
    stage.make_database("app", json!({})).await;
    // Each life ends at another write, until one has nothing left to write.
    for life in 0..40u64 {
        let operator = stage.operator(Writes::limited(1 + life % 4));
        let is_done = until("a life is over", || async {
            let status = stage
                .groups()
                .get("main")
                .await
                .expect("it is there")
                .status
                .unwrap_or_default();
            let is_ready = status.phase == Some(Phase::Ready);
            if operator.writes.is_over() || is_ready {
                Ok(is_ready)
            } else {
                Err(status)
            }
        })
        .await;
        operator.stop.cancel();
        operator.task.await.expect("it ends by itself");
        if is_done {
            break;
        }
    }
    let _operator = stage.operator(Writes::limited(0));
    stage.group_is_ready(3).await;
    let sets: Api<k8s_openapi::api::apps::v1::StatefulSet> =
        Api::namespaced(stage.client.clone(), &stage.namespace);
    assert_eq!(
        sets.list(&ListParams::default())
            .await
            .expect("the server answers")
            .items
            .len(),
        3
    );
    assert_no_violations(&stage);
}
