//! `orion init-config`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use crate::config::template;

/// Options of `orion init-config`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// File to write; without one it is printed.
    path: Option<PathBuf>,
    /// The same.
    #[arg(long, short, conflicts_with = "path")]
    output: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long, short)]
    force: bool,
}

/// Prints or writes the template.
pub(super) fn run(options: &Options, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(path) = options.path.as_ref().or(options.output.as_ref()) else {
        out.write_all(template().as_bytes())?;
        return Ok(());
    };
    let mut open = OpenOptions::new();
    match options.force {
        true => open.write(true).create(true).truncate(true),
        false => open.write(true).create_new(true),
    };
    let mut file = open
        .open(path)
        .with_context(|| format!("cannot write {path:?} (-f replaces a file)"))?;
    file.write_all(template().as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_by_force() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = Options {
            path: Some(directory.path().join("orion.yaml")),
            output: None,
            force: false,
        };
        run(&options, &mut Vec::new()).expect("new");
        assert!(run(&options, &mut Vec::new()).is_err());
        options.force = true;
        run(&options, &mut Vec::new()).expect("replaced");
        let mut printed = Vec::new();
        options.path = None;
        run(&options, &mut printed).expect("printed");
        assert_eq!(
            printed,
            std::fs::read(directory.path().join("orion.yaml")).expect("there")
        );
    }
}
