//! The command line of `orion`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Many SQLite databases as one replicated service.
#[derive(Debug, Parser)]
#[command(name = "orion", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Measure a server.
    Bench(crate::bench::Options),
}

/// Runs the command line: 0, or 1 after an error was printed (2 for a line that clap refuses).
pub fn main() -> ExitCode {
    let line = Line::parse();
    let mut out = std::io::stdout().lock();
    let result = match &line.command {
        Command::Bench(options) => crate::bench::run(options, &mut out),
    };
    let result = result.and_then(|()| Ok(out.flush()?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "orion: {error:#}");
            ExitCode::FAILURE
        }
    }
}
