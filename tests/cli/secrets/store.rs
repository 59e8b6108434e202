//! Who can open the store, and what is said of one that nobody can.

use super::*;

fn public_key(folder: &Path) -> String {
    let identity = std::fs::read_to_string(folder.join("deploy.identity")).unwrap();
    identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

#[test]
fn a_rekey_follows_the_inventory_and_never_locks_its_owner_out() {
    let here = shop("");
    let others = shop("");
    let (own, other) = (public_key(here.path()), public_key(others.path()));
    let inventory = std::fs::read_to_string(here.path().join("cluster.yaml")).unwrap();
    let name = |keys: &[&str]| {
        let text = format!("{inventory}trust: {{ recipients: [{}] }}\n", keys.join(", "));
        std::fs::write(here.path().join("cluster.yaml"), text).unwrap();
    };
    let rekey = || deploy(&["secrets", "rekey", "."], here.path());
    holds(
        &refused(&rekey()),
        &["names no recipients", &format!("hint: name them, as in `trust: {{ recipients: [{own}]")],
    );

    let before = store(here.path());
    name(&[&other]);
    holds(
        &refused(&rekey()),
        &["deploy.identity could not open it afterwards", &format!("add {own} to `trust.recipients`")],
    );
    assert_eq!(store(here.path()), before);
    let differ = deploy(&["secrets", "recipients", "."], here.path());
    holds(&text(&differ.stderr), &["deploy secrets rekey ."]);

    name(&[&own, &other]);
    holds(&text(&rekey().stderr), &[&format!("{other}  can open it  new")]);
    let sealed = store(here.path());
    holds(&text(&rekey().stderr), &["already; nothing was written"]);
    assert_eq!(store(here.path()), sealed);

    // The other one opens it with a variable and nothing else, and takes the first one out.
    let key = std::fs::read_to_string(others.path().join("deploy.identity")).unwrap();
    std::fs::remove_file(here.path().join("deploy.identity")).unwrap();
    name(&[&other]);
    let said = with(&["secrets", "rekey", "."], here.path(), "", &[("DEPLOY_IDENTITY", &key)]);
    holds(&text(&said.stderr), &[&format!("{own}  can no longer open it"), "what version control remembers"]);
    let json = printed(&["secrets", "recipients", ".", "--json"], here.path());
    let json: Value = serde_json::from_str(&json).unwrap();
    let expected =
        serde_json::json!([{ "recipient": other, "store": true, "inventory": true, "yours": false }]);
    assert_eq!(json["recipients"], expected);

    // Whoever has no identity, or another one, learns whose would do.
    let nobody = error(&["secrets", "list", "."], here.path());
    holds(&nobody, &["no identity to open the store with", &format!("hint: these recipients can: {other}")]);
    let wrong = format!("{}/deploy.identity", shop("").keep().display());
    let wrong = error(&["--identity", &wrong, "secrets", "list", "."], here.path());
    holds(&wrong, &["cannot open", &format!("these recipients can: {other}")]);
}

#[test]
fn a_passphrase_gives_way_to_recipients() {
    let here = folder("");
    let passphrase = [("DEPLOY_PASSPHRASE", VALUE)];
    let run = |words: &[&str]| with(words, here.path(), "", &passphrase);
    assert!(run(&["init", "."]).status.success());
    holds(&text(&run(&["secrets", "recipients", "."]).stdout), &["opens by its passphrase"]);
    holds(
        &error(&["secrets", "list", "."], here.path()),
        &["hint: it opens by its passphrase: set DEPLOY_PASSPHRASE"],
    );
    let others = shop("");
    let inventory = std::fs::read_to_string(here.path().join("cluster.yaml")).unwrap();
    let recipients = format!("trust: {{ recipients: [{}] }}\n", public_key(others.path()));
    std::fs::write(here.path().join("cluster.yaml"), inventory + &recipients).unwrap();
    holds(&refused(&run(&["secrets", "rekey", "."])), &["DEPLOY_PASSPHRASE could not open it afterwards"]);
    std::fs::copy(others.path().join("deploy.identity"), here.path().join("deploy.identity")).unwrap();
    assert!(run(&["secrets", "rekey", "."]).status.success());
    printed(&["secrets", "list", "."], here.path());
}

#[test]
fn a_run_needs_one_variable_and_no_file() {
    let here = shop("ssh: { connect_timeout: 1, config: ssh_config }\n");
    std::fs::write(here.path().join("ssh_config"), "Host *\n  HostName 127.0.0.1\n  Port 9\n").unwrap();
    let key = std::fs::read_to_string(here.path().join("deploy.identity")).unwrap();
    std::fs::remove_file(here.path().join("deploy.identity")).unwrap();
    let run = |words: &[&str]| with(words, here.path(), VALUE, &[("DEPLOY_IDENTITY", &key)]);
    let editor = editor(here.path(), "sed -i s/horse/house/ \"$1\"");
    assert!(run(&["secrets", "set", ".", "postgresql/app"]).status.success());
    let edited =
        with(&["secrets", "edit", "."], here.path(), "", &[("DEPLOY_IDENTITY", &key), ("EDITOR", &editor)]);
    assert!(edited.status.success(), "{}", text(&edited.stderr));
    assert_eq!(
        text(&run(&["secrets", "show", ".", "postgresql/app"]).stdout),
        "correct house battery staple\n"
    );
    for words in [&["secrets", "list", "."][..], &["secrets", "recipients", "."]] {
        assert!(run(words).status.success(), "{words:?}");
    }
    // These end where the nodes do not answer, not at the store.
    for words in [&["plan", "."][..], &["apply", ".", "--yes"], &["verify", "."], &["status", "."]] {
        let said = text(&run(words).stderr);
        assert!(!said.contains("identity") && !said.contains("store"), "{words:?}: {said}");
    }
}

#[test]
fn a_damaged_store_is_explained_by_every_verb() {
    let here = shop("");
    let good = text(&store(here.path()));
    let half = good[..good.len() / 2].to_owned();
    let conflict = format!("<<<<<<< HEAD\n{good}=======\n{good}>>>>>>> branch\n");
    for (damage, parts) in [
        (conflict, &["merge conflict", "git checkout --ours", "deploy secrets set"][..]),
        (half, &["is damaged: it is cut short", "version control"]),
        ("version: 1\n".into(), &["is not encrypted", "exposed"]),
    ] {
        std::fs::write(here.path().join("secrets.age"), damage).unwrap();
        for verb in ["list", "recipients", "rekey", "edit"] {
            holds(&error(&["secrets", verb, "."], here.path()), parts);
        }
    }
}

#[test]
fn a_text_that_is_not_a_store_s_is_explained_with_its_place() {
    let here = shop("");
    let key: age::x25519::Recipient = public_key(here.path()).parse().unwrap();
    for (inside, parts) in [
        (
            "version: 1\ncluster: shop\nsecrets:\n  a: [hunter2]\n",
            &["line 4, column", "hint: restore it"][..],
        ),
        ("version: 7\nanything: else\n", &["of version 7", "update `deploy`"]),
        ("version: 1\ncluster: shop\nsecrets: {}\n", &["names no recipients"]),
    ] {
        let sealed = age::encrypt_and_armor(&key, inside.as_bytes()).unwrap();
        std::fs::write(here.path().join("secrets.age"), sealed).unwrap();
        let said = error(&["secrets", "list", "."], here.path());
        holds(&said, parts);
        assert!(!said.contains("hunter2"), "{said}");
    }
}
