//! What the nodes of a group stand on: disks, object store, clocks, certificates.

use crate::disks::Disk;
use crate::s3::{BUCKET, KEY_ID, S3Server, SECRET};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a group is put on. The default is a folder for each node's data and one for all objects.
#[derive(Default)]
pub struct Ground {
    /// An S3 server in the tests' process in place of the folder of objects.
    pub s3: Option<S3Server>,
    /// MiB of a file system of its own for each node's data.
    pub disk_mib: Option<u32>,
    /// Nothing is between the nodes: who is not there refuses connections.
    pub without_links: bool,
    /// Lines of each node's configuration below `cluster`, by its number.
    pub cluster: Vec<String>,
    /// Lines of every node's configuration.
    pub more: String,
}

impl Ground {
    /// The section of the configuration that says where objects lie.
    pub fn object_store(&self, dir: &Path) -> String {
        match &self.s3 {
            None => format!("  url: file://{}\n", dir.join("objects").display()),
            Some(server) => format!(
                "  url: s3://{BUCKET}/root\n  endpoint: {}\n  path_style: true\n  allow_http: true\n",
                server.endpoint()
            ),
        }
    }
}

/// What belongs to one node and outlives its process.
pub struct Place {
    disk: Option<Disk>,
    clocks: PathBuf,
    slept_ms: u64,
}

impl Place {
    /// For the node whose data is in `data`.
    pub fn new(ground: &Ground, data: &Path) -> Place {
        let place = Place {
            disk: ground.disk_mib.map(|mib| Disk::new(data, mib)),
            clocks: data.with_extension("clocks"),
            slept_ms: 0,
        };
        place.write_clocks(0);
        place
    }

    /// The program as a process on this ground.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = match &self.disk {
            Some(disk) => disk.command(program),
            None => Command::new(program),
        };
        command
            .env("ORION_CLOCKS", &self.clocks)
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
    }

    /// Not a byte fits on the disk any more. False if it has none of its own.
    pub fn fill(&self) -> bool {
        self.disk.as_ref().map(Disk::fill).is_some()
    }

    /// There is room again.
    pub fn empty(&self) {
        if let Some(disk) = &self.disk {
            disk.empty();
        }
    }

    /// The machine slept so much longer, and its wall clock is `wall_ms` off the right time.
    pub fn set_clocks(&mut self, slept_ms: u64, wall_ms: i64) {
        self.slept_ms += slept_ms;
        self.write_clocks(wall_ms);
    }

    /// By a rename: the process never reads half of it.
    fn write_clocks(&self, wall_ms: i64) {
        let anew = self.clocks.with_extension("anew");
        std::fs::write(&anew, format!("{} {wall_ms}\n", self.slept_ms)).expect("written");
        std::fs::rename(&anew, &self.clocks).expect("renamed");
    }
}
