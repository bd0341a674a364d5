//! Bad days: processes are killed, machines are cut off or emptied, and what the group needs is away for a while.

use crate::load::Load;
use crate::stage::{OPERATOR, Stage, until};
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const MENDED: Duration = Duration::from_secs(120);
const NOT_OURS: &str = "left out: the machines are somebody else's";

fn node_of(pod: &Pod) -> Result<String> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    node.context("the pod has no node")
}

/// The leader's process ends without a word.
pub async fn a_killed_node_comes_back(stage: &Stage) -> Result<String> {
    let Some(machines) = &stage.machines else {
        return Ok(NOT_OURS.into());
    };
    let load = Load::start(stage.database("ledger").await?).await?;
    let leads = stage.pods("data", "orion-db.dev/leader=true").await?;
    let leader = leads.first().context("nobody leads")?;
    let restarts = |pod: &Pod| {
        let status = pod
            .status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten());
        status.map(|container| container.restart_count).sum::<i32>()
    };
    machines.kill(leader)?;
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), "data");
    until("its container is restarted", MENDED, || async {
        ensure!(
            restarts(&pods.get(&leader.name_any()).await?) > restarts(leader),
            "not yet"
        );
        Ok(())
    })
    .await?;
    let took = stage.group_is_ready(3, MENDED).await?;
    let seen = load.end().await?;
    Ok(format!("ready again after {:.1} s; {seen}", took.as_secs_f32()))
}

/// All replicas of the operator at once; afterwards it does what it is asked.
pub async fn a_killed_operator_comes_back(stage: &Stage) -> Result<String> {
    let Some(machines) = &stage.machines else {
        return Ok(NOT_OURS.into());
    };
    let before = stage.identities().await?;
    for pod in stage
        .pods(OPERATOR, "app.kubernetes.io/name=orion-operator")
        .await?
    {
        machines.kill(&pod)?;
    }
    let began = Instant::now();
    super::members::scale(stage, 5).await?;
    stage.group_is_ready(5, MENDED).await?;
    let took = began.elapsed();
    super::members::scale(stage, 3).await?;
    stage.group_is_ready(3, MENDED).await?;
    let kept = stage.identities().await?;
    ensure!(kept.iter().all(|pod| before.contains(pod)), "pods were made anew");
    Ok(format!(
        "five members {:.1} s after all its replicas were killed",
        took.as_secs_f32()
    ))
}

/// A machine is off the network, with the leader on it, and comes back.
pub async fn a_cut_off_node_is_done_without(stage: &Stage) -> Result<String> {
    let Some(machines) = &stage.machines else {
        return Ok(NOT_OURS.into());
    };
    let before = stage.identities().await?;
    // Not the first: the way of these scenarios to Services leads through it. Nor the object store's.
    let store = stage.pods("store", "app.kubernetes.io/name=s3").await?;
    let taken = node_of(store.first().context("no object store")?)?;
    let members = stage.members().await?;
    let on = |pod: &&Pod| node_of(pod).is_ok_and(|node| node != "node1" && node != taken);
    let node = node_of(members.iter().find(on).context("no member is on another node")?)?;
    let load = Load::start(stage.database("ledger").await?).await?;
    machines.link(&node, "down")?;
    let noticed = until("the group says that a member lacks", MENDED, || async {
        let status = stage.group().await?.status.unwrap_or_default();
        ensure!(status.ready.as_deref() != Some("3/3"), "all are ready");
        Ok(())
    })
    .await;
    machines.link(&node, "up")?;
    let noticed = noticed?;
    let mended = stage.group_is_ready(3, MENDED).await?;
    let seen = load.end().await?;
    ensure!(stage.identities().await? == before, "pods were made anew");
    let (noticed, mended) = (noticed.as_secs_f32(), mended.as_secs_f32());
    Ok(format!(
        "noticed after {noticed:.1} s, mended {mended:.1} s after it was back; {seen}"
    ))
}

/// A member's disk is given up, as the runbook says; another member takes its place.
pub async fn a_lost_disk_is_replaced(stage: &Stage) -> Result<String> {
    let before = stage.identities().await?;
    let lost = before.last().context("no pods")?.0.clone();
    let load = Load::start(stage.database("ledger").await?).await?;
    let began = Instant::now();
    stage.kubectl(&format!(
        "-n data annotate rg main orion-db.dev/replace={lost} --overwrite"
    ))?;
    until("another member is there instead", MENDED, || async {
        let names = stage.identities().await?;
        ensure!(names.iter().all(|(name, _)| *name != lost), "{names:?}");
        Ok(())
    })
    .await?;
    stage.group_is_ready(3, MENDED).await?;
    let took = began.elapsed();
    stage.kubectl("-n data annotate rg main orion-db.dev/replace-")?;
    let seen = load.end().await?;
    Ok(format!("replaced in {:.1} s; {seen}", took.as_secs_f32()))
}

/// `kubectl drain` of a machine after the other goes on only when the group can do without. Of machines with one member:
/// where two are, the budget keeps the second one while the first one's disk, which is local, keeps it from running elsewhere.
pub async fn a_drain_waits_for_the_group(stage: &Stage) -> Result<String> {
    let mut members: BTreeMap<String, u32> = BTreeMap::new();
    for pod in stage.members().await? {
        *members.entry(node_of(&pod)?).or_default() += 1;
    }
    members.retain(|_, count| *count == 1);
    ensure!(!members.is_empty(), "no machine has just one member");
    let load = Load::start(stage.database("ledger").await?).await?;
    let began = Instant::now();
    for node in members.keys() {
        let drain = format!("drain {node} --ignore-daemonsets --delete-emptydir-data --timeout=90s");
        let drained = stage.kubectl(&drain);
        stage.kubectl(&format!("uncordon {node}"))?;
        drained?;
        stage.group_is_ready(3, MENDED).await?;
    }
    let took = began.elapsed();
    let seen = load.end().await?;
    Ok(format!(
        "{} machines in {:.1} s; {seen}",
        members.len(),
        took.as_secs_f32()
    ))
}

/// Writes go on while the object store is away, because they are durable by the log.
pub async fn the_object_store_may_be_away(stage: &Stage) -> Result<String> {
    let load = Load::start(stage.database("ledger").await?).await?;
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), "store");
    let old = pods.get("s3-0").await?.uid();
    pods.delete("s3-0", &DeleteParams::default()).await?;
    let away = until("the object store is back", MENDED, || async {
        let pod = pods.get("s3-0").await?;
        let conditions = pod
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        let is_ready = conditions
            .into_iter()
            .any(|found| found.type_ == "Ready" && found.status == "True");
        match pod.uid() != old && is_ready {
            true => Ok(()),
            false => bail!("not yet"),
        }
    })
    .await?;
    stage.group_is_ready(3, MENDED).await?;
    let seen = load.end().await?;
    Ok(format!("away for {:.1} s; {seen}", away.as_secs_f32()))
}
