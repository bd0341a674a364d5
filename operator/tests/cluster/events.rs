//! Events as `kubectl describe` shows them.

use crate::stage::{Stage, until};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use orion_operator::effects::Writes;
use serde_json::json;
use std::collections::BTreeMap;

/// How often each reason was told of the group or of a database, with the series of each Event.
async fn told(stage: &Stage) -> BTreeMap<String, i32> {
    let events: Api<Event> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let found = events
        .list(&ListParams::default())
        .await
        .expect("the server answers");
    let mut told = BTreeMap::new();
    for event in found {
        if event.reporting_controller.as_deref() != Some("orion-operator") {
            continue;
        }
        let kind = event.regarding.and_then(|object| object.kind).unwrap_or_default();
        let of = format!("{kind}/{}", event.reason.unwrap_or_default());
        *told.entry(of).or_default() += event.series.map_or(1, |series| series.count);
    }
    told
}

/// Waits until all these were told, as often as it says.
async fn are_told(stage: &Stage, wanted: &[(&str, i32)]) {
    until("Events are told", || async {
        let told = told(stage).await;
        let is_told = |(of, count): &(&str, i32)| told.get(*of) == Some(count);
        if wanted.iter().all(is_told) {
            Ok(())
        } else {
            Err(told)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_once() {
    let stage = Stage::new().await;
    let operator = stage.operator(Writes::limited(0));
    stage.make_group(3).await;
    stage.group_is_ready(3).await;
    are_told(
        &stage,
        &[
            ("ReplicationGroup/Bootstrapped", 1),
            ("ReplicationGroup/MemberAdded", 3),
            ("ReplicationGroup/Ready", 1),
        ],
    )
    .await;
    stage.change_group(json!({"spec": {"image": "orion:2"}})).await;
    stage.group_is_ready(3).await;
    stage
        .make_database("app", json!({"deletionPolicy": "Delete"}))
        .await;
    are_told(
        &stage,
        &[
            ("ReplicationGroup/RollBegun", 1),
            ("ReplicationGroup/PodRestarted", 3),
            ("ReplicationGroup/RollDone", 1),
            ("Database/DatabaseMade", 1),
        ],
    )
    .await;

    // Looks that find nothing new.
    let before = told(&stage).await;
    for touch in 0..5 {
        let looks = operator.looks();
        stage
            .change_group(json!({"metadata": {"annotations": {"touched": touch.to_string()}}}))
            .await;
        until("it was looked at", || async {
            let now = operator.looks();
            if now > looks { Ok(()) } else { Err(now) }
        })
        .await;
    }

    stage
        .groups()
        .delete("main", &DeleteParams::default())
        .await
        .expect("it is marked");
    are_told(&stage, &[("ReplicationGroup/DatabasesRefer", 1)]).await;
    let mut after = told(&stage).await;
    after.remove("ReplicationGroup/DatabasesRefer");
    assert_eq!(before, after, "looks that found nothing told something");
    stage
        .databases()
        .delete("app", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    are_told(&stage, &[("Database/DatabaseDropped", 1)]).await;
}
