//! Dot commands: the shell's own, never sent as SQL.

use super::render::Mode;

/// What `.help` prints.
pub(super) const HELP: &str = "\
.create NAME         create a database
.databases           list databases
.dump                print the database as SQL
.help                this
.metrics             numbers of the node
.mode [MODE]         table, list, line, csv or json
.quit                leave (also .exit, Ctrl-D)
.schema [TABLE]      print CREATE statements
.system [VIEW]       groups and nodes, or a view of the _orion database
.tables              list tables and views
.timer on|off        print how long statements take
.use NAME            go to another database (also .database)
SQL ends with ;      a line may hold several statements
";

/// A dot command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dot {
    Create(String),
    Databases,
    Dump,
    Help,
    Metrics,
    Mode(Option<Mode>),
    Quit,
    Schema(Option<String>),
    System(Option<String>),
    Tables,
    Timer(bool),
    Use(String),
}

/// Reads a line that begins with a dot.
pub(super) fn parse(line: &str) -> Result<Dot, String> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let argument = words.next().map(|word| word.trim_end_matches(';').to_owned());
    if let Some(extra) = words.next() {
        return Err(format!("{name} does not take {extra:?} too"));
    }
    let needed = |what: &str| argument.clone().ok_or_else(|| format!("{name} needs {what}"));
    let dot = match name.trim_end_matches(';') {
        ".create" => Dot::Create(needed("a name")?),
        ".databases" => Dot::Databases,
        ".dump" => Dot::Dump,
        ".help" => Dot::Help,
        ".metrics" => Dot::Metrics,
        ".mode" => Dot::Mode(argument.as_deref().map(mode).transpose()?),
        ".quit" | ".exit" => Dot::Quit,
        ".schema" => Dot::Schema(argument.clone()),
        ".system" => Dot::System(argument.clone()),
        ".tables" => Dot::Tables,
        ".timer" => match needed("on or off")?.as_str() {
            "on" => Dot::Timer(true),
            "off" => Dot::Timer(false),
            other => return Err(format!(".timer needs on or off, not {other:?}")),
        },
        ".use" | ".database" => Dot::Use(needed("a database")?),
        other => return Err(format!("there is no {other:?}; .help lists what there is")),
    };
    let takes_none = matches!(
        dot,
        Dot::Databases | Dot::Dump | Dot::Help | Dot::Metrics | Dot::Quit | Dot::Tables
    );
    match argument {
        Some(extra) if takes_none => Err(format!("{name} does not take {extra:?}")),
        _ => Ok(dot),
    }
}

fn mode(name: &str) -> Result<Mode, String> {
    clap::ValueEnum::from_str(name, false)
        .map_err(|_| format!("{name:?} is not table, list, line, csv or json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_or_explained() {
        assert_eq!(parse(".use  app"), Ok(Dot::Use("app".into())));
        assert_eq!(parse(".schema"), Ok(Dot::Schema(None)));
        assert_eq!(parse(".mode csv"), Ok(Dot::Mode(Some(Mode::Csv))));
        assert_eq!(parse(".exit;"), Ok(Dot::Quit));
        for (line, word) in [
            (".use", "needs"),
            (".tabels", ".help"),
            (".timer maybe", "maybe"),
            (".tables x", "x"),
            (".use a b", "b"),
            (".mode x", "csv"),
        ] {
            assert!(parse(line).expect_err(line).contains(word), "{line}");
        }
    }

    #[test]
    fn help_names_every_command() {
        for name in [
            "create",
            "databases",
            "dump",
            "metrics",
            "mode",
            "quit",
            "schema",
            "system",
            "tables",
            "timer",
            "use",
        ] {
            assert!(
                HELP.contains(&format!("\n.{name} ")) || HELP.starts_with(&format!(".{name} ")),
                "{name}"
            );
        }
    }
}
