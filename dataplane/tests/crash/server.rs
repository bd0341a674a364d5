//! A server process on a directory, with settings under which everything happens often.

use crate::port::free_port;
use orion_api::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a start may take, replay included; and any other thing that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How one process is started.
#[derive(Clone, Copy, Debug)]
pub struct Life<'a> {
    /// Its data directory, below the test's; objects are shared by all lives of a test.
    pub data: &'a str,
    /// `<failpoint>:<n>` at which it dies.
    pub die_at: Option<&'a str>,
    /// `<failpoint>:<n>` at which it stops until it is woken.
    pub stop_at: Option<&'a str>,
    /// `<failpoint>:<ms>`: so much longer each time.
    pub slow_at: Option<&'a str>,
    /// MiB of a file system of its own for the data directory, which only it sees, and ends with it.
    pub disk_mib: Option<u32>,
}

impl Default for Life<'_> {
    fn default() -> Self {
        Life {
            data: "data",
            die_at: None,
            stop_at: None,
            slow_at: None,
            disk_mib: None,
        }
    }
}

pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Starts the server and waits until it is ready. `die_at` orders its death.
    pub async fn start(dir: &Path, die_at: Option<&str>) -> Server {
        Server::live(
            dir,
            Life {
                die_at,
                ..Life::default()
            },
        )
        .await
    }

    /// Starts the server and waits until it is ready.
    pub async fn live(dir: &Path, life: Life<'_>) -> Server {
        let port = free_port([127, 0, 0, 1].into());
        let config = dir.join(format!("{}.yaml", life.data));
        let text = format!(
            "data_dir: {data}\nlisten: 127.0.0.1:{port}\nobject_store:\n  url: file://{objects}\nmaterialize:\n  flush_bytes: 65536\n  age_seconds: 1\n  snapshot_log_bytes: 65536\nlog:\n  filter: warn\n",
            data = dir.join(life.data).display(),
            objects = dir.join("objects").display(),
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let mut command = match life.disk_mib {
            None => Command::new(binary()),
            Some(mib) => on_a_small_disk(&dir.join(life.data), mib),
        };
        command
            .arg("server")
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::null());
        if let Some(order) = life.die_at {
            command.env("ORION_DIE_AT", order);
        }
        if let Some(order) = life.stop_at {
            command.env("ORION_STOP_AT", order);
        }
        if let Some(order) = life.slow_at {
            command.env("ORION_SLOW_AT", order);
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
        let deadline = Instant::now() + PATIENCE;
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

    /// Waits until it has stopped where it was told to.
    pub async fn wait_until_stopped(&self) {
        self.wait_for_state("it stops where it was told to", 'T').await;
    }

    /// Waits for the death that was ordered. Its parent, this process, has not looked at it yet: a zombie.
    pub async fn wait_until_ended(&self) {
        self.wait_for_state("it dies where it was told to", 'Z').await;
    }

    async fn wait_for_state(&self, what: &str, state: char) {
        let path = format!("/proc/{}/stat", self.child.id());
        let deadline = Instant::now() + PATIENCE;
        // "pid (name) state …"
        while !std::fs::read_to_string(&path)
            .expect("its state")
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(state))
        {
            assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A path as the process sees it.
    pub fn path(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        root.join(path.strip_prefix("/").expect("an absolute path"))
    }

    /// SIGSTOP.
    pub async fn stop(&self) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process id");
        kill_process(pid, Signal::STOP).expect("it is there");
        self.wait_until_stopped().await;
    }

    /// SIGCONT.
    pub fn wake(&self) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process id");
        kill_process(pid, Signal::CONT).expect("it is there");
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

/// The server on a file system of `mib` MiB at `dir`, in a mount namespace of its own: nothing is left behind
/// when it ends. Without the rights to mount, in a user namespace, where every user has them.
fn on_a_small_disk(dir: &Path, mib: u32) -> Command {
    std::fs::create_dir_all(dir).expect("a folder");
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::getuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args([
            "sh",
            "-c",
            "mount -t tmpfs -o size=$1m tmpfs \"$2\" && shift 2 && exec \"$@\"",
            "sh",
        ])
        .arg(mib.to_string())
        .arg(dir)
        .arg(binary());
    command
}

/// `ORION_CRASH_BIN` names another one, for long runs beside a tree that is being built.
fn binary() -> PathBuf {
    let other = std::env::var_os("ORION_CRASH_BIN").map(PathBuf::from);
    other.unwrap_or_else(|| env!("CARGO_BIN_EXE_orion").into())
}
