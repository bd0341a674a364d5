//! What a server with tokens shows without one, and tokens that change while it runs.

use super::running::{PATIENCE, Running, config};
use crate::port::free_port;
use orion::config::{Config, Overrides};
use orion_api::Kind;
use orion_api::admin::ListDatabases;
use orion_api::client::Client;
use std::path::Path;
use std::time::{Duration, Instant};

async fn metrics_without_a_token(more: &str) -> Result<String, Kind> {
    let dir = tempfile::tempdir().expect("a folder");
    let auth = format!("auth:\n  tokens: [{{token: 0123456789abcdef, admin: true}}]\n{more}");
    let running = Running::start(config(dir.path(), &auth)).await.expect("starts");
    for path in ["/livez", "/readyz", "/version"] {
        running.client.text(path).await.expect(path);
    }
    let metrics = running.client.text("/metrics").await;
    running.stop().await;
    metrics.map_err(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_public_unless_the_configuration_says_no() {
    let shown = metrics_without_a_token("").await.expect("public");
    assert!(shown.contains("orion_http_connections"), "{shown}");
    let hidden = metrics_without_a_token("  metrics_public: false\n").await;
    assert_eq!(hidden, Err(Kind::Unauthenticated));
}

async fn is_accepted(url: &str, token: &str) -> bool {
    let client = Client::new(url, Some(token)).expect("a client");
    client.list_databases(&ListDatabases::default()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_change_without_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, port) = (dir.path().join("orion.yaml"), free_port([127, 0, 0, 1].into()));
    let write = |auth: &str| {
        let data = dir.path().join("data");
        let text = format!("data_dir: {}\nlisten: 127.0.0.1:{port}\n{auth}", data.display());
        // As whoever changes files under a running server does.
        std::fs::write(path.with_extension("new"), text).expect("written");
        std::fs::rename(path.with_extension("new"), &path).expect("renamed");
    };
    let of = |token: &str| format!("auth:\n  tokens: [{{token: {token}, admin: true}}]\n");
    write(&of("the-older-one-of-two"));
    let file = path.clone();
    let load = move || Config::load(Some(Path::new(&file)), Overrides::default());
    let server = tokio::spawn(orion::server::run(load().expect("valid"), load));
    let url = format!("http://127.0.0.1:{port}");
    let until = Instant::now() + PATIENCE;
    let wait_for = async |token: &str| {
        while !is_accepted(&url, token).await {
            assert!(Instant::now() < until, "{token} is not accepted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait_for("the-older-one-of-two").await;
    assert!(!is_accepted(&url, "the-newer-one-of-two").await);
    // Neither a mistake nor the end of all tokens is taken; what is good next is.
    write("auth:\n  tokens: [");
    write("");
    write(&of("the-newer-one-of-two"));
    wait_for("the-newer-one-of-two").await;
    assert!(!is_accepted(&url, "the-older-one-of-two").await);
    server.abort();
}
