//! Parse, run, print the error chain.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = agentrail::cli::Cli::parse();
    match agentrail::app::run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(1)
        }
    }
}
