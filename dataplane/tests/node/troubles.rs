//! A node says what keeps it from doing its part: by its admin API while it runs, by the number it ends with where it cannot.

use crate::port::free_port;
use crate::running::{PATIENCE, Running, config};
use crate::s3::{KEY_ID, S3Server, SECRET, Trouble};
use orion_api::admin::TroubleKind;
use orion_api::exit;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Runs a server until it ends by itself, on a new disk.
async fn end_of(dir: &Path, more: &str) -> Output {
    let text = format!(
        "data_dir: {}\nlisten: 127.0.0.1:0\n{more}",
        dir.join("data").display()
    );
    let file = dir.join("config.yaml");
    std::fs::write(&file, text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_orion"));
    command.args(["server", "--config"]).arg(file);
    let run = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    tokio::time::timeout(PATIENCE, run)
        .await
        .expect("it ends")
        .expect("no panic")
}

fn on_s3(endpoint: &str, credentials: &Path, keys: &[(&str, &str)]) -> String {
    std::fs::create_dir_all(credentials).expect("a folder");
    for (name, value) in keys {
        std::fs::write(credentials.join(name), value).expect("written");
    }
    format!(
        "object_store:\n  url: s3://bucket/root\n  endpoint: {endpoint}\n  path_style: true\n  allow_http: true\n  credentials_dir: {}\n",
        credentials.display()
    )
}

fn assert_ended(output: &Output, code: u8, said: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(code)), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("orion: ") && last.contains(said), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_not_possible_says_why_by_its_number() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = S3Server::start(1).await.expect("a store");
    let credentials = dir.path().join("credentials");
    let keys = [("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET)];

    let incomplete = on_s3(&server.endpoint(), &credentials, &keys[..1]);
    let ended = end_of(dir.path(), &incomplete).await;
    assert_ended(&ended, exit::OBJECT_STORE_DENIED, "AWS_SECRET_ACCESS_KEY");

    let wrong = [keys[0], ("AWS_SECRET_ACCESS_KEY", "another")];
    let ended = end_of(dir.path(), &on_s3(&server.endpoint(), &credentials, &wrong)).await;
    assert_ended(&ended, exit::OBJECT_STORE_DENIED, "access denied");

    let nobody = format!("http://127.0.0.1:{}", free_port([127, 0, 0, 1].into()));
    let ended = end_of(dir.path(), &on_s3(&nobody, &credentials, &keys)).await;
    assert_ended(&ended, exit::OBJECT_STORE_UNAVAILABLE, "does not answer");

    let objects = format!(
        "object_store:\n  url: file://{}\n",
        dir.path().join("objects").display()
    );
    let first = Running::start(config(dir.path(), "")).await.expect("starts");
    first.stop().await;
    let other = tempfile::tempdir().expect("a folder");
    let ended = end_of(other.path(), &objects).await;
    assert_ended(&ended, exit::GROUP_ELSEWHERE, "was begun by node");
}

/// Kinds of what a node says, until they are these.
async fn says(node: &Running, wanted: &[TroubleKind]) {
    let name = "default".parse().expect("a name");
    let end = Instant::now() + PATIENCE;
    loop {
        let group = node.client.get_group(&name).await.expect("it answers");
        let kinds: Vec<TroubleKind> = group.troubles.iter().map(|trouble| trouble.kind).collect();
        if kinds == wanted {
            return;
        }
        assert!(Instant::now() < end, "{:?} and not {wanted:?}", group.troubles);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_that_is_away_is_said_as_long_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = S3Server::start(2).await.expect("a store");
    let settings = "materialize:\n  flush_bytes: 65536\n  age_seconds: 1\n";
    let node = Running::start(crate::outage::on_s3(dir.path(), &server, settings))
        .await
        .expect("starts");
    node.create("appdb").await;
    says(&node, &[]).await;
    server.make(Trouble {
        failed: 1000,
        ..Trouble::default()
    });
    node.run("appdb", "CREATE TABLE t (x)")
        .await
        .expect("it is durable by the log");
    says(&node, &[TroubleKind::ObjectStoreUnavailable]).await;
    server.make(Trouble::default());
    says(&node, &[]).await;
    node.stop().await;
}

/// One of several that looks for its group where another group has the name.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_group_has_in_the_object_store_is_said() {
    let (dir, other) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let start = async |dir: &Path, objects: &Path| {
        let port = free_port([127, 0, 0, 1].into());
        let cluster = format!("cluster:\n  listen: 127.0.0.1:{port}\n  peers: []\n");
        let mut config = config(dir, &cluster);
        config.object_store.url = format!("file://{}", objects.display()).parse().expect("a URL");
        Running::start(config).await.expect("starts")
    };
    let objects = dir.path().join("objects");
    let first = start(dir.path(), &objects).await;
    says(&first, &[]).await;
    first.create("appdb").await;
    let second = start(other.path(), &objects).await;
    says(&second, &[TroubleKind::GroupElsewhere]).await;
    says(&first, &[]).await;
    second.stop().await;
    first.stop().await;
}
