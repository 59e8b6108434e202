//! Parses the command line, runs the command, prints an error once, and says by its exit code how it went.

use std::process::ExitCode;

use clap::Parser;
use deploy::{cli::Cli, commands, ui};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ui::failed(&anyhow::Error::new(error)),
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(code) => code,
        Err(error) => ui::failed(&error),
    }
}
