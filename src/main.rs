//! Parses the command line, runs the command, prints an error once, and says by its exit code how it went.

use std::process::ExitCode;

use deploy::cli::Cli;
use deploy::exit::Exit;
use deploy::{commands, ui};

fn main() -> ExitCode {
    ui::heed_no_color();
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            // Not clap's own 2: that says that changes are pending.
            let exit = if error.use_stderr() { Exit::Error } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::new)
        .and_then(|runtime| runtime.block_on(commands::run(cli)));
    let exit = ended.unwrap_or_else(|error| {
        ui::failed(&error);
        Exit::of(&error).into()
    });
    match ui::lost() {
        // Neither may a pipeline go on that was to get a plan.
        Some(error) if [Exit::Done, Exit::Pending].map(ExitCode::from).contains(&exit) => {
            ui::failed(&anyhow::anyhow!("cannot write to standard output: {error}"));
            Exit::Error.into()
        }
        _ => exit,
    }
}
