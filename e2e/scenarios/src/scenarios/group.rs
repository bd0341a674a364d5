//! A group, a database, and an application that uses it.

use crate::stage::{DATA, Stage, until};
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use std::time::{Duration, Instant};

/// From `kubectl apply` to Ready with three members, images present.
pub async fn a_group_is_ready_in_time(stage: &Stage) -> Result<String> {
    stage.apply("store")?;
    stage.kubectl("-n store rollout status statefulset/s3 --timeout=60s")?;
    stage.apply("group")?;
    let group = stage.group_is_ready(3, Duration::from_secs(15)).await?;
    let database = stage
        .database_is_ready(DATA, "ledger", Duration::from_secs(5))
        .await?;
    let (group, database) = (group.as_secs_f32(), database.as_secs_f32());
    Ok(format!(
        "group after {group:.1} s, its database {database:.1} s later"
    ))
}

/// What people see first.
pub async fn columns_tell_what_there_is(stage: &Stage) -> Result<String> {
    let groups = stage.kubectl("-n data get rg")?;
    let databases = stage.kubectl("-n data get db")?;
    let row = |table: &str, name: &str| -> Result<Vec<String>> {
        let line = table
            .lines()
            .find(|line| line.starts_with(name))
            .context("no row")?;
        Ok(line.split_whitespace().map(str::to_owned).collect())
    };
    let group = row(&groups, "main")?;
    ensure!(group[1] == "Ready" && group[2] == "3/3", "{groups}");
    ensure!(group[3].starts_with("main-a-"), "{groups}");
    let leads = stage.pods(DATA, "orion-db.dev/leader=true").await?;
    ensure!(
        leads.len() == 1 && leads[0].metadata.name.as_ref() == Some(&group[3]),
        "{groups}"
    );
    let database = row(&databases, "ledger")?;
    let expected = ["ledger", "Ready", "main", "http://main.data.svc:8091/ledger/"];
    ensure!(database[..4] == expected, "{databases}");
    Ok(format!("{} · {}", group[..4].join(" "), database[..4].join(" ")))
}

/// A pod in another namespace has its database by the Secret and the Service that came with it, and nothing else.
pub async fn an_application_elsewhere_uses_secret_and_service(stage: &Stage) -> Result<String> {
    let began = Instant::now();
    stage.apply("application")?;
    let database = stage
        .database_is_ready("application", "notes", Duration::from_secs(15))
        .await?;
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), "application");
    until(
        "the application has ended well",
        Duration::from_secs(60),
        || async {
            let status = pods.get("writer").await?.status.unwrap_or_default();
            match status.phase.as_deref() {
                Some("Succeeded") => Ok(()),
                _ => bail!(
                    "{:?} {}",
                    status.phase,
                    stage.kubectl("-n application logs writer")?
                ),
            }
        },
    )
    .await?;
    let said = stage.kubectl("-n application logs writer")?;
    ensure!(said.trim() == "10 notes", "{said}");
    let (all, database) = (began.elapsed().as_secs_f32(), database.as_secs_f32());
    Ok(format!("database after {database:.1} s, all after {all:.1} s"))
}
