//! A server in this process, and a client of it.

use orion::config::Config;
use orion::server::{Error, Server};
use orion_api::admin::CreateDatabase;
use orion_api::client::{self, Client, SqlOptions};
use orion_api::hrana::Statement;
use orion_api::{Value, admin};
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long anything may take before the test says that it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub type Rows = Vec<Vec<Value>>;

pub struct Running {
    server: Server,
    pub client: Client,
}

/// Settings for a folder, with more lines of YAML.
pub fn config(dir: &Path, more: &str) -> Config {
    let text = format!(
        "data_dir: {data}\nlisten: 127.0.0.1:0\ndefault_database: \"\"\nobject_store:\n  url: file://{objects}\n{more}",
        data = dir.join("data").display(),
        objects = dir.join("objects").display(),
    );
    Config::parse(&text).expect("a configuration")
}

impl Running {
    pub async fn start(config: Config) -> Result<Running, Error> {
        let started = Server::start(config, CancellationToken::new());
        let server = tokio::time::timeout(PATIENCE, started)
            .await
            .expect("the start ends, well or with an error")?;
        let client = Client::new(&format!("http://{}", server.address()), None).expect("a client");
        Ok(Running { server, client })
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }

    pub async fn create(&self, name: &str) -> admin::Database {
        let wish = CreateDatabase::named(name.parse().expect("a name"));
        self.client.create_database(&wish).await.expect("created")
    }

    /// One statement in a transaction of its own.
    pub async fn run(&self, database: &str, sql: &str) -> Result<Rows, client::Error> {
        let client = self.client.with_database(database);
        let options = SqlOptions::default();
        let run = client.execute(Statement::new(sql), &options);
        let result = tokio::time::timeout(PATIENCE, run).await.expect("it answers");
        result.map(|result| result.rows)
    }

    pub async fn overlay_bytes(&self) -> u64 {
        self.client
            .metrics()
            .await
            .expect("the node's numbers")
            .storage
            .overlay_bytes
    }

    /// Puts into the object store so far.
    pub async fn puts(&self) -> u64 {
        let metrics = self.client.metrics().await.expect("the node's numbers");
        metrics.blob.requests_total.get("put").copied().unwrap_or(0)
    }

    /// Waits until everything is in the object store.
    pub async fn materialized(&self) {
        let wait = async {
            while self.overlay_bytes().await > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("it is materialized");
    }
}
