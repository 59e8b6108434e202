//! The only door to the terminal. Standard output is data, standard error is talk.

mod applications;
mod certs;
mod checks;
mod hint;
mod history;
mod log;
mod markdown;
mod plan;
mod progress;
mod secrets;
mod status;
mod table;
mod waiting;

pub use applications::applications;
pub use certs::certs;
pub use checks::checks;
pub use hint::{Hint, words};
pub use history::{run, runs};
pub use log::log_into;
pub use markdown::markdown;
pub use plan::{changes, plan, plan_json};
pub use progress::Progress;
pub use secrets::{Origin, RecipientRow, SecretRow, recipients, secrets};
pub use status::status;
pub use waiting::waiting;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use crate::secrets::Secret;

/// Why something could not be printed to standard output.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Prints to standard output; a closed pipe is nobody's error.
pub fn data(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        // A run that has begun goes on; how the command ends says it.
        let _ = LOST.set(error);
    }
}

/// Whether somebody sees what standard output gets.
pub fn data_is_seen() -> bool {
    io::stdout().is_terminal()
}

/// Why standard output has not got all of what was printed, if it has not.
pub fn lost() -> Option<&'static io::Error> {
    LOST.get()
}

/// Prints to standard output what belongs in a log, too. Never a secret.
pub fn report(text: &str) {
    data(text);
    log::record(text);
}

/// Prints JSON to standard output.
pub fn json(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(value) {
        data(&(text + "\n"));
    }
}

/// Prints a line to standard error.
pub fn talk(line: &str) {
    log::record(line);
    talk_only(line);
}

/// Prints a line with its time to standard error, for where nobody looks while it happens.
fn talk_stamped(line: &str) {
    // The log gives each line its time by itself.
    log::record(line);
    talk_only(&format!("{} {line}", log::stamp()));
}

/// Prints a line to standard error without keeping it.
fn talk_only(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints an error with its causes, and its hint last.
pub fn failed(error: &anyhow::Error) {
    let (text, hint) = words(error);
    let sign = console::style("error:").red().bold().for_stderr();
    talk(&format!("{sign} {text}"));
    if let Some(hint) = hint {
        talk(&format!("{} {hint}", console::style("hint:").cyan().for_stderr()));
    }
}

/// Where `NO_COLOR` is set, there are no colours, whatever else asks for them.
pub fn heed_no_color() {
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        console::set_colors_enabled(false);
        console::set_colors_enabled_stderr(false);
    }
}

/// Asks a question that only `yes` answers. Without a terminal nobody can, and the answer is no.
pub fn confirm(question: &str) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    let _ = write!(io::stderr().lock(), "{question} Only `yes` goes on: ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

/// Asks for a secret on the terminal, without showing what is typed.
pub fn secret(question: &str) -> io::Result<Secret> {
    let _ = write!(io::stderr().lock(), "{question}");
    console::Term::stderr().read_secure_line().map(Secret::new)
}

/// Whether somebody can be asked.
pub fn interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}
