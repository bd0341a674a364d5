//! Scenarios on a real Kubernetes cluster, one after the other, in the order in which a cluster lives: what the first ones
//! install the later ones use. `e2e/run` makes the cluster and the images, and runs this.
//!
//! `orion-e2e` runs all; `--until NAME` ends after that scenario, `--from NAME` begins with it in a cluster that was kept. The
//! first failure ends it: what follows would not mean anything. Each line says what was measured.

mod load;
mod machines;
mod scenarios;
mod stage;

use anyhow::{Context, Result, bail};
use stage::Stage;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::time::Instant;

type Running<'a> = Pin<Box<dyn Future<Output = Result<String>> + 'a>>;
type Scenario = (&'static str, for<'a> fn(&'a Stage) -> Running<'a>);

/// Their names are what they prove.
macro_rules! scenarios {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), |stage| Box::pin(scenarios::$module::$name(stage)))),*]
    };
}

const SCENARIOS: &[Scenario] = scenarios![
    install::the_chart_installs,
    group::a_group_is_ready_in_time,
    group::columns_tell_what_there_is,
    group::an_application_elsewhere_uses_secret_and_service,
    members::the_group_scales_up_and_down,
    members::a_roll_fails_no_request,
    trouble::a_killed_node_comes_back,
    trouble::a_killed_operator_comes_back,
    trouble::a_cut_off_node_is_done_without,
    trouble::a_lost_disk_is_replaced,
    trouble::a_drain_waits_for_the_group,
    trouble::the_object_store_may_be_away,
    install::another_operator_restarts_nothing,
    install::kustomize_takes_over_from_the_chart,
    deletion::databases_go_or_stay_as_they_say,
    deletion::a_namespace_goes_with_all_that_is_in_it,
    install::the_operator_was_refused_nothing,
];

#[tokio::main]
async fn main() -> Result<()> {
    let chosen = chosen()?;
    let stage = Stage::new().await?;
    for (name, scenario) in chosen {
        let began = Instant::now();
        let result = scenario(&stage).await;
        let seconds = began.elapsed().as_secs_f32();
        let mut out = std::io::stdout();
        match &result {
            Ok(measured) => writeln!(out, "ok   {seconds:6.1} s  {name}: {measured}")?,
            Err(error) => writeln!(out, "FAIL {seconds:6.1} s  {name}: {error:#}\n{}", state(&stage))?,
        }
        result?;
    }
    Ok(())
}

/// The scenarios that the arguments name.
fn chosen() -> Result<&'static [Scenario]> {
    let (mut from, mut until) = (0, SCENARIOS.len());
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let name = arguments
            .next()
            .context("usage: orion-e2e [--from NAME] [--until NAME]")?;
        let position = SCENARIOS.iter().position(|(known, _)| *known == name);
        let position = position.with_context(|| format!("there is no scenario {name}"))?;
        match option.as_str() {
            "--from" => from = position,
            "--until" => until = position + 1,
            _ => bail!("no such option: {option}"),
        }
    }
    SCENARIOS.get(from..until).context("it ends before it begins")
}

/// What people would look at first.
fn state(stage: &Stage) -> String {
    let looks = [
        "get rg,db,pods,pvc -A -o wide",
        "-n data get rg main -o jsonpath={.status.conditions}",
        "-n orion-system logs -l app.kubernetes.io/name=orion-operator --tail=20 --prefix",
        "-n data logs -l orion-db.dev/group=main --tail=5 --prefix",
    ];
    let shown = looks
        .iter()
        .map(|look| stage.kubectl(look).unwrap_or_else(|error| error.to_string()));
    shown.collect::<Vec<_>>().join("\n")
}
