//! Members come and go, and are restarted, while they are used.

use crate::load::Load;
use crate::stage::{DATA, Stage};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// A change of the members, or a roll of three.
const CHANGE: Duration = Duration::from_secs(120);

pub(super) async fn scale(stage: &Stage, replicas: u32) -> Result<()> {
    let change = format!(r#"[{{"op":"replace","path":"/spec/memberSets/0/replicas","value":{replicas}}}]"#);
    let arguments = ["-n", DATA, "patch", "rg", "main", "--type=json", "-p", &change];
    stage.run("kubectl", &arguments).map(drop)
}

/// 3 → 5 → 3 → 1 → 3, under load.
pub async fn the_group_scales_up_and_down(stage: &Stage) -> Result<String> {
    let load = Load::start(stage.database("ledger").await?).await?;
    let mut took = Vec::new();
    for replicas in [5, 3, 1, 3] {
        scale(stage, replicas).await?;
        let time = stage.group_is_ready(replicas as usize, CHANGE).await?;
        took.push(format!("{replicas} after {:.1} s", time.as_secs_f32()));
    }
    let seen = load.end().await?;
    Ok(format!("{}; {seen}", took.join(", ")))
}

/// Another image, one pod after the other, under load.
pub async fn a_roll_fails_no_request(stage: &Stage) -> Result<String> {
    let before = stage.identities().await?;
    let load = Load::start(stage.database("ledger").await?).await?;
    let began = Instant::now();
    stage.kubectl(r#"-n data patch rg main --type=merge -p {"spec":{"image":"orion:next"}}"#)?;
    stage.group_is_ready(before.len(), CHANGE).await?;
    let took = began.elapsed();
    let seen = load.end().await?;
    let after = stage.identities().await?;
    let is_new = |(old, new): (&(String, String), &(String, String))| old.0 == new.0 && old.1 != new.1;
    ensure!(
        before.iter().zip(&after).all(is_new),
        "not all pods are new: {before:?} {after:?}"
    );
    ensure!(
        seen.failed_reads().is_empty(),
        "{seen}: {:?}",
        seen.failed_reads()
    );
    // How long writes waited is a figure (docs/benchmarks.md), and not the same on any machine.
    Ok(format!(
        "{} pods in {:.1} s; {seen}",
        after.len(),
        took.as_secs_f32()
    ))
}
