//! `deploy init`: what it makes, what it leaves alone, and whose identity opens the store.

use super::*;

#[test]
fn init_makes_only_what_is_not_there_and_the_store_is_its_identity_s() {
    let here = tempfile::tempdir().unwrap();
    printed(&["init", "shop"], here.path());
    let shop = here.path().join("shop");
    let names = || -> BTreeSet<String> {
        std::fs::read_dir(&shop)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    assert_eq!(
        names(),
        [".gitignore", "cluster.yaml", "deploy.identity", "secrets.age"].map(String::from).into()
    );
    let store = std::fs::read(shop.join("secrets.age")).unwrap();
    printed(&["init", "shop"], here.path());
    assert_eq!(store, std::fs::read(shop.join("secrets.age")).unwrap(), "a second init changed the store");

    // A store that a hand or an accident has changed is named, with the way back.
    let changed = [
        (store[..store.len() / 2].to_vec(), "is damaged"),
        ([&store[..store.len() - 1], b"x"].concat(), "is damaged"),
        (b"postgresql/app: a-password-of-my-own\n".to_vec(), "is not encrypted"),
        (Vec::new(), "is damaged"),
    ];
    for (bytes, because) in changed {
        std::fs::write(shop.join("secrets.age"), &bytes).unwrap();
        let said = error(&["plan", "shop"], here.path());
        let parts = ["secrets.age", because, "restore", "version control"];
        assert!(parts.iter().all(|part| said.contains(part)), "{} bytes: {said}", bytes.len());
        assert!(!said.contains("a-password-of-my-own"), "{said}");
        assert_eq!(std::fs::read(shop.join("secrets.age")).unwrap(), bytes, "the store was changed");
    }
    std::fs::write(shop.join("secrets.age"), &store).unwrap();

    // The identity of another cluster does not open it.
    printed(&["init", "other"], here.path());
    let said = error(&["--identity", "other/deploy.identity", "plan", "shop"], here.path());
    assert!(said.contains("secrets.age") && said.contains("other/deploy.identity"), "{said}");
}

#[test]
fn a_first_inventory_says_who_may_come_in() {
    let here = tempfile::tempdir().unwrap();
    printed(&["init", "shop"], here.path());
    let written = std::fs::read_to_string(here.path().join("shop/cluster.yaml")).unwrap();
    assert!(written.contains("\naccess:\n  admin: ") && written.contains("\n  clients: "), "{written}");
    printed(&["validate", "shop"], here.path());
}

#[test]
fn init_takes_the_identity_that_it_is_given_and_refuses_one_that_cannot_be_read() {
    let here = tempfile::tempdir().unwrap();
    printed(&["init", "mine"], here.path());
    printed(&["--identity", "mine/deploy.identity", "init", "shop"], here.path());
    assert!(!here.path().join("shop/deploy.identity").exists(), "another identity was made");
    printed(&["--identity", "mine/deploy.identity", "secrets", "recipients", "shop"], here.path());

    let output = command(&["init", "other"], here.path())
        .env("DEPLOY_IDENTITY", "AGE-SECRET-KEY-TYPO")
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("DEPLOY_IDENTITY") && said.contains("hint:"), "{said}");
    assert!(!here.path().join("other/secrets.age").exists(), "a store that nothing would open was made");
    assert!(!here.path().join("other/deploy.identity").exists(), "another identity was made");
}

#[test]
fn init_adds_what_must_not_be_committed_to_what_is_ignored_already() {
    let here = tempfile::tempdir().unwrap();
    std::fs::create_dir(here.path().join("shop")).unwrap();
    let ignored = here.path().join("shop/.gitignore");
    std::fs::write(&ignored, "/target").unwrap();
    let said: Value = serde_json::from_str(&printed(&["--json", "init", "shop"], here.path())).unwrap();
    assert_eq!(std::fs::read_to_string(&ignored).unwrap(), "/target\ndeploy.identity\n.secrets.*\n");
    let wrote: Vec<&str> = said["wrote"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(wrote, ["shop/cluster.yaml", "shop/deploy.identity", "shop/secrets.age", "shop/.gitignore"]);
}
