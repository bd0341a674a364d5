//! What goes when something is deleted, and what stays.

use crate::stage::{DATA, Stage, until};
use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use std::time::Duration;

const GONE: Duration = Duration::from_secs(60);

async fn unmanaged(stage: &Stage) -> Result<u32> {
    let status = stage.group().await?.status.unwrap_or_default();
    Ok(status
        .databases
        .map_or(0, |databases| databases.unmanaged.unwrap_or(0)))
}

/// Delete drops the database; Retain leaves it in the group, where the status counts it. A group with databases stays.
pub async fn databases_go_or_stay_as_they_say(stage: &Stage) -> Result<String> {
    stage.kubectl("-n application delete db notes --timeout=60s")?;
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), "application");
    until("its Secret goes", GONE, || async {
        ensure!(secrets.get_opt("notes-db").await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    ensure!(unmanaged(stage).await? == 0, "the dropped database is counted");

    stage.kubectl("-n data delete rg main --wait=false")?;
    until("the deletion is blocked", GONE, || async {
        let status = stage.group().await?.status.unwrap_or_default();
        let blocked = status.conditions.iter().any(|condition| {
            condition.type_ == "DeletionBlocked" && condition.status == orion_crds::condition::Status::True
        });
        ensure!(blocked, "{:?}", status.conditions);
        Ok(())
    })
    .await?;
    ensure!(
        stage.identities().await?.len() == 3,
        "pods went before the databases"
    );
    stage.kubectl("-n data delete db ledger --timeout=60s")?;
    let groups: Api<orion_crds::ReplicationGroup> = Api::namespaced(stage.client.clone(), DATA);
    let took = until("the group is gone", GONE, || async {
        ensure!(groups.get_opt("main").await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    let claims = stage.kubectl("-n data get pvc -o name")?;
    ensure!(claims.lines().count() >= 3, "disks went with the group: {claims}");
    Ok(format!(
        "the group went {:.1} s after its last database, its disks stay",
        took.as_secs_f32()
    ))
}

/// `kubectl delete namespace` with a group and a database in it ends.
pub async fn a_namespace_goes_with_all_that_is_in_it(stage: &Stage) -> Result<String> {
    stage.kubectl("-n data delete pvc --all --timeout=60s")?;
    // Another prefix: the bucket still has the group that was retained.
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/group.yaml"))?;
    let folder = std::env::temp_dir().join(format!("orion-e2e-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder)?;
    let path = folder.join("group.yaml");
    std::fs::write(&path, manifest.replace("s3://bucket/main", "s3://bucket/second"))?;
    let applied = stage.run("kubectl", &["apply", "-f", &path.to_string_lossy()]);
    std::fs::remove_dir_all(&folder)?;
    applied?;
    stage.group_is_ready(3, Duration::from_secs(60)).await?;
    stage.database_is_ready(DATA, "ledger", GONE).await?;
    stage.kubectl("delete namespace data application --wait=false --ignore-not-found")?;
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    let took = until("the namespaces are gone", GONE, || async {
        for name in [DATA, "application"] {
            let found = namespaces.get_opt(name).await?;
            ensure!(found.is_none(), "{:?}", found.and_then(|found| found.status));
        }
        Ok(())
    })
    .await?;
    Ok(format!("gone after {:.1} s", took.as_secs_f32()))
}
