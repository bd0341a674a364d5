//! Many groups and databases: all become ready, and then the operator asks nobody for anything. The program runs as a
//! process of its own, so that what it needs is measured apart from the nodes that are faked here.

use crate::kubelet::{self, Machine, Network};
use crate::nodes::Cluster;
use crate::program::{Ground, Program};
use crate::stage::until_within;
use futures::{StreamExt, stream};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use orion_apiserver::Controllers;
use orion_crds::database::Phase;
use orion_crds::{Database, ReplicationGroup};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A burst of this size is far from done later.
const PATIENCE: Duration = Duration::from_secs(300);

struct Scale {
    groups: usize,
    databases: usize,
    /// How long the settled operator is watched.
    rest: Duration,
}

struct Figures {
    groups_ready: Duration,
    databases_ready: Duration,
    one_more_ready: Duration,
    refused: f64,
    cpu_of_a_core: f64,
    resident_mib: f64,
}

#[tokio::test(flavor = "multi_thread")]
async fn five_groups_and_500_databases_settle_and_then_nothing_is_asked() {
    let scale = Scale {
        groups: 5,
        databases: 500,
        rest: Duration::ZERO,
    };
    let figures = run(&scale).await;
    assert_eq!(figures.refused, 0.0, "the server was asked for too much");
    assert!(
        figures.one_more_ready <= Duration::from_secs(2),
        "{:?}",
        figures.one_more_ready
    );
}

/// The figures of docs/benchmarks.md: `cargo test --release --workspace --features orion/failpoints --test cluster -- --ignored
/// --nocapture fifty_groups`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes"]
async fn fifty_groups_and_5000_databases_by_hand() {
    let scale = Scale {
        groups: 50,
        databases: 5000,
        rest: Duration::from_secs(120),
    };
    let figures = run(&scale).await;
    eprintln!(
        "groups ready {:?}; databases ready {:?}; one more ready {:?}; 429s {}; settled: {:.2} % of a core, {:.0} MiB",
        figures.groups_ready,
        figures.databases_ready,
        figures.one_more_ready,
        figures.refused,
        100.0 * figures.cpu_of_a_core,
        figures.resident_mib
    );
}

async fn run(scale: &Scale) -> Figures {
    let ground = Ground::with(Controllers::On).await;
    let network = Arc::new(Network);
    let mut namespaces = Vec::new();
    for _ in 0..scale.groups {
        let namespace = ground
            .server
            .namespace(&ground.client)
            .await
            .expect("a namespace can be made");
        tokio::spawn(kubelet::run(Machine {
            pods: Api::namespaced(ground.client.clone(), &namespace),
            namespace: namespace.clone(),
            cluster: Cluster::default(),
            urls: Arc::default(),
            network: Some(Arc::clone(&network)),
            pause: Duration::from_secs(1),
        }));
        namespaces.push(namespace);
    }
    let alone = ["--no-leader-election"];
    let program = ground.program_with("alone", ground.server.kubeconfig(), &alone);
    program.is_ready().await;

    let begun = Instant::now();
    for namespace in &namespaces {
        make_group(&ground, namespace).await;
    }
    are_ready(&program, "ReplicationGroup", scale.groups).await;
    let groups_ready = begun.elapsed();
    let begun = Instant::now();
    let wishes =
        (0..scale.databases).map(|number| (&namespaces[number % scale.groups], format!("db-{number}")));
    stream::iter(wishes)
        .for_each_concurrent(16, |(namespace, name)| make_database(&ground, namespace, name))
        .await;
    are_ready(&program, "Database", scale.databases).await;
    let databases_ready = begun.elapsed();

    // Groups say at their next look how many databases they have.
    all_are_looked_at(&ground, &program, &namespaces, "first").await;
    is_settled(&program).await;
    let before = asked(&program).await;
    all_are_looked_at(&ground, &program, &namespaces, "second").await;
    let after = asked(&program).await;
    assert_eq!(
        after, before,
        "looks that found nothing to do asked for something"
    );
    let (cpu, begun) = (cpu_seconds(&program), Instant::now());
    tokio::time::sleep(scale.rest).await;
    let cpu_of_a_core = (cpu_seconds(&program) - cpu) / begun.elapsed().as_secs_f64().max(0.001);
    let resident_mib = resident_mib(&program);

    let begun = Instant::now();
    make_database(&ground, &namespaces[0], "one-more".into()).await;
    let databases: Api<Database> = Api::namespaced(ground.client.clone(), &namespaces[0]);
    until_within(PATIENCE, "one more is ready", || async {
        let status = databases.get("one-more").await.expect("it is there").status;
        let phase = status.as_ref().and_then(|status| status.phase);
        if phase == Some(Phase::Ready) {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
    Figures {
        groups_ready,
        databases_ready,
        one_more_ready: begun.elapsed(),
        refused: program.metric("orion_operator_api_requests_total", "429").await,
        cpu_of_a_core,
        resident_mib,
    }
}

pub async fn make_group(ground: &Ground, namespace: &str) {
    let group = json!({
        "apiVersion": "orion-db.dev/v1alpha1", "kind": "ReplicationGroup", "metadata": {"name": "main"},
        "spec": {
            "memberSets": [{"name": "a", "replicas": 3, "storage": {"size": "1Gi"}}],
            "objectStore": {"url": "file:///objects"}
        }
    });
    let group: ReplicationGroup = serde_json::from_value(group).expect("a group");
    let groups = Api::namespaced(ground.client.clone(), namespace);
    groups
        .create(&PostParams::default(), &group)
        .await
        .expect("it is taken");
}

pub async fn make_database(ground: &Ground, namespace: &str, name: String) {
    let database = json!({
        "apiVersion": "orion-db.dev/v1alpha1", "kind": "Database", "metadata": {"name": name},
        "spec": {"groupRef": {"name": "main"}, "deletionPolicy": "Delete"}
    });
    let database: Database = serde_json::from_value(database).expect("a database");
    let databases = Api::namespaced(ground.client.clone(), namespace);
    databases
        .create(&PostParams::default(), &database)
        .await
        .expect("it is taken");
}

pub async fn are_ready(program: &Program, kind: &str, count: usize) {
    let label = format!("kind=\"{kind}\",phase=\"Ready\"");
    until_within(PATIENCE, "all are ready", || async {
        let ready = program.metric("orion_operator_objects", &label).await;
        if ready >= count as f64 { Ok(()) } else { Err(ready) }
    })
    .await;
}

/// All that was asked of the API server, but for the watches.
async fn asked(program: &Program) -> f64 {
    let all = program.metric("orion_operator_api_requests_total", "").await;
    all - program.metric("orion_operator_api_requests_total", "WATCH").await
}

/// Nothing is asked for a while: what was written last has come back from the watches.
async fn is_settled(program: &Program) {
    let mut last = (asked(program).await, Instant::now());
    let end = Instant::now() + PATIENCE;
    while last.1.elapsed() < Duration::from_secs(5) {
        assert!(Instant::now() < end, "requests go on");
        let now = asked(program).await;
        if now != last.0 {
            last = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Changes what means nothing to the operator, on all groups and some of their databases, and waits until they were looked at.
async fn all_are_looked_at(ground: &Ground, program: &Program, namespaces: &[String], value: &str) {
    let looks = |kind: &'static str| program.metric("orion_operator_reconciles_total", kind);
    let before = (looks("ReplicationGroup").await, looks("Database").await);
    let touch = Patch::Merge(json!({"metadata": {"annotations": {"touched": value}}}));
    for namespace in namespaces {
        let groups: Api<ReplicationGroup> = Api::namespaced(ground.client.clone(), namespace);
        groups
            .patch("main", &PatchParams::default(), &touch)
            .await
            .expect("it is taken");
        let databases: Api<Database> = Api::namespaced(ground.client.clone(), namespace);
        let some = ListParams::default().limit(20);
        for database in databases.list(&some).await.expect("the server answers") {
            let patched = databases
                .patch(&database.name_any(), &PatchParams::default(), &touch)
                .await;
            patched.expect("it is taken");
        }
    }
    let groups = namespaces.len() as f64;
    until_within(PATIENCE, "all were looked at", || async {
        let now = (
            looks("ReplicationGroup").await - before.0,
            looks("Database").await - before.1,
        );
        if now.0 >= groups && now.1 >= 20.0 * groups {
            Ok(())
        } else {
            Err(now)
        }
    })
    .await;
}

/// Time of the processor that the program used, in all its threads.
fn cpu_seconds(program: &Program) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.child.id())).expect("it runs");
    let fields = stat
        .rsplit_once(')')
        .expect("its name is in brackets")
        .1
        .split_whitespace();
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().expect("a number"))
        .sum();
    // USER_HZ: 100 on all Linux.
    ticks / 100.0
}

fn resident_mib(program: &Program) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.child.id())).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("it is said");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}
