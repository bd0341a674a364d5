//! The chart's roles are enough for the operator, and no more than that: it acts as the ServiceAccount that it would be.

use crate::kubelet::{self, Machine, Network};
use crate::nodes::Cluster;
use crate::program::{Ground, Program};
use crate::scale::{are_ready, make_database, make_group};
use kube::Api;
use kube::api::DeleteParams;
use orion_apiserver::Controllers;
use orion_crds::{Database, ReplicationGroup};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn said(command: &mut Command) -> Vec<u8> {
    let output = command.stderr(Stdio::inherit()).output().expect("it runs");
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

/// Installs the chart's roles for these namespaces; none: for all.
fn install_roles(ground: &Ground, namespaces: &[&str]) {
    let helm = said(Command::new(root().join("e2e/build")).arg("helm"));
    let helm = String::from_utf8(helm).expect("a path");
    let chosen = format!("namespaces={{{}}}", namespaces.join(","));
    let set: &[&str] = if namespaces.is_empty() {
        &[]
    } else {
        &["--set", &chosen]
    };
    let rendered = said(
        Command::new(helm.trim())
            .args([
                "template",
                "orion",
                "charts/orion",
                "--namespace",
                &ground.namespace,
            ])
            .args(set)
            .args(["--show-only", "templates/rbac.yaml"])
            .args(["--show-only", "templates/serviceaccount.yaml"])
            .current_dir(root()),
    );
    let program = orion_apiserver::program().expect("the program of the cluster");
    let mut kubectl = Command::new(program)
        .args(["kubectl", "apply", "-f", "-", "--kubeconfig"])
        .arg(ground.server.kubeconfig())
        .stdin(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    let mut input = kubectl.stdin.take().expect("it is piped");
    input.write_all(&rendered).expect("it is read");
    drop(input);
    assert!(kubectl.wait().expect("it ends").success());
}

/// A kubeconfig of the operator's ServiceAccount.
fn as_the_account(ground: &Ground, directory: &Path) -> PathBuf {
    let text = std::fs::read_to_string(ground.server.kubeconfig()).expect("a kubeconfig");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let user = &mut config["users"][0]["user"];
    user["as"] = json!(format!(
        "system:serviceaccount:{}:orion-operator",
        ground.namespace
    ));
    user["as-groups"] = json!(["system:serviceaccounts", "system:authenticated"]);
    let path = directory.join("kubeconfig");
    std::fs::write(&path, config.to_string()).expect("it is written");
    path
}

fn run_pods(ground: &Ground, namespace: &str, network: &Arc<Network>) {
    tokio::spawn(kubelet::run(Machine {
        pods: Api::namespaced(ground.client.clone(), namespace),
        namespace: namespace.to_owned(),
        cluster: Cluster::default(),
        urls: Arc::default(),
        network: Some(Arc::clone(network)),
        pause: std::time::Duration::from_millis(200),
    }));
}

async fn was_refused_nothing(program: &Program) {
    let refused = program
        .metric("orion_operator_api_requests_total", "code=\"403\"")
        .await;
    assert_eq!(refused, 0.0, "the role lacks something: look for 403 in the log");
}

/// A life of a group and a database in a namespace.
async fn a_group_comes_and_goes(ground: &Ground, program: &Program, namespace: &str) {
    make_group(ground, namespace).await;
    are_ready(program, "ReplicationGroup", 1).await;
    make_database(ground, namespace, "app".into()).await;
    are_ready(program, "Database", 1).await;
    let databases: Api<Database> = Api::namespaced(ground.client.clone(), namespace);
    databases
        .delete("app", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    let groups: Api<ReplicationGroup> = Api::namespaced(ground.client.clone(), namespace);
    groups
        .delete("main", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    crate::stage::until("the group is gone", || async {
        let found = groups.get_opt("main").await.expect("the server answers");
        if found.is_none() {
            Ok(())
        } else {
            Err(found.and_then(|group| group.status))
        }
    })
    .await;
    was_refused_nothing(program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_a_namespace_is_enough_for_it_and_others_are_left_alone() {
    let ground = Ground::with(Controllers::On).await;
    let served = ground
        .server
        .namespace(&ground.client)
        .await
        .expect("a namespace");
    let other = ground
        .server
        .namespace(&ground.client)
        .await
        .expect("a namespace");
    install_roles(&ground, &[&served]);
    let directory = tempfile::tempdir().expect("a directory");
    let kubeconfig = as_the_account(&ground, directory.path());
    let program = ground.program_with("one", &kubeconfig, &["--namespaces", &served]);
    program.is_ready().await;
    run_pods(&ground, &served, &Arc::default());
    make_group(&ground, &other).await;
    a_group_comes_and_goes(&ground, &program, &served).await;
    let groups: Api<ReplicationGroup> = Api::namespaced(ground.client.clone(), &other);
    let status = groups.get("main").await.expect("it is there").status;
    assert_eq!(status, None, "nobody looks at this namespace");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_cluster_is_enough() {
    let ground = Ground::with(Controllers::On).await;
    let namespace = ground
        .server
        .namespace(&ground.client)
        .await
        .expect("a namespace");
    install_roles(&ground, &[]);
    let directory = tempfile::tempdir().expect("a directory");
    let kubeconfig = as_the_account(&ground, directory.path());
    let program = ground.program_with("one", &kubeconfig, &[]);
    program.is_ready().await;
    run_pods(&ground, &namespace, &Arc::default());
    a_group_comes_and_goes(&ground, &program, &namespace).await;
}
