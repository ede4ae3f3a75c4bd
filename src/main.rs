//! Parse, run, print the error chain.

use std::process::ExitCode;

use clap::Parser as _;

/// The system's allocator keeps what each thread has freed for that thread alone.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Two providers are compiled in, and the client of Event Hubs panics unless one is chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = agentrail::cli::Cli::parse();
    match agentrail::app::run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(1)
        }
    }
}
