//! `orion cli`: SQL from a terminal, with history, or from standard input. In a terminal an error is shown and
//! the next line is read; from a script the first error ends it with exit code 1, because what follows was
//! written for what came before.

mod dot;
mod render;
mod session;
mod splitter;
#[cfg(test)]
mod tests;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::hint;
use super::remote::{self, Remote};
use render::Mode;
use session::{Flow, Session};

/// Options of `orion cli`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The server and, as its path, the database [env: ORION_URL, LIBSQL_URL] [default: http://127.0.0.1:8091].
    url: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// Run this SQL and leave.
    #[arg(long, short)]
    execute: Option<String>,
    /// How results look.
    #[arg(long, short, value_enum, default_value_t)]
    mode: Mode,
}

/// Reads to the end.
pub(super) fn run(options: &Options, out: &mut impl Write) -> anyhow::Result<()> {
    let client = options.remote.client(options.url.as_deref())?;
    let runtime = remote::runtime()?;
    let mut session = Session::new(client, options.mode);
    let stdin = std::io::stdin();
    match &options.execute {
        Some(sql) => runtime.block_on(script(&mut session, sql.as_bytes(), out)),
        None if stdin.is_terminal() => converse(&mut session, &runtime, out),
        None => runtime.block_on(script(&mut session, stdin.lock(), out)),
    }
}

async fn script(session: &mut Session, input: impl BufRead, out: &mut impl Write) -> anyhow::Result<()> {
    for line in input.lines() {
        if session.line(&line?, out).await? == Flow::Quit {
            break;
        }
    }
    session.end(out).await
}

fn converse(
    session: &mut Session,
    runtime: &tokio::runtime::Runtime,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut editor = DefaultEditor::new()?;
    let history = history_path();
    if let Some(path) = &history {
        let _ = editor.load_history(path); // there is none at the first start
    }
    writeln!(
        out,
        "orion {}: .help for help, SQL ends with ;",
        env!("CARGO_PKG_VERSION")
    )?;
    loop {
        let line = match editor.readline(session.prompt().as_str()) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                session.discard_pending();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        if !line.trim().is_empty() {
            editor.add_history_entry(line.as_str())?;
        }
        match runtime.block_on(session.line(&line, out)) {
            Ok(Flow::GoOn) => {}
            Ok(Flow::Quit) => break,
            Err(error) => writeln!(out, "error: {error:#}{}", hint::of(&error))?,
        }
        out.flush()?;
    }
    if let Some(path) = &history {
        let _ = editor.save_history(path); // losing history is no failure of the shell
    }
    session.discard_pending();
    runtime.block_on(session.end(out))
}

/// `ORION_HISTORY`, else `.orion_history` at home.
fn history_path() -> Option<PathBuf> {
    let named = std::env::var_os("ORION_HISTORY").map(PathBuf::from);
    named.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".orion_history")))
}
