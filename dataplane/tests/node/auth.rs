//! What a server with tokens shows without one.

use super::running::{Running, config};
use orion_api::Kind;

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
