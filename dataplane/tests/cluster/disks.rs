//! A small disk for each node, which outlives the node's process: a file system in memory that only it and the test see.
//!
//! A keeper holds the mount in a namespace of its own, and ends when the test does, however that ends; nothing is left behind.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// One disk.
pub struct Disk {
    keeper: Child,
    /// Where it is mounted, for the node.
    at: PathBuf,
}

impl Disk {
    /// An empty one of `mib` MiB at `at`. Without the rights to mount it is made in a user namespace, where every user has them.
    pub fn new(at: &Path, mib: u32) -> Disk {
        std::fs::create_dir_all(at).expect("a folder");
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        // `cat` ends when the test's end of the pipe is closed.
        let script = "mount -t tmpfs -o size=$1m tmpfs \"$2\" && echo mounted && exec cat";
        command.args(["sh", "-c", script, "sh", &mib.to_string()]).arg(at);
        let mut keeper = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut said = String::new();
        let output = keeper.stdout.as_mut().expect("piped");
        BufReader::new(output).read_line(&mut said).expect("a line");
        assert_eq!(said, "mounted\n", "a file system of {mib} MiB");
        Disk {
            keeper,
            at: at.to_owned(),
        }
    }

    /// Runs `program` where the disk is there. The process is the program's.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        let keeper = self.keeper.id();
        if !is_root() {
            command.arg(format!("--user=/proc/{keeper}/ns/user"));
            command.arg("--preserve-credentials");
        }
        command.arg(format!("--mount=/proc/{keeper}/ns/mnt"));
        // Without it the program would be at home in the namespace's root.
        command.arg("--wd=/").arg("--").arg(program);
        command
    }

    /// Writes until not a byte fits any more.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).expect("created");
        for size in [1 << 20, 4096, 1] {
            let part = vec![1; size];
            loop {
                match file.write(&part) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Takes back what [`Disk::fill`] wrote.
    pub fn empty(&self) {
        match std::fs::remove_file(self.filler()) {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }

    fn filler(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(self.at.strip_prefix("/").expect("an absolute path"))
            .join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Dead already is as good.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
