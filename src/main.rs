//! The `liqsql` program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    liqsql::cli::run(std::env::args_os())
}
