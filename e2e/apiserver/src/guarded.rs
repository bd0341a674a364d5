//! A process that never outlives the test binary: a shell holds a pipe from it and kills the process when the pipe
//! closes, which it does however the binary ends.

use anyhow::{Context, Result};
use std::fs::File;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Kills the process when dropped.
pub(crate) struct Guarded {
    guard: Child,
    /// Closed to say that it is over.
    pipe: Option<ChildStdin>,
}

const GUARD: &str = r#""$@" </dev/null & process=$!; cat >/dev/null; kill -9 $process; wait $process 2>/dev/null
[ -z "$REMOVE" ] || rm -rf "$REMOVE""#;

impl Guarded {
    /// Starts a program; what it says goes to `log`. A folder is removed when it has ended.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        log: &Path,
        remove: Option<&Path>,
    ) -> Result<Guarded> {
        let file = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(program)
            .args(arguments)
            .env("REMOVE", remove.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot start sh")?;
        let pipe = guard.stdin.take();
        Ok(Guarded { guard, pipe })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Nothing is left to do where it is gone already.
        let _ = self.guard.wait();
    }
}
