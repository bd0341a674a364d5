//! Machines that are gone for good take their members with them; machines that are only away do not.

use crate::stage::{Operator, Stage, until};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use orion_crds::ReplicationGroup;
use orion_crds::group::{MemberState, reason};
use orion_operator::effects::Writes;
use serde_json::json;

/// Three machines with a member each.
async fn three_machines() -> (Stage, Operator, Api<Node>) {
    let stage = Stage::new().await;
    let nodes: Api<Node> = Api::all(stage.client.clone());
    for name in ["n1", "n2", "n3"] {
        let node = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a Node");
        nodes
            .create(&PostParams::default(), &node)
            .await
            .expect("it is taken");
        stage.cluster.lock().expect("no panic").machines.push(name.into());
    }
    let operator = stage.operator(Writes::limited(0));
    stage.make_group(3).await;
    stage.group_is_ready(3).await;
    (stage, operator, nodes)
}

fn pods_of(group: &ReplicationGroup) -> Vec<String> {
    let members = group.status.iter().flat_map(|status| &status.members);
    members.map(|member| member.pod.clone()).collect()
}

/// A machine ends; nobody says that it is gone. The operator sees it, and waits.
async fn a_machine_ends(stage: &Stage, operator: &Operator, machine: &str) {
    stage
        .cluster
        .lock()
        .expect("no panic")
        .dead
        .insert(machine.into());
    stage.group_says(reason::MEMBERS_NOT_READY).await;
    let looks = operator.looks();
    until("some more looks", || async {
        let now = operator.looks();
        if now > looks + 3 { Ok(()) } else { Err(now) }
    })
    .await;
    let group = stage.groups().get("main").await.expect("it is there");
    let status = group.status.expect("it has one");
    assert_eq!(status.next_member, Some(3), "a machine that is away is not gone");
    assert!(
        status
            .members
            .iter()
            .all(|member| member.state != Some(MemberState::Lost))
    );
}

async fn another_member_takes_its_place(stage: &Stage, before: &[String]) {
    let after = until("another member is there", || async {
        let group = stage.groups().get("main").await.expect("it is there");
        let pods = pods_of(&group);
        if pods.len() == 3 && pods != before {
            Ok(pods)
        } else {
            Err(group.status)
        }
    })
    .await;
    assert!(after.contains(&"main-a-3-0".to_owned()), "{after:?}");
    stage.group_is_ready(3).await;
    let cluster = stage.cluster.lock().expect("no panic");
    assert!(cluster.violations.is_empty(), "{:?}", cluster.violations);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_deleted_takes_its_member_with_it() {
    let (stage, operator, nodes) = three_machines().await;
    let before = pods_of(&stage.groups().get("main").await.expect("it is there"));
    a_machine_ends(&stage, &operator, "n2").await;
    nodes
        .delete("n2", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    another_member_takes_its_place(&stage, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_out_of_service_takes_its_member_with_it() {
    let (stage, operator, nodes) = three_machines().await;
    let before = pods_of(&stage.groups().get("main").await.expect("it is there"));
    a_machine_ends(&stage, &operator, "n3").await;
    let taint = json!({"spec": {"taints": [
        {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
    ]}});
    nodes
        .patch("n3", &PatchParams::default(), &Patch::Merge(taint))
        .await
        .expect("it is taken");
    another_member_takes_its_place(&stage, &before).await;
}
