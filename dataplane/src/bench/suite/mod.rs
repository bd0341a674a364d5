//! `orion bench suite`: the whole table of `docs/benchmarks.md`, against servers that it starts itself with fresh
//! data below a directory of choice, one after another, and stops again. Every line says what was reached and
//! what was to be reached; a line that could not be measured says why, and the others go on. Lines are told as they
//! come, on the standard error; the whole table comes at the end.

mod child;
mod cold;
mod hostile;
mod line;
mod memory;
mod nodes;
mod replicated;
mod speed;
mod start;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::load::Load;
use super::target::Target;
use super::workload::Workload;
use child::Child;
use line::Line;

/// Options of the suite.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SuiteOptions {
    /// Directory on the disk to measure; each server's data goes below it and is removed afterwards.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Seconds of each measurement.
    #[arg(long, short, default_value_t = 10.0)]
    duration: f64,
    /// Seconds before each that are not measured.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// The server's binary; this one if not given.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Program that serves S3 for reads of cold databases and says where (the example `s3-server`).
    #[arg(long)]
    s3_server: Option<PathBuf>,
    /// Parts to measure: speed, databases, cold, start, memory, nodes, idle-nodes, new-member; all if not given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
}

/// A part of the suite, with servers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Speed,
    Databases,
    Cold,
    Start,
    Memory,
    Nodes,
    IdleNodes,
    NewMember,
}

/// Measures a part.
type Measure = fn(&Suite) -> anyhow::Result<Vec<Line>>;

/// What all parts need.
struct Suite {
    options: SuiteOptions,
    duration: Duration,
    warm_up: Duration,
}

/// Runs the suite and prints a markdown table.
pub(crate) fn run(options: &SuiteOptions, out: &mut impl Write) -> anyhow::Result<()> {
    let suite = Suite {
        options: options.clone(),
        duration: Duration::try_from_secs_f64(options.duration)?,
        warm_up: Duration::try_from_secs_f64(options.warm_up)?,
    };
    let disk = super::disk::measure(&options.dir, Duration::from_secs(2))?;
    writeln!(
        out,
        "Disk: 4 KiB append + fdatasync p50 {:.3} ms, p99 {:.3} ms. {} s each, after {} s of warm-up.\n",
        disk.p50_ms, disk.p99_ms, options.duration, options.warm_up
    )?;
    let parts: [(Part, Measure); 8] = [
        (Part::Speed, speed::one_database),
        (Part::Databases, speed::many_databases),
        (Part::Cold, cold::measure),
        (Part::Start, start::measure),
        (Part::Memory, memory::measure),
        (Part::Nodes, replicated::measure),
        (Part::IdleNodes, replicated::idle),
        (Part::NewMember, replicated::new_member),
    ];
    let mut table = Vec::new();
    for (part, measure) in parts {
        if !options.only.is_empty() && !options.only.contains(&part) {
            continue;
        }
        let lines = measure(&suite).unwrap_or_else(|error| vec![Line::failed(&format!("{part:?}"), &error)]);
        for line in &lines {
            eprintln!("{line}");
        }
        table.extend(lines);
    }
    line::write_table(&table, out)?;
    out.flush()?;
    Ok(())
}

impl Suite {
    /// A server with fresh data.
    fn server(&self) -> anyhow::Result<Child> {
        self.server_with("", &[])
    }

    /// One with a configuration and an environment.
    fn server_with(&self, config: &str, environment: &[(&'static str, String)]) -> anyhow::Result<Child> {
        Child::start(
            &self.options.dir,
            self.options.binary.as_deref(),
            config,
            environment,
        )
    }

    fn load(&self, target: &Target, workload: Workload, connections: usize) -> Load {
        Load {
            target: target.clone(),
            workload,
            connections,
            threads: 1,
            warm_up: self.warm_up,
            duration: self.duration,
            rate: None,
        }
    }
}
