//! The binary `orion`: a server, and the tools that talk to one.

use std::process::ExitCode;

// Many threads allocate and free pages and replies; glibc's allocator keeps too much of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    orion::cli::main()
}
