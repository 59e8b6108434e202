//! `deploy secrets edit`: what is kept, what is refused, and what is left when it is killed.

use std::time::{Duration, Instant};

use super::*;

fn edit(folder: &Path, script: &str) -> Output {
    let editor = editor(folder, script);
    with(&["secrets", "edit", "."], folder, "", &[("EDITOR", &editor)])
}

#[test]
fn edit_keeps_what_was_changed_and_nothing_else() {
    let here = shop("secrets: { haproxy/statistics: { env: STATISTICS } }\n");
    set("postgresql/app", VALUE, here.path());
    set("pgbouncer/auth", VALUE, here.path());
    let seen = here.path().join("seen");
    let look = format!(
        "stat -fc %T \"$1\" >{0}; stat -c %a \"$1\" \"${{1%/*}}\" >>{0}; cat \"$1\" >>{0}",
        seen.display()
    );
    let before = store(here.path());
    let unchanged = edit(here.path(), &look);
    assert!(unchanged.status.success(), "{}", text(&unchanged.stderr));
    holds(&text(&unchanged.stderr), &["nothing was changed"]);
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.starts_with("tmpfs\n600\n700\n"), "{seen}");
    holds(&seen, &["haproxy/statistics comes from the environment variable STATISTICS", VALUE]);
    assert!(!seen.contains("PRIVATE KEY"), "the authority's key is nobody's to edit");
    assert_eq!(edit(here.path(), ": >\"$1\"").status.code(), Some(0), "an emptied text changes nothing");
    assert_eq!(store(here.path()), before);

    let script = "sed -i -e '/pgbouncer/d' -e 's/battery/cattery/' \"$1\"; echo 'patroni/rewind: another value' >>\"$1\"";
    let changed = edit(here.path(), script);
    let said = text(&changed.stderr);
    assert!(changed.status.success(), "{said}");
    holds(
        &said,
        &["patroni/rewind: changed", "pgbouncer/auth: removed; the next apply", "postgresql/app: changed"],
    );
    assert_eq!(
        printed(&["secrets", "show", ".", "postgresql/app"], here.path()),
        "correct horse cattery staple\n"
    );
    assert_eq!(printed(&["secrets", "show", ".", "patroni/rewind"], here.path()), "another value\n");
}

#[test]
fn an_edit_that_cannot_be_kept_leaves_the_store_as_it_was() {
    let here = shop("secrets: { haproxy/statistics: { env: STATISTICS } }\n");
    set("postgresql/app", VALUE, here.path());
    let before = store(here.path());
    for (script, parts) in [
        ("echo '  hunter2: [' >\"$1\"", &["not a list of secrets", "line 1"][..]),
        ("printf 'a: x\\na: hunter2\\n' >\"$1\"", &["line 2", "twice"]),
        ("echo 'postgresql/app: \"\"' >\"$1\"", &["`postgresql/app` is empty"]),
        ("echo 'postgresql/ap: hunter2' >>\"$1\"", &["there is no secret `postgresql/ap`", "did you mean"]),
        ("echo 'haproxy/statistics: hunter2' >>\"$1\"", &["STATISTICS", "not kept in the store"]),
        ("echo 'pgbouncer/auth: hunter2$' >>\"$1\"", &["would break the configuration file"]),
        ("rm \"$1\"", &["cannot be read; the store is as it was"]),
        ("exit 3", &["ended with exit status: 3; the store is as it was"]),
    ] {
        let said = refused(&edit(here.path(), script));
        holds(&said, parts);
        assert!(!said.contains("hunter2"), "{said}");
    }
    let absent = with(&["secrets", "edit", "."], here.path(), "", &[("EDITOR", "no-such-editor")]);
    holds(&refused(&absent), &["`no-such-editor` cannot be run", "hint: set EDITOR"]);
    assert_eq!(store(here.path()), before);
}

/// Waits until `there` says so.
fn until(what: &str, there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every file below a folder that holds `needle`.
fn holding(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, needle));
        } else if std::fs::read(&path).is_ok_and(|bytes| text(&bytes).contains(needle)) {
            found.push(path);
        }
    }
    found
}

#[test]
fn an_edit_that_is_killed_leaves_no_plaintext_and_no_lock() {
    let here = shop("");
    let value = "a value that nothing else on this machine holds: 5f0c2b7e";
    set("postgresql/app", value, here.path());
    let temporary = here.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let marker = here.path().join("editing");
    let script =
        format!("echo \"$1\" $$ >{0}.new; mv {0}.new {0}; while :; do sleep 0.1; done", marker.display());
    let editor = editor(here.path(), &script);
    let env = [("EDITOR", editor.as_str()), ("TMPDIR", temporary.to_str().unwrap())];
    let mut edit = start(&["secrets", "edit", "."], here.path(), &env);
    until("the editor's start", || marker.exists());
    let marker = std::fs::read_to_string(marker).unwrap();
    let (file, process) = marker.trim().rsplit_once(' ').unwrap();
    assert!(std::fs::read_to_string(file).unwrap().contains(value));
    assert_eq!(holding(here.path(), value), [] as [PathBuf; 0], "decrypted text on the disk");

    let second = refused(&set("postgresql/app", VALUE, here.path()));
    holds(&second, &["being written by process", "deploy secrets edit"]);

    edit.kill().unwrap();
    edit.wait().unwrap();
    let folder = Path::new(file).parent().unwrap();
    until("the end of the decrypted text", || !folder.exists());
    until("the end of the editor", || !Path::new("/proc").join(process).exists());
    assert_eq!(holding(here.path(), value), [] as [PathBuf; 0]);
    assert_eq!(holding(Path::new("/dev/shm"), value), [] as [PathBuf; 0]);
    assert_eq!(printed(&["secrets", "show", ".", "postgresql/app"], here.path()), format!("{value}\n"));
    assert!(set("postgresql/app", VALUE, here.path()).status.success(), "the lock outlived its holder");
}
