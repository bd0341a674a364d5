//! The binary `orion`: a server, and the tools that talk to one.

use std::process::ExitCode;

fn main() -> ExitCode {
    orion::cli::main()
}
