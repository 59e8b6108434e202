//! One step as one remote execution: a tar stream with a script and its payloads.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::ApplyError;
use crate::cluster::NodeName;
use crate::journal::Heading;
use crate::pki::{Authority, LeafRequest};
use crate::resource::{self, Arg, Call, Change, Order, Payload, Together};
use crate::script::{functions_of, line};
use crate::transport::{Exec, quote};

/// How long one step may take; installing packages over a slow line is the longest.
const DEADLINE: Duration = Duration::from_secs(1800);

/// Unpacks the stream where only root can read it and runs what is in it.
const UNPACK: &str = "sh -c 'umask 077 && mkdir -p /run/deploy && d=$(mktemp -d /run/deploy/step.XXXXXX) && \
     trap \"rm -rf $d\" EXIT && trap \"exit 1\" HUP INT TERM PIPE && tar -xf - -C \"$d\" && cd \"$d\" && sh ./run'";

/// Why a step could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A certificate could not be issued.
    #[error("cannot issue the certificate of {0}")]
    Issue(String, #[source] crate::pki::PkiError),
    /// Nobody can issue a certificate.
    #[error("cannot issue the certificate of {0}: the key of the authority is lost")]
    NoKey(String),
    /// The stream could not be written.
    #[error("cannot pack the step")]
    Pack(#[from] std::io::Error),
}

/// The execution that makes `changes`. Certificates are issued here, at `now`.
pub fn exec(
    heading: &Heading,
    phase: &str,
    changes: &[Change],
    authority: Option<&Authority>,
    now: time::OffsetDateTime,
) -> Result<Exec, StepError> {
    let mut calls: Vec<(Order, usize, &Call)> = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        calls.extend(change.calls.iter().map(|(order, call)| (*order, number, call)));
    }
    calls.sort_by_key(|(order, ..)| *order);
    let last: BTreeMap<usize, usize> =
        calls.iter().enumerate().map(|(place, (_, number, _))| (*number, place)).collect();
    let mut archive = tar::Builder::new(Vec::new());
    let mut made = String::new();
    let mut payloads = 0;
    for (place, (_, number, call)) in calls.iter().enumerate() {
        let before = place.checked_sub(1).map(|before| calls[before].2);
        match resource::together(before, calls[place..].iter().map(|(.., call)| *call)) {
            Some(Together::Change(first)) => _ = writeln!(made, "act {number} {}", line(&first)),
            Some(Together::Look(first)) => _ = writeln!(made, "{}", line(&first)),
            None => {}
        }
        let _ = write!(made, "act {number} {}", call.function);
        for arg in &call.args {
            match arg {
                Arg::Text(text) => {
                    let _ = write!(made, " {}", quote(text));
                }
                Arg::Payload(payload) => {
                    payloads += 1;
                    let name = format!("p{payloads}");
                    pack(&mut archive, &name, payload, authority, now)?;
                    let _ = write!(made, " \"$PWD/{name}\"");
                }
            }
        }
        made.push('\n');
        if last.get(number) == Some(&place) {
            let _ = writeln!(made, "done_with {number}");
        }
    }
    append(&mut archive, "run", script(heading, phase, changes, &made).as_bytes())?;
    Ok(Exec {
        command: UNPACK.into(),
        stdin: archive.into_inner()?,
        timeout: DEADLINE,
        lines: None,
        hold: None,
    })
}

/// A script that makes one call over a connection of its own.
pub fn confirmation(run: &str, call: &Call) -> Exec {
    let heading = Heading { run: run.to_owned(), ..Heading::default() };
    let script = script(&heading, "confirm", &[], &format!("act 0 {}\n", call.function));
    Exec::script(script, Duration::from_secs(60))
}

/// What the script of a step said at its end.
pub fn ended(node: &NodeName, changes: &[Change], stdout: &str, stderr: &str) -> Result<(), ApplyError> {
    if stdout.lines().any(|line| line == ". done") {
        return Ok(());
    }
    let failed = stdout.lines().find_map(|line| line.strip_prefix("! ")?.split_once(' '));
    let Some((number, status)) = failed else {
        let said = if stderr.trim().is_empty() { stdout } else { stderr };
        return Err(ApplyError::CutOff { node: node.clone(), stderr: said.trim().to_owned() });
    };
    let id = number
        .parse::<usize>()
        .ok()
        .and_then(|number| changes.get(number))
        .map(|change| change.id.to_string());
    let output = stdout.lines().filter(|line| line.starts_with("| ")).collect::<Vec<_>>().join("\n");
    Err(ApplyError::Change {
        node: node.clone(),
        id: id.unwrap_or_default(),
        status: status.to_owned(),
        output,
    })
}

/// The script of a step that makes the calls of `made`.
fn script(heading: &Heading, phase: &str, changes: &[Change], made: &str) -> String {
    let plan: Vec<String> = changes.iter().map(|change| format!("{phase} {change}")).collect();
    format!(
        "RUN_ID={}\nRUN_ABOUT={}\nRUN_WANTED={}\nPHASE={}\nSTEP_PLAN={}\n{}{}main() {{\n{made}finish\n}}\nmain </dev/null\n",
        quote(&heading.run),
        quote(&heading.about),
        quote(&heading.wanted),
        quote(phase),
        quote(&plan.join("\n")),
        include_str!("step.sh"),
        functions_of(made)
    )
}

fn pack(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    payload: &Payload,
    authority: Option<&Authority>,
    now: time::OffsetDateTime,
) -> Result<(), StepError> {
    match payload {
        Payload::Bytes(bytes) => append(archive, name, bytes)?,
        Payload::Leaf(request) => {
            let leaf = issue(authority, request, now)?;
            append(archive, &format!("{name}/crt"), leaf.certificate_pem.as_bytes())?;
            append(archive, &format!("{name}/key"), leaf.key.expose().as_bytes())?;
        }
    }
    Ok(())
}

fn issue(
    authority: Option<&Authority>,
    request: &LeafRequest,
    now: time::OffsetDateTime,
) -> Result<crate::pki::Leaf, StepError> {
    let authority = authority.ok_or_else(|| StepError::NoKey(request.common_name.clone()))?;
    authority
        .issue(request, now, &mut rand::rng())
        .map_err(|error| StepError::Issue(request.common_name.clone(), error))
}

fn append(archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    header.set_cksum();
    archive.append_data(&mut header, name, bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::cluster::NodeName;
    use crate::journal::{self, Shown};
    use crate::resource::{Effect, Id, Verb};

    /// Runs a script of a node with its folders below `root`.
    fn on_node(root: &Path, script: &str) -> String {
        let root = root.to_string_lossy();
        let script = script
            .replace("/var/lib/deploy", &format!("{root}/lib"))
            .replace("/run/deploy", &format!("{root}/run"));
        let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn step(root: &Path, reason: &str, calls: &str) -> String {
        let heading = Heading { run: "r1".into(), about: "by=me".into(), wanted: "{}".into() };
        let call = Call::new("true", ["/etc/hosts"]);
        let mut change =
            Change::new(Id::new("file", "/etc/hosts"), Verb::Update, reason, Order::Commit, call);
        change.effect = Effect::Reload;
        on_node(root, &script(&heading, "base", &[change], calls))
    }

    #[test]
    fn a_step_leaves_its_plan_and_how_long_each_call_took() {
        let root = tempfile::tempdir().unwrap();
        let said = step(root.path(), "it's $(old)\nand wrong", "act 0 sleep 0.1\nact 0 false\n");
        assert!(said.contains("! 0 1"), "{said}");
        let said = on_node(root.path(), &journal::showing("r1"));
        let shown = Shown::of(&[(NodeName::from("n1"), said)].into(), "").unwrap();
        assert_eq!((shown.heading.by.as_str(), shown.heading.calls), ("me", 2));
        assert_eq!(shown.heading.result, "failed");
        let plan: Vec<&str> = shown.changes.iter().map(|line| line.line.as_str()).collect();
        assert_eq!(plan, ["base ~ file /etc/hosts [reload] it's $(old) and wrong"]);
        let words: Vec<&str> = shown.journal[1].line.split(' ').collect();
        assert_eq!((words[1], &words[3..]), ("base", &["s", "sleep", "0.1:", "0"][..]), "{words:?}");
        assert!(words[2].parse::<f64>().unwrap() >= 0.1, "{words:?}");
    }

    #[test]
    fn a_step_that_is_cut_off_leaves_nothing_of_what_it_was_given() {
        let root = tempfile::tempdir().unwrap();
        let change = Change::new(
            Id::new("file", "/etc/key"),
            Verb::Create,
            "missing",
            Order::Stage,
            Call::new("sleep", ["9"]).with(Payload::Bytes(b"secret".to_vec())),
        );
        let now = time::OffsetDateTime::UNIX_EPOCH;
        let exec = exec(&Heading::default(), "base", &[change], None, now).unwrap();
        let below = root.path().to_string_lossy();
        let command =
            exec.command.replace("/run/deploy", &below).replace("&& sh ./run", "&& ls >&2 && sleep 9");
        let mut child = Command::new("timeout")
            .args(["1", "sh", "-c", &command])
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &exec.stdin).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("p1\nrun\n"), "{output:?}");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_that_ended_well_keeps_no_copy_that_not_everybody_could_read() {
        let root = tempfile::tempdir().unwrap();
        let secret = root.path().join("secret");
        let public = root.path().join("public");
        for (path, mode) in [(&secret, 0o640), (&public, 0o644)] {
            std::fs::write(path, "old").unwrap();
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        let commit = |path: &Path| {
            let path = path.display();
            format!(
                "act 0 cp -p {path} {path}.deploy-new\nact 0 files_ready {path}\nact 0 file_commit {path} w\n"
            )
        };
        let said = step(root.path(), "differs", &(commit(&secret) + &commit(&public)));
        assert!(said.contains(". done"), "{said}");
        let kept = |path: &Path| {
            let below = path.strip_prefix("/").unwrap();
            root.path().join("lib/runs/r1/files").join(below).exists()
        };
        for other in ["r0", "r2"] {
            let folder = root.path().join(format!("lib/runs/{other}"));
            std::fs::create_dir_all(folder.join("files")).unwrap();
            std::fs::copy(&secret, folder.join("files/secret")).unwrap();
        }
        on_node(root.path(), &journal::ending("r1", "partly applied"));
        assert!(kept(&secret) && kept(&public), "a run that stopped may be looked into");
        on_node(root.path(), &journal::ending("r1", "done"));
        assert!(!kept(&secret) && kept(&public));
        let of = |run: &str| root.path().join(format!("lib/runs/{run}/files/secret")).exists();
        assert!(!of("r0") && of("r2"), "a run that has begun since needs its own");
    }
}
