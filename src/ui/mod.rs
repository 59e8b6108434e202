//! The only door to the terminal. Standard output is data, standard error is talk.

mod applications;
mod certs;
mod checks;
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
pub use history::runs;
pub use log::log_into;
pub use markdown::markdown;
pub use plan::{changes, plan, plan_json};
pub use progress::Progress;
pub use secrets::{Origin, RecipientRow, SecretRow, recipients, secrets};
pub use status::status;

use std::io::{IsTerminal, Write};
pub use waiting::waiting;

use crate::secrets::Secret;

/// An error with a next step, printed behind `hint:`.
#[derive(Debug)]
pub struct Hint(pub String);

impl std::fmt::Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints to standard output; a closed pipe is nobody's error.
pub fn data(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
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
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints an error with its causes, and its hint last.
pub fn failed(error: &anyhow::Error) {
/// Where `NO_COLOR` is set, there are no colours, whatever else asks for them.
pub fn heed_no_color() {
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        console::set_colors_enabled(false);
        console::set_colors_enabled_stderr(false);
    }
}

    let mut hint = None;
    let mut text = String::new();
    for cause in error.chain() {
        let line = cause.to_string();
        if !text.contains(&line) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&line);
        }
    }
    if let Some(Hint(next)) = error.downcast_ref::<Hint>() {
        // The hint is the outermost context; the error itself is what it wraps.
        hint = Some(next.clone());
        text = text.replacen(&format!("{next}: "), "", 1);
    }
    let sign = console::style("error:").red().bold().for_stderr();
    talk(&format!("{sign} {text}"));
    if let Some(hint) = hint {
        talk(&format!("{} {hint}", console::style("hint:").cyan().for_stderr()));
    }
}

/// Asks a question that only `yes` answers. Without a terminal nobody can, and the answer is no.
pub fn confirm(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    let _ = write!(std::io::stderr().lock(), "{question} Only `yes` goes on: ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

/// Asks for a secret on the terminal, without showing what is typed.
pub fn secret(question: &str) -> std::io::Result<Secret> {
    let _ = write!(std::io::stderr().lock(), "{question}");
    console::Term::stderr().read_secure_line().map(Secret::new)
}

/// Whether somebody can be asked.
pub fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}
