//! `deploy secrets`, and secrets that come from outside the store.

mod edit;
mod outside;
mod store;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::Child;

use super::*;

const VALUE: &str = "correct horse battery staple";

/// A folder with an inventory, an identity and a store.
fn shop(more: &str) -> tempfile::TempDir {
    let folder = folder(more);
    printed(&["init", "."], folder.path());
    folder
}

/// `deploy` with an input and more of an environment.
fn with(words: &[&str], within: &Path, input: &str, env: &[(&str, &str)]) -> Output {
    let mut child = start(words, within, env);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn start(words: &[&str], within: &Path, env: &[(&str, &str)]) -> Child {
    let mut command = command(words, within);
    for variable in ["VISUAL", "EDITOR", "XDG_RUNTIME_DIR"] {
        command.env_remove(variable);
    }
    command.envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn set(name: &str, value: &str, within: &Path) -> Output {
    with(&["secrets", "set", ".", name], within, value, &[])
}

/// Standard error of what must have failed.
fn refused(output: &Output) -> String {
    refused_with(1, output)
}

/// The same with another exit code.
fn refused_with(code: i32, output: &Output) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stdout));
    text(&output.stderr)
}

fn store(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("secrets.age")).unwrap()
}

/// An editor that is a shell script; its argument is the file.
fn editor(folder: &Path, script: &str) -> String {
    let path = folder.join("editor.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in\n{text}");
    }
}

#[test]
fn list_shows_what_each_is_for_and_no_value() {
    let here = shop(
        "secrets:\n  pgbouncer/auth: { env: NOT_SET_ANYWHERE }\n  haproxy/statistics: { command: [vault, get] }\n",
    );
    assert!(set("postgresql/app", VALUE, here.path()).status.success());
    hold("secrets-help.txt", &printed(&["secrets", "--help"], here.path()));
    let list = printed(&["secrets", "list", "."], here.path());
    hold("secrets-list.txt", &list);
    let json: Value =
        serde_json::from_str(&printed(&["secrets", "list", ".", "--json"], here.path())).unwrap();
    let app = json["secrets"].as_array().unwrap().iter().find(|row| row["name"] == "postgresql/app").unwrap();
    assert_eq!((app["from"].as_str(), app["characters"].as_u64()), (Some("store"), Some(28)));
    assert!(!list.contains(VALUE) && !json.to_string().contains(VALUE));
}

#[test]
fn what_is_set_is_shown_alone_when_it_is_asked_for_by_name() {
    let here = shop("");
    let missing = error(&["secrets", "show", ".", "postgresql/app"], here.path());
    holds(&missing, &["`postgresql/app` has no value yet", "hint: the first `deploy apply` makes it"]);
    let set_it = set("postgresql/app", &format!("{VALUE}\r\n"), here.path());
    assert!(set_it.status.success() && set_it.stdout.is_empty(), "{}", text(&set_it.stderr));
    holds(
        &text(&set_it.stderr),
        &["postgresql/app: changed", "whoever connects anew needs the new one", "`deploy apply .`"],
    );
    assert!(!text(&set_it.stderr).contains(VALUE));
    assert_eq!(printed(&["secrets", "show", ".", "postgresql/app"], here.path()), format!("{VALUE}\n"));
    let json = printed(&["secrets", "show", ".", "postgresql/app", "--json"], here.path());
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["value"], VALUE);

    let before = store(here.path());
    let again = set("postgresql/app", VALUE, here.path());
    holds(&text(&again.stderr), &["it has that value already"]);
    assert_eq!(store(here.path()), before, "the same value was written again");

    for (name, meant) in
        [("postgresql/ap", "postgresql/app"), ("app", "postgresql/app"), ("pgbouncer/aut", "pgbouncer/auth")]
    {
        let said = error(&["secrets", "show", ".", name], here.path());
        holds(&said, &[&format!("there is no secret `{name}`"), &format!("hint: did you mean `{meant}`?")]);
    }
    holds(&error(&["secrets", "show", ".", "colour"], here.path()), &["deploy secrets list"]);
}

#[test]
fn values_that_cannot_be_used_are_refused_and_never_repeated() {
    let here = shop("secrets: { haproxy/statistics: { env: STATISTICS } }\n");
    let before = store(here.path());
    for (name, value, why) in [
        ("postgresql/app", "", "nothing came on standard input"),
        ("postgresql/app", "   \n", "it is empty"),
        ("postgresql/app", "hunter2\nhunter3\n", "more than one line"),
        ("postgresql/app", "hunter2é", "printable ASCII"),
        ("pgbouncer/auth", "hunter2\"", "would break the configuration file"),
        ("postgresql/ap", "hunter2", "there is no secret `postgresql/ap`"),
        ("haproxy/statistics", "hunter2", "comes from the environment variable STATISTICS"),
    ] {
        let said = refused(&set(name, value, here.path()));
        holds(&said, &[why]);
        assert!(said.contains("hint:"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let large = set("postgresql/app", &"x".repeat(65 * 1024), here.path());
    holds(&refused(&large), &["larger than 64 KiB"]);
    assert_eq!(store(here.path()), before);
    let short = set("postgresql/app", "hunter2", here.path());
    holds(&text(&short.stderr), &["short: it could be guessed"]);
    let rewind = set("patroni/rewind", VALUE, here.path());
    holds(&text(&rewind.stderr), &["changes the role in PostgreSQL"]);
}
