//! Bad days: a condition with its reason within ten seconds, and recovery by itself when it is mended.

use crate::nodes::Mishap;
use crate::stage::{Stage, until};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use orion_api::admin::{Trouble, TroubleKind};
use orion_api::exit;
use orion_crds::condition::Status;
use orion_crds::group::{condition, reason};
use orion_operator::effects::Writes;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What people wait for a reason.
const SAID: Duration = Duration::from_secs(10);

/// A condition that turns within ten seconds, with words in its message.
async fn is_said(stage: &Stage, type_: &str, status: Status, reason: &str, words: &str) {
    let begun = Instant::now();
    let message = stage.group_has(type_, status, reason).await;
    let took = begun.elapsed();
    assert!(took <= SAID, "{reason} was said after {took:?}");
    assert!(message.contains(words), "{message}");
}

/// A group whose pods do not come to run, and what is said of it; then nothing hinders them any more.
async fn a_group_is_hindered(mishap: Mishap, type_: &str, reason: &str, words: &str) {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    stage.cluster.lock().expect("no panic").mishap = Some(mishap);
    stage.make_group(1).await;
    is_said(&stage, condition::READY, Status::False, reason, words).await;
    is_said(&stage, type_, Status::False, reason, words).await;
    let status = stage.groups().get("main").await.expect("it is there").status;
    let message = status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.contains(words), "the column WHY says: {message}");
    stage.cluster.lock().expect("no panic").mishap = None;
    stage.group_is_ready(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_room_for_pods_is_said_and_mended() {
    let (type_, reason) = (condition::PLACEMENT_SATISFIED, reason::UNSCHEDULABLE);
    a_group_is_hindered(Mishap::Unschedulable, type_, reason, "Insufficient cpu").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_exist_is_said_and_mended() {
    let (type_, reason) = (condition::READY, reason::IMAGE_UNAVAILABLE);
    a_group_is_hindered(Mishap::Image, type_, reason, "ErrImagePull").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_bucket_of_a_new_group_is_said_and_mended() {
    let ends = Mishap::Ends(
        exit::OBJECT_STORE_UNAVAILABLE,
        "orion: the object store does not answer\n",
    );
    let (type_, reason) = (
        condition::OBJECT_STORE_REACHABLE,
        reason::OBJECT_STORE_UNAVAILABLE,
    );
    a_group_is_hindered(ends, type_, reason, "does not answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_the_bucket_refuses_are_said_and_mended() {
    let ends = Mishap::Ends(exit::OBJECT_STORE_DENIED, "orion: access denied\n");
    let (type_, reason) = (condition::CREDENTIALS_VALID, reason::OBJECT_STORE_DENIED);
    a_group_is_hindered(ends, type_, reason, "access denied").await;
}

fn trouble(kind: TroubleKind, message: &str) -> Vec<Trouble> {
    vec![Trouble {
        kind,
        message: message.into(),
    }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_another_group_has_is_said() {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    {
        let mut cluster = stage.cluster.lock().expect("no panic");
        cluster.mishap = Some(Mishap::Stays);
        cluster.troubles = trouble(TroubleKind::GroupElsewhere, "begun by node 17");
    }
    stage.make_group(3).await;
    let reason = reason::GROUP_EXISTS;
    is_said(
        &stage,
        condition::READY,
        Status::False,
        reason,
        "begun by node 17",
    )
    .await;
    is_said(
        &stage,
        condition::BOOTSTRAPPED,
        Status::False,
        reason,
        "begun by node 17",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nodes_say_of_a_group_that_serves_is_said_and_mended() {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    stage.make_group(1).await;
    stage.group_is_ready(1).await;
    let say = |troubles| stage.cluster.lock().expect("no panic").troubles = troubles;
    let cases = [
        (
            TroubleKind::ObjectStoreUnavailable,
            condition::OBJECT_STORE_REACHABLE,
            (Status::False, Status::True),
            reason::OBJECT_STORE_UNAVAILABLE,
        ),
        (
            TroubleKind::ObjectStoreDenied,
            condition::CREDENTIALS_VALID,
            (Status::False, Status::True),
            reason::OBJECT_STORE_DENIED,
        ),
        (
            TroubleKind::DiskFull,
            condition::DISK_PRESSURE,
            (Status::True, Status::False),
            reason::DISK_FULL,
        ),
    ];
    for (kind, type_, (bad, good), reason) in cases {
        say(trouble(kind, "in its own words"));
        is_said(&stage, type_, bad, reason, "in its own words").await;
        // It serves: that is another condition.
        stage.group_is_ready(1).await;
        say(Vec::new());
        is_said(&stage, type_, good, reason::AS_WISHED, "").await;
    }
}

async fn put_secret(stage: &Stage, name: &str, data: Value) {
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data
    });
    let parameters = PatchParams::apply("tests").force();
    let put = secrets.patch(name, &parameters, &Patch::Apply(&secret)).await;
    put.expect("it is taken");
}

async fn make_group(stage: &Stage, more: Value) {
    let mut group = json!({
        "apiVersion": "orion-db.dev/v1alpha1", "kind": "ReplicationGroup", "metadata": {"name": "main"},
        "spec": {
            "memberSets": [{"name": "a", "replicas": 1, "storage": {"size": "1Gi"}}],
            "objectStore": {"url": "file:///objects"}
        }
    });
    for (key, value) in more.as_object().expect("fields of the spec") {
        group["spec"][key] = value.clone();
    }
    let group = serde_json::from_value(group).expect("a group");
    stage
        .groups()
        .create(&PostParams::default(), &group)
        .await
        .expect("it is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_said_by_its_missing_key_and_mended() {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    let store = json!({"url": "s3://bucket", "credentialsSecret": {"name": "s3"}});
    make_group(&stage, json!({ "objectStore": store })).await;
    let (type_, no) = (condition::CREDENTIALS_VALID, Status::False);
    is_said(&stage, type_, no, reason::SECRET_MISSING, "s3").await;
    put_secret(
        &stage,
        "s3",
        json!({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": ""}),
    )
    .await;
    is_said(&stage, type_, no, reason::SECRET_INVALID, "AWS_SECRET_ACCESS_KEY").await;
    is_said(&stage, condition::READY, no, reason::SECRET_INVALID, "s3").await;
    put_secret(
        &stage,
        "s3",
        json!({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}),
    )
    .await;
    is_said(&stage, type_, Status::True, reason::AS_WISHED, "").await;
    stage.group_is_ready(1).await;
}

fn certificate(year: i32) -> (String, String) {
    let mut parameters = rcgen::CertificateParams::new(vec!["orion-peer".to_owned()]).expect("a name");
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_of_no_use_are_said_and_mended() {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    make_group(
        &stage,
        json!({"tls": {"issuer": "Secret", "secret": {"name": "tls"}}}),
    )
    .await;
    let (type_, no) = (condition::CERTIFICATES_VALID, Status::False);
    is_said(&stage, type_, no, reason::SECRET_MISSING, "tls").await;
    let put = async |certificate: &str, key: &str| {
        let data = json!({"ca.crt": certificate, "tls.crt": certificate, "tls.key": key});
        put_secret(&stage, "tls", data).await;
    };
    put("no certificate", "no key").await;
    is_said(&stage, type_, no, reason::SECRET_INVALID, "ca.crt").await;
    let (old, key) = certificate(2021);
    put(&old, &key).await;
    is_said(&stage, type_, no, reason::CERTIFICATE_EXPIRED, "2021-01-01").await;
    let (good, key) = certificate(2999);
    put(&good, &key).await;
    is_said(&stage, type_, Status::True, reason::AS_WISHED, "2999-01-01").await;
    let group = stage.group_is_ready(1).await;
    let status = group.status.expect("it has one");
    assert_eq!(
        status.certificate_expires.as_deref(),
        Some("2999-01-01T00:00:00Z")
    );
}

/// Waits for the reason of a Database's condition Ready.
async fn database_says(stage: &Stage, name: &str, reason: &str) {
    let begun = Instant::now();
    until(reason, || async {
        let database = stage.databases().get(name).await.expect("it is there");
        let conditions = database.status.clone().unwrap_or_default().conditions;
        let ready = orion_crds::condition::find(&conditions, "Ready");
        if ready.is_some_and(|ready| ready.reason == reason && !ready.message.is_empty()) {
            Ok(())
        } else {
            Err(database.status)
        }
    })
    .await;
    let took = begun.elapsed();
    assert!(took <= SAID, "{reason} was said after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_in_the_group_is_said_and_mended() {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    stage.make_group(1).await;
    stage.group_is_ready(1).await;
    stage.make_database("app", json!({"name": "shared"})).await;
    database_says(&stage, "app", "AsWished").await;
    stage.make_database("other", json!({"name": "shared"})).await;
    database_says(&stage, "other", "Refused").await;
    // Who has the name lets it go, in the group too.
    let gone = |database: &mut orion_api::admin::Database| {
        database.state = orion_api::admin::DatabaseState::Dropped;
    };
    stage
        .databases()
        .delete("app", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    stage
        .cluster
        .lock()
        .expect("no panic")
        .databases
        .get_mut("shared")
        .map(gone)
        .expect("it was made");
    until("the other one is ready", || async {
        let status = stage.databases().get("other").await.expect("it is there").status;
        let phase = status.as_ref().and_then(|status| status.phase);
        if phase == Some(orion_crds::database::Phase::Ready) {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_being_deleted_takes_no_database_and_says_so() {
    let stage = Stage::new().await;
    let _operator = stage.operator(Writes::limited(0));
    stage.make_group(1).await;
    stage.group_is_ready(1).await;
    stage.make_database("app", json!({})).await;
    database_says(&stage, "app", "AsWished").await;
    stage
        .groups()
        .delete("main", &DeleteParams::default())
        .await
        .expect("it is marked");
    is_said(
        &stage,
        condition::DELETION_BLOCKED,
        Status::True,
        reason::DATABASES_REFER,
        "app",
    )
    .await;
    stage.make_database("late", json!({})).await;
    database_says(&stage, "late", "GroupClosed").await;
}
