//! A server process of the suite: started with fresh data, stopped by its own process id, its data removed.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::bench::connection::Connection;
use crate::bench::runtime;
use crate::bench::session::Session;
use crate::bench::target::Target;

/// Longer than any server takes to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The configuration, beside the data directory.
const CONFIG: &str = "config.yaml";
/// Between two looks at a metric.
const METRIC_PAUSE: Duration = Duration::from_millis(100);
/// Ticks a second in /proc.
const USER_HZ: u64 = 100;
/// Between attempts to reach a server that starts; part of the error of the measured time.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(1);

/// A running server.
pub(super) struct Child {
    process: std::process::Child,
    binary: PathBuf,
    directory: tempfile::TempDir,
    address: String,
    environment: Vec<(&'static str, String)>,
    pub(super) target: Target,
    /// From the process's start to its first acknowledged write.
    pub(super) first_write: Duration,
}

impl Child {
    /// Starts `binary`, or this one, with a fresh data directory below `parent`, and writes a row. `config` is the text
    /// of a configuration; empty means the defaults.
    pub(super) fn start(
        parent: &Path,
        binary: Option<&Path>,
        config: &str,
        environment: &[(&'static str, String)],
    ) -> anyhow::Result<Child> {
        let binary = match binary {
            Some(binary) => binary.to_owned(),
            None => std::env::current_exe()?,
        };
        let directory = tempfile::Builder::new()
            .prefix("orion-bench-")
            .tempdir_in(parent)
            .with_context(|| format!("cannot make a directory in {parent:?}"))?;
        let address = free_address()?;
        let target = Target::new(&format!("http://{address}"), None)?;
        std::fs::write(directory.path().join(CONFIG), config)?;
        let start = Instant::now();
        let process = spawn(&binary, directory.path(), &address, environment)?;
        let mut child = Child {
            process,
            binary,
            directory,
            address,
            environment: environment.to_vec(),
            target,
            first_write: Duration::ZERO,
        };
        child.first_write = child.wait_for_write(start)?;
        Ok(child)
    }

    /// Another configuration, from the next start on.
    pub(super) fn configure(&self, config: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.directory.path().join(CONFIG), config)?)
    }

    /// kill -9, then a new process on the same data.
    pub(super) fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.restart()
    }

    /// kill -9.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// A new process on the same data, after [`Child::kill`].
    pub(super) fn restart(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        self.process = spawn(
            &self.binary,
            self.directory.path(),
            &self.address,
            &self.environment,
        )?;
        self.first_write = self.wait_for_write(start)?;
        Ok(())
    }

    fn wait_for_write(&mut self, start: Instant) -> anyhow::Result<Duration> {
        let runtime = runtime()?;
        let mut last = anyhow::anyhow!("it was not asked");
        while start.elapsed() < START_TIMEOUT {
            if let Some(status) = self.process.try_wait()? {
                bail!("the server ended at its start ({status}): {}", self.last_words());
            }
            match runtime.block_on(write_once(&self.target)) {
                Ok(()) => return Ok(start.elapsed()),
                Err(error) => last = error,
            }
            std::thread::sleep(ATTEMPT_PAUSE);
        }
        Err(last.context(format!("no write in {} s", START_TIMEOUT.as_secs())))
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default();
        text.lines().last().unwrap_or("it said nothing").to_owned()
    }

    /// Resident memory now, in bytes.
    pub(super) fn memory(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// CPU time since its start.
    pub(super) fn cpu_time(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // Behind the name, which may hold anything: fields 14 and 15 of proc_pid_stat(5).
        let (_, fields) = stat.rsplit_once(')').context("it has no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 1000 / USER_HZ))
    }

    /// Sum of a metric over its labels.
    pub(super) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.metrics()?;
        sum_of(&text, name).with_context(|| format!("/metrics has no {name}"))
    }

    fn metrics(&self) -> anyhow::Result<String> {
        let runtime = runtime()?;
        let mut request = Vec::new();
        self.target.head("GET", "/metrics").render(&mut request, |_| {});
        let mut connection = Connection::new(&self.target.address);
        let status = runtime.block_on(connection.request(&request))?;
        if status.code != 200 {
            bail!("/metrics answers {}", status.code);
        }
        Ok(String::from_utf8_lossy(connection.body()).into_owned())
    }
}

impl Child {
    /// Waits until a metric is as wanted.
    pub(super) fn until_metric(
        &self,
        name: &str,
        patience: Duration,
        is_wanted: impl Fn(f64) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let value = self.metric(name)?;
            if is_wanted(value) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{name} is {value} after {} s", patience.as_secs());
            }
            std::thread::sleep(METRIC_PAUSE);
        }
    }

    /// Requests to the object store so far. Labels that nothing was counted under are not shown.
    pub(super) fn object_store_requests(&self) -> anyhow::Result<f64> {
        Ok(sum_of(&self.metrics()?, "orion_object_store_requests_total").unwrap_or(0.0))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(
    binary: &Path,
    directory: &Path,
    address: &str,
    environment: &[(&'static str, String)],
) -> anyhow::Result<std::process::Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join("server.log"))?;
    Command::new(binary)
        .args(["server", "--listen", address, "--data-dir"])
        .arg(directory.join("data"))
        .arg("--config")
        .arg(directory.join(CONFIG))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {binary:?}"))
}

async fn write_once(target: &Target) -> anyhow::Result<()> {
    let mut session = Session::new(target);
    session
        .execute(None, "CREATE TABLE IF NOT EXISTS bench_start (at TEXT)")
        .await?;
    session
        .execute(None, "INSERT INTO bench_start VALUES (datetime())")
        .await?;
    Ok(())
}

fn sum_of(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_whole = rest.starts_with([' ', '{']);
        is_whole
            .then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())
            .flatten()
    });
    values.reduce(|sum, value| sum + value)
}

/// An address that is free, and stays so unless somebody else takes it in between.
pub(super) fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_labels() {
        let text =
            "# TYPE a_total counter\na_total{x=\"1 2\"} 3\na_total{x=\"2\"} 4.5\na_total_more 9\nb 1\n";
        assert_eq!(sum_of(text, "a_total"), Some(7.5));
        assert_eq!(sum_of(text, "b"), Some(1.0));
        assert_eq!(sum_of(text, "c"), None);
    }

    #[test]
    fn a_server_that_ends_at_its_start_is_reported_with_its_last_words() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = Child::start(directory.path(), Some(Path::new("/bin/false")), "", &[])
            .err()
            .map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.contains("ended at its start")));
        assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 0);
    }
}
