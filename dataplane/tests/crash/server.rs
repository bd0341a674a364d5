//! A server process on a directory, with settings under which everything happens often.

use orion_api::client::Client;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a start may take, replay included.
const START: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Starts the server and waits until it is ready. `die_at` orders its death.
    pub async fn start(dir: &Path, die_at: Option<&str>) -> Server {
        let port = free_port();
        let config = dir.join("config.yaml");
        let text = format!(
            "data_dir: {data}\nlisten: 127.0.0.1:{port}\nmaterialize:\n  flush_bytes: 65536\n  age_seconds: 1\n  snapshot_log_bytes: 65536\nlog:\n  filter: warn\n",
            data = dir.join("data").display(),
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_orion"));
        command
            .arg("server")
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::null());
        if let Some(order) = die_at {
            command.env("ORION_DIE_AT", order);
        }
        let child = command.spawn().expect("the server starts");
        let mut server = Server {
            child,
            url: format!("http://127.0.0.1:{port}"),
        };
        server.wait_until_ready().await;
        server
    }

    async fn wait_until_ready(&mut self) {
        let client = Client::new(&self.url, None).expect("a client");
        let deadline = Instant::now() + START;
        while client.text("/readyz").await.is_err() {
            assert!(Instant::now() < deadline, "the server did not get ready");
            if let Some(status) = self.child.try_wait().expect("its state") {
                // Ordered to die before it is ready: the caller's writers notice.
                println!("ended while starting: {status}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// True once the process has ended.
    pub fn is_dead(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    /// kill -9, and waits for its end.
    pub fn kill(&mut self) {
        // Dead already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}
