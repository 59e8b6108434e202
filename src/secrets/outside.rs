//! Secrets that are kept elsewhere: an environment variable, or what a command prints, such as a vault's own program.
//!
//! They are read when a run begins and are never stored. What a command prints on standard error is shown only by its
//! last line, and only where the command failed.

use std::fmt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::form::FormError;
use super::secret::Secret;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that is read from a command, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Where a secret is kept instead of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outside {
    /// An environment variable.
    Env(String),
    /// A program and its arguments.
    Command(String, Vec<String>),
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(variable) => write!(f, "the environment variable {variable}"),
            Self::Command(program, _) => write!(f, "the command `{program}`"),
        }
    }
}

/// Why a secret from outside could not be read.
#[derive(Debug, Error)]
#[error("the secret `{name}` could not be read from {from}: {cause}")]
pub struct OutsideError {
    name: String,
    from: Outside,
    cause: Cause,
}

/// What went wrong.
#[derive(Debug, Error)]
enum Cause {
    #[error("it is not set")]
    Unset,
    #[error("it cannot be run: {0}")]
    Start(std::io::Error),
    #[error("it ended with {0}{1}")]
    Failed(String, String),
    #[error("it was stopped, because it took longer than {} s", .0.as_secs())]
    Slow(Duration),
    #[error("it gave more than 64 KiB")]
    Large,
    #[error("what it gave is not text")]
    NotText,
    #[error("it did not say what it printed: {0}")]
    Read(std::io::Error),
    #[error("{0}")]
    Form(FormError),
}

impl OutsideError {
    /// A value that cannot be used where it would go.
    pub fn unfit(name: &str, from: &Outside, why: FormError) -> Self {
        Self { name: name.into(), from: from.clone(), cause: Cause::Form(why) }
    }

    /// The next thing to do.
    pub fn hint(&self) -> String {
        match (&self.cause, &self.from) {
            (Cause::Unset, Outside::Env(variable)) => {
                format!("set {variable} for this run, or take the line out of `secrets` in the inventory")
            }
            (Cause::Form(_), _) => format!("correct the value where it is kept: {}", self.from),
            (Cause::Start(_), _) => {
                "install it, or write its whole path; it is run in the inventory's folder, without a shell"
                    .into()
            }
            _ => "run the command by hand in the inventory's folder: it must print the value and end with 0"
                .into(),
        }
    }
}

impl Outside {
    /// Reads the secret `name`; a command runs in `dir`, and one line ending at the end of what it prints is dropped.
    pub async fn fetch(
        &self,
        name: &str,
        dir: &Path,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Secret, OutsideError> {
        let value = match self {
            Self::Env(variable) => env(variable).map(Secret::new).ok_or(Cause::Unset),
            Self::Command(program, arguments) => run(program, arguments, dir, PATIENCE).await,
        };
        let value = value.and_then(|value| match value.expose().trim() {
            "" => Err(Cause::Form(FormError::Empty)),
            _ => Ok(value),
        });
        value.map_err(|cause| OutsideError { name: name.into(), from: self.clone(), cause })
    }
}

async fn run(program: &str, arguments: &[String], dir: &Path, patience: Duration) -> Result<Secret, Cause> {
    let mut command = Command::new(program);
    // Whoever writes the command need not be one who may open the store.
    for variable in super::identity::VARIABLES {
        command.env_remove(variable);
    }
    let mut child = command
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Cause::Start)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (printed, said) = tokio::join!(read(stdout), read(stderr));
        let (printed, said) = (printed.map_err(Cause::Read)?, said.map_err(Cause::Read)?);
        if printed.len() as u64 > MAX_BYTES {
            return Err(Cause::Large);
        }
        Ok((printed, said, child.wait().await.map_err(Cause::Read)?))
    };
    let (printed, said, status) =
        tokio::time::timeout(patience, work).await.map_err(|_| Cause::Slow(patience))??;
    if !status.success() {
        return Err(Cause::Failed(ending(status), last_line(&said)));
    }
    let text = std::str::from_utf8(&printed).map_err(|_| Cause::NotText)?;
    Ok(Secret::new(without_line_ending(text)))
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it: a buffer that grows leaves copies behind that are not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * 64 * 1024));
    if let Some(from) = from {
        from.take(MAX_BYTES + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// `text` without the one line ending that a program puts behind what it prints.
pub fn without_line_ending(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn ending(status: ExitStatus) -> String {
    status.code().map_or_else(|| "a signal".into(), |code| code.to_string())
}

/// The last line that says something, fit for a terminal.
fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line: String = line.chars().filter(|character| !character.is_control()).take(200).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str) -> Result<Secret, OutsideError> {
        let outside = Outside::Command("sh".into(), vec!["-c".into(), script.into()]);
        outside.fetch("x", Path::new("/"), |_| None).await
    }

    async fn refused(script: &str) -> String {
        let error = sh(script).await.unwrap_err();
        assert!(!error.hint().is_empty());
        error.to_string()
    }

    #[tokio::test]
    async fn a_command_s_output_loses_one_line_ending_and_nothing_else() {
        for (script, value) in [
            ("printf 'a b'", "a b"),
            ("echo ' a '", " a "),
            ("printf 'a\\r\\n'", "a"),
            ("printf 'a\\n\\n'", "a\n"),
            ("pwd; echo noise >&2", "/"),
            ("cat; echo nobody is asked", "nobody is asked"),
        ] {
            assert_eq!(sh(script).await.unwrap().expose(), value, "{script}");
        }
    }

    #[tokio::test]
    async fn every_failure_says_what_and_never_what_was_printed() {
        let failed =
            refused("echo hunter2; echo one >&2; printf 'permission\\033 denied\\n\\n' >&2; exit 2").await;
        assert!(failed.ends_with("the command `sh`: it ended with 2: permission denied"), "{failed}");
        assert!(refused("kill -9 $$").await.ends_with("it ended with a signal"));
        assert!(refused("printf ' \\n'").await.ends_with("it is empty"));
        assert!(refused("printf '\\377'").await.ends_with("is not text"));
        assert!(refused("head -c 70000 /dev/zero | tr '\\0' x").await.ends_with("more than 64 KiB"));
        let absent = Outside::Command("no-such-program".into(), Vec::new());
        let error = absent.fetch("x", Path::new("/"), |_| None).await.unwrap_err();
        assert!(error.to_string().contains("cannot be run"), "{error}");
        let slow = run("sleep", &["60".into()], Path::new("/"), Duration::from_millis(50)).await;
        assert!(matches!(slow, Err(Cause::Slow(_))));
    }

    #[tokio::test]
    async fn a_variable_must_be_set_to_something() {
        let outside = Outside::Env("APP_PASSWORD".into());
        let fetch = |value: Option<&'static str>| {
            let outside = outside.clone();
            async move { outside.fetch("x", Path::new("/"), |_| value.map(str::to_owned)).await }
        };
        assert_eq!(fetch(Some("a b")).await.unwrap().expose(), "a b");
        let error = fetch(None).await.unwrap_err();
        assert!(error.to_string().ends_with("APP_PASSWORD: it is not set"), "{error}");
        assert!(error.hint().contains("set APP_PASSWORD"));
        assert!(fetch(Some("")).await.is_err());
    }
}
