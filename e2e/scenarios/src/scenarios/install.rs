//! The operator comes, is exchanged, and comes from elsewhere: by the chart, and by kustomize.

use crate::stage::{OPERATOR, Stage, until};
use anyhow::{Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use std::time::{Duration, Instant};

const DEPLOYMENT: &str = "orion-operator";

async fn is_rolled_out(stage: &Stage) -> Result<Duration> {
    let deployments: Api<Deployment> = Api::namespaced(stage.client.clone(), OPERATOR);
    until("the operator runs", Duration::from_secs(60), || async {
        let deployment = deployments.get(DEPLOYMENT).await?;
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let status = deployment.status.clone().unwrap_or_default();
        let is_done = status.observed_generation == deployment.metadata.generation
            && status.updated_replicas == wanted
            && status.available_replicas == wanted
            && status.replicas == wanted;
        match is_done {
            true => Ok(()),
            false => bail!("{status:?}"),
        }
    })
    .await
}

/// `helm install` and `helm test`, in a namespace with the restricted rules.
pub async fn the_chart_installs(stage: &Stage) -> Result<String> {
    stage.kubectl("apply -f config/default/namespace.yaml")?;
    stage.run(
        "helm",
        &["install", "orion", "charts/orion", "--namespace", OPERATOR],
    )?;
    let took = is_rolled_out(stage).await?;
    stage.run(
        "helm",
        &["test", "orion", "--namespace", OPERATOR, "--timeout", "60s"],
    )?;
    Ok(format!("the operator is there after {:.1} s", took.as_secs_f32()))
}

/// A new release of the operator brings a new default image; groups that are there keep theirs.
pub async fn another_operator_restarts_nothing(stage: &Stage) -> Result<String> {
    let before = stage.identities().await?;
    let arguments =
        "upgrade orion charts/orion --reuse-values --set image.tag=next,nodeImage.tag=later --namespace";
    let arguments: Vec<&str> = arguments.split(' ').chain([OPERATOR]).collect();
    let began = Instant::now();
    stage.run("helm", &arguments)?;
    is_rolled_out(stage).await?;
    // A change that only the new one can have carried out.
    stage.kubectl("-n data label service main-rw orion-db.dev/group-")?;
    let services: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(stage.client.clone(), "data");
    until("the new operator works", Duration::from_secs(60), || async {
        let labels = services.get("main-rw").await?.metadata.labels.unwrap_or_default();
        ensure!(labels.contains_key("orion-db.dev/group"), "the label is not back");
        Ok(())
    })
    .await?;
    ensure!(stage.identities().await? == before, "pods were made anew");
    let took = began.elapsed().as_secs_f32();
    Ok(format!(
        "the new operator put a label back {took:.1} s after it was asked for, and no pod changed"
    ))
}

/// Helm's objects go, kustomize's come; groups and their nodes stay as they are.
pub async fn kustomize_takes_over_from_the_chart(stage: &Stage) -> Result<String> {
    let before = stage.identities().await?;
    // Its pods may outlive their role by a moment.
    the_operator_was_refused_nothing(stage).await?;
    stage.run("helm", &["uninstall", "orion", "--namespace", OPERATOR, "--wait"])?;
    stage.kubectl("apply --server-side --force-conflicts -k config/default")?;
    is_rolled_out(stage).await?;
    if let Some(machines) = &stage.machines {
        machines.expect_refusals()?;
    }
    stage
        .group_is_ready(before.len(), Duration::from_secs(60))
        .await?;
    ensure!(stage.identities().await? == before, "pods were made anew");
    Ok("no pod changed".into())
}

/// After all scenarios: its role lacks nothing that it used.
pub async fn the_operator_was_refused_nothing(stage: &Stage) -> Result<String> {
    let Some(machines) = &stage.machines else {
        return Ok("not looked at: the audit log is somebody else's".into());
    };
    let refused = machines.refused()?;
    ensure!(refused.is_empty(), "the operator's role lacks: {refused:?}");
    Ok("no request was Forbidden".into())
}
