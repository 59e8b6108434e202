//! Secrets from a variable or a command.

use super::*;

#[test]
fn secrets_from_outside_are_read_where_they_are_needed_and_never_stored() {
    let more = "secrets:\n  postgresql/app: { env: APP_PASSWORD }\n  pgbouncer/auth: { command: [sh, -c, './vault.sh'] }\n";
    let here = shop(&(more.to_owned() + "ssh: { connect_timeout: 1, config: ssh_config }\n"));
    std::fs::write(here.path().join("ssh_config"), "Host *\n  HostName 127.0.0.1\n  Port 9\n").unwrap();
    let vault = here.path().join("vault.sh");
    std::fs::write(&vault, "#!/bin/sh\necho x >>fetched\necho from-the-vault\n").unwrap();
    std::fs::set_permissions(&vault, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = |words: &[&str], env: &[(&str, &str)]| with(words, here.path(), "", env);
    assert_eq!(text(&run(&["secrets", "show", ".", "pgbouncer/auth"], &[]).stdout), "from-the-vault\n");
    let app = [("APP_PASSWORD", "from-the-pipeline")];
    assert_eq!(text(&run(&["secrets", "show", ".", "postgresql/app"], &app).stdout), "from-the-pipeline\n");

    // Once in a run, and none at all for what needs no value.
    std::fs::remove_file(here.path().join("fetched")).unwrap();
    for words in [&["secrets", "list", "."][..], &["render", ".", "--out", "out"]] {
        assert!(run(words, &[]).status.success(), "{words:?}");
    }
    assert!(!here.path().join("fetched").exists());
    holds(&refused_with(5, &run(&["plan", "."], &app)), &["n1", "n2", "n3"]);
    assert_eq!(std::fs::read_to_string(here.path().join("fetched")).unwrap(), "x\n");
    assert!(!printed(&["secrets", "list", "."], here.path()).contains("from-the"));

    // All that fail are named, with the way out of the first.
    std::fs::write(&vault, "#!/bin/sh\necho 'permission denied' >&2\nexit 2\n").unwrap();
    for words in [&["plan", "."][..], &["apply", ".", "--yes"], &["verify", "."], &["status", "."]] {
        let said = refused(&run(words, &[]));
        holds(
            &said,
            &[
                "`postgresql/app`",
                "APP_PASSWORD: it is not set",
                "`pgbouncer/auth`",
                "ended with 2: permission denied",
                "hint:",
            ],
        );
    }
    let checked = run(&["check", "."], &app);
    holds(&text(&checked.stdout), &["permission denied"]);
    std::fs::write(&vault, "#!/bin/sh\necho 'a\"b'\n").unwrap();
    let unfit = refused(&run(&["plan", "."], &app));
    holds(&unfit, &["would break the configuration file", "hint: correct the value where it is kept"]);
}

#[test]
fn a_source_for_a_secret_that_nothing_uses_is_shown_with_its_place() {
    let here = folder("secrets:\n  postgresql/ap: { env: APP_PASSWORD }\n");
    let said = error_with(3, &["render", ".", "--out", "out"], here.path());
    holds(
        &said,
        &["cluster.yaml:7:3: nothing uses a secret `postgresql/ap`", "^^^", "did you mean `postgresql/app`?"],
    );
}
