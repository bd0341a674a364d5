//! `az://` and `gs://` against servers: what Orion asks of a store, and a whole node on it.
//!
//! `tests/stores/run` starts the servers (Azurite, fake-gcs-server) and these tests; alone they have nothing to talk to.

use crate::race::exactly_one_wins;
use crate::running::{Running, config};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use orion::store::{Config, Credentials, Kind, Secret, Store};
use orion_api::Value;

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name}: see tests/stores/run"))
}

/// A root of its own for each test.
fn azure(root: &str) -> Config {
    let mut config = Config::new(format!("az://orion/{root}").parse().expect("a URL"));
    config.endpoint = Some(given("ORION_AZURE_ENDPOINT"));
    config.allow_http = true;
    config.credentials = Credentials::Keys {
        id: given("ORION_AZURE_ACCOUNT"),
        secret: Secret(given("ORION_AZURE_KEY")),
    };
    config
}

/// The same. Its key comes from the environment, as a service account's does.
fn google(root: &str) -> Config {
    let mut config = Config::new(format!("gs://orion/{root}").parse().expect("a URL"));
    config.endpoint = Some(given("ORION_GOOGLE_ENDPOINT"));
    config.allow_http = true;
    given("GOOGLE_SERVICE_ACCOUNT_KEY");
    config
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/stores/run"]
async fn on_azure_of_many_racing_puts_exactly_one_wins() {
    one_wins(&azure("race")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/stores/run"]
async fn on_google_of_many_racing_puts_exactly_one_wins() {
    one_wins(&google("race")).await;
}

async fn one_wins(config: &Config) {
    let store = Store::open(config).expect("opens");
    let path = Path::from("names/x/1");
    exactly_one_wins(&store, &path, 16).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/stores/run"]
async fn on_azure_conditions_ranges_and_lists_are_as_slatedb_needs_them() {
    as_slatedb_needs_it(&azure("parts")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/stores/run"]
async fn on_google_conditions_ranges_and_lists_are_as_slatedb_needs_them() {
    as_slatedb_needs_it(&google("parts")).await;
}

async fn as_slatedb_needs_it(config: &Config) {
    let store = Store::open(config).expect("opens");
    let objects = store.objects();
    let path = Path::from("db/x/1/gc/manifest.boundary");
    let first = objects.put(&path, "0123456789".into()).await.expect("put");
    let seen = || UpdateVersion {
        e_tag: first.e_tag.clone(),
        version: first.version.clone(),
    };
    let replace =
        |content: &'static str| objects.put_opts(&path, content.into(), PutMode::Update(seen()).into());
    replace("abcdefghij").await.expect("it matches");
    let stale = replace("never").await.expect_err("it was replaced");
    assert_eq!(Kind::of(&stale), Kind::Conflict, "{stale:?}");
    assert_eq!(objects.get_range(&path, 2..5).await.expect("a range"), "cde");
    for number in 0..20 {
        let path = Path::from(format!("db/x/2/{number:020}"));
        objects.put(&path, "x".into()).await.expect("put");
    }
    assert_eq!(store.list(&Path::from("db/x/2")).await.expect("listed").len(), 20);
    assert_eq!(store.list(&Path::from("db/y")).await.expect("listed").len(), 0);
    let all = store.list(&Path::from("db")).await.expect("listed");
    store.delete_all(all).await.expect("deleted");
    assert_eq!(store.get(&path).await.expect("get"), None);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/stores/run"]
async fn on_azure_a_node_finds_its_rows_after_a_restart() {
    node_finds_its_rows(&azure("node")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/stores/run"]
async fn on_google_a_node_finds_its_rows_after_a_restart() {
    node_finds_its_rows(&google("node")).await;
}

async fn node_finds_its_rows(store: &Config) {
    let dir = tempfile::tempdir().expect("a folder");
    let settings = || {
        let mut config = config(dir.path(), "materialize:\n  age_seconds: 1\n");
        config.object_store = store.clone();
        config
    };
    let node = Running::start(settings()).await.expect("starts");
    node.create("app").await;
    let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, content BLOB)";
    node.run("app", table).await.expect("the table");
    for _ in 0..3 {
        for _ in 0..20 {
            let row = "INSERT INTO t (content) VALUES (randomblob(2000))";
            node.run("app", row).await.expect("inserted");
        }
        node.materialized().await;
    }
    let rows = node
        .run("app", "SELECT id, hex(content) FROM t")
        .await
        .expect("read");
    node.stop().await;
    let node = Running::start(settings()).await.expect("starts again");
    assert_eq!(
        node.run("app", "SELECT id, hex(content) FROM t")
            .await
            .expect("read"),
        rows
    );
    let check = node.run("app", "PRAGMA integrity_check").await.expect("checked");
    assert_eq!(check, [[Value::Text("ok".into())]]);
    node.stop().await;
}
