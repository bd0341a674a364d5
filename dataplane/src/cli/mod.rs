//! The command line of `orion`: the server's entry, and tools that speak to a server over HTTP as any client
//! does. Results go to standard output, everything else to standard error; the exit code is 0 only if all
//! worked, 1 after an error, 2 for a line that cannot be understood.

mod db;
mod hint;
mod init_config;
mod output;
mod recover;
mod remote;
mod server;
mod shell;
mod token;

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
    /// Run a server.
    Server(server::Options),
    /// Open a SQL shell.
    #[command(visible_alias = "shell")]
    Cli(shell::Options),
    /// Manage databases, and look at groups and nodes.
    Db(db::Options),
    /// Print a commented configuration that says what the defaults are.
    InitConfig(init_config::Options),
    /// Bring a group back that lost all its disks, from the object store.
    Recover(recover::Options),
    /// Make keys, and tokens that they sign.
    Token(token::Options),
    /// Measure a server.
    Bench(crate::bench::Options),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let line = Line::parse();
    let mut out = std::io::stdout();
    let result = match line.command {
        Command::Server(options) => server::run(options),
        Command::Cli(options) => shell::run(&options, &mut out),
        Command::Db(options) => db::run(&options, &mut out),
        Command::InitConfig(options) => init_config::run(&options, &mut out),
        Command::Recover(options) => recover::run(options, &mut out),
        Command::Token(options) => token::run(&options, &mut out),
        Command::Bench(options) => crate::bench::run(&options, &mut out),
    };
    match result.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails too.
            let _ = writeln!(std::io::stderr(), "orion: {error:#}{}", hint::of(&error));
            let of_server = error.downcast_ref::<crate::server::Error>();
            of_server.map_or(ExitCode::FAILURE, |error| ExitCode::from(error.exit_code()))
        }
    }
}

/// `orion … | head` ends early on purpose.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}
