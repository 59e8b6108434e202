use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::secrets::{BodyError, NewIdentity};

struct Fixture {
    dir: tempfile::TempDir,
    path: PathBuf,
    identity: Identity,
    recipients: BTreeSet<Recipient>,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.age");
        let new = NewIdentity::generate();
        let (identity, recipients) =
            (new.identity("anna").unwrap(), BTreeSet::from([new.recipient().clone()]));
        Self { dir, path, identity, recipients }
    }

    fn with_store() -> Self {
        let fixture = Self::new();
        let mut store =
            Store::create(&fixture.path, "lab", Seal::Recipients(fixture.recipients.clone())).unwrap();
        store.ensure("postgres", &mut rng());
        store.set_ca(CaMaterial { certificate: "certificate".into(), key: Secret::new("key") });
        assert!(store.save().unwrap());
        fixture
    }

    fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.path, &self.identity, &self.recipients)
    }

    fn refused(&self, bytes: impl AsRef<[u8]>) -> StoreError {
        fs::write(&self.path, bytes).unwrap();
        self.open().unwrap_err()
    }
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

#[test]
fn what_was_saved_is_there_again() {
    let fixture = Fixture::with_store();
    let store = fixture.open().unwrap();
    assert_eq!(store.secret("postgres"), Some(&generate(&mut rng())));
    assert_eq!(store.secret("other"), None);
    assert_eq!(store.ca().unwrap().key.expose(), "key");
    assert_eq!(store.names().collect::<Vec<_>>(), ["postgres"]);
    assert!(store.require_cluster("lab").is_ok());
    assert!(store.require_cluster("prod").unwrap_err().to_string().contains("`lab`"));
    assert_eq!(fs::metadata(&fixture.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(fixture.dir.path()).unwrap().count(), 1, "no lock and no temporary file left");
    let sealed = fs::read_to_string(&fixture.path).unwrap();
    assert!(!sealed.contains(generate(&mut rng()).expose()));
}

#[test]
fn ensure_makes_a_secret_once() {
    let fixture = Fixture::with_store();
    let mut store = fixture.open().unwrap();
    let (kept, made) = store.ensure("postgres", &mut StdRng::seed_from_u64(8));
    assert!(!made && !store.is_dirty());
    assert_eq!(&kept, store.secret("postgres").unwrap());
    let (fresh, made) = store.ensure("replication", &mut StdRng::seed_from_u64(8));
    assert!(made && store.is_dirty());
    assert!(fresh.expose().len() >= 32 && fresh.expose().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_ne!(fresh, kept);
}

#[test]
fn a_save_without_changes_writes_nothing() {
    let fixture = Fixture::with_store();
    let before = fs::read(&fixture.path).unwrap();
    let mut store = fixture.open().unwrap();
    let (secret, ca) = (store.secret("postgres").unwrap().clone(), store.ca().unwrap().clone());
    store.set("postgres", secret);
    store.set_ca(ca);
    assert!(!store.rekey(Seal::Recipients(fixture.recipients.clone()), &fixture.identity).unwrap());
    store.remove("absent");
    assert!(!store.save().unwrap());
    assert_eq!(fs::read(&fixture.path).unwrap(), before);
    store.remove("postgres");
    assert!(store.save().unwrap());
    assert!(!store.save().unwrap(), "saved already");
    assert_eq!(fixture.open().unwrap().secret("postgres"), None);
}

#[test]
fn of_two_that_opened_it_the_second_is_refused_and_the_first_kept() {
    let fixture = Fixture::with_store();
    let (mut first, mut second) = (fixture.open().unwrap(), fixture.open().unwrap());
    first.ensure("a", &mut rng());
    second.ensure("b", &mut rng());
    first.save().unwrap();
    assert!(matches!(second.save(), Err(StoreError::Changed(_))));
    assert!(second.is_dirty());
    first.ensure("c", &mut rng());
    first.save().unwrap();
    assert_eq!(fixture.open().unwrap().names().collect::<Vec<_>>(), ["a", "c", "postgres"]);
    fs::remove_file(&fixture.path).unwrap();
    assert!(matches!(second.save(), Err(StoreError::Changed(_))), "a deleted store is not brought back");
}

#[test]
fn of_two_that_create_it_the_second_is_refused() {
    let fixture = Fixture::new();
    let create = || Store::create(&fixture.path, "lab", Seal::Recipients(fixture.recipients.clone()));
    let (mut first, mut second) = (create().unwrap(), create().unwrap());
    first.save().unwrap();
    assert!(matches!(second.save(), Err(StoreError::Exists(_))));
    assert!(matches!(create(), Err(StoreError::Exists(_))));
}

#[test]
fn a_failed_save_leaves_the_store_as_it_was() {
    let fixture = Fixture::with_store();
    let before = fs::read(&fixture.path).unwrap();
    let mut store = fixture.open().unwrap();
    store.ensure("a", &mut rng());
    let lock = crate::secrets::StoreLock::acquire(&fixture.path, "", std::time::Duration::ZERO).unwrap();
    assert!(matches!(store.save(), Err(StoreError::Locked { .. })));
    assert_eq!(fs::read(&fixture.path).unwrap(), before);
    drop(lock);
    assert!(store.save().unwrap());
}

#[test]
fn a_link_to_the_store_stays_a_link() {
    let fixture = Fixture::with_store();
    let link = fixture.dir.path().join("link.age");
    std::os::unix::fs::symlink(&fixture.path, &link).unwrap();
    let mut store = Store::open(&link, &fixture.identity, &fixture.recipients).unwrap();
    store.ensure("a", &mut rng());
    store.save().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fixture.open().unwrap().secret("a").is_some());
}

#[test]
fn a_wrong_identity_is_told_who_could_open_it() {
    let fixture = Fixture::with_store();
    let eve = NewIdentity::generate();
    // Whatever the inventory names: the file itself tells.
    let error = Store::open(&fixture.path, &eve.identity("eve").unwrap(), &BTreeSet::new()).unwrap_err();
    assert!(matches!(error, StoreError::WrongIdentity { .. }));
    let message = error.to_string();
    assert!(message.contains(eve.recipient().as_str()) && message.contains("eve"));
    assert!(error.hint().contains(fixture.recipients.first().unwrap().as_str()));
    let passphrase = Identity::from_passphrase(Secret::new("correct horse"), "DEPLOY_PASSPHRASE");
    let error = Store::open(&fixture.path, &passphrase, &fixture.recipients).unwrap_err();
    assert!(matches!(error, StoreError::NeedsIdentity { .. }));
}

#[test]
fn a_rekey_lets_others_in_and_never_out_whoever_does_it() {
    let fixture = Fixture::with_store();
    let (ben, before) = (NewIdentity::generate(), fs::read(&fixture.path).unwrap());
    let mut store = fixture.open().unwrap();
    let seal = |all: BTreeSet<Recipient>| Seal::Recipients(all);
    let alone = BTreeSet::from([ben.recipient().clone()]);
    let both: BTreeSet<Recipient> = alone.union(&fixture.recipients).cloned().collect();
    assert!(matches!(store.rekey(seal(BTreeSet::new()), &fixture.identity), Err(StoreError::WeakSeal)));
    let error = store.rekey(seal(alone.clone()), &fixture.identity).unwrap_err();
    assert!(matches!(error, StoreError::LockedOut { .. }));
    assert!(error.hint().contains(fixture.recipients.first().unwrap().as_str()), "{error}");
    assert_eq!(fs::read(&fixture.path).unwrap(), before);

    assert!(store.rekey(seal(both.clone()), &fixture.identity).unwrap());
    assert!(!store.rekey(seal(both.clone()), &fixture.identity).unwrap(), "nothing to do");
    assert_eq!(Store::sealed_to(&fixture.path).unwrap(), SealedTo::Recipients(both));
    let by_ben = ben.identity("ben").unwrap();
    let mut store = Store::open(&fixture.path, &by_ben, &BTreeSet::new()).unwrap();
    assert!(store.secret("postgres").is_some());
    assert!(store.rekey(seal(alone), &by_ben).unwrap());
    assert!(matches!(fixture.open(), Err(StoreError::WrongIdentity { .. })));
}

#[test]
fn a_store_of_another_program_is_opened_and_a_rekey_names_its_recipients() {
    use std::io::Write;
    let fixture = Fixture::with_store();
    let text = fixture.open().unwrap().body.write();
    let key: age::x25519::Recipient = fixture.recipients.first().unwrap().as_str().parse().unwrap();
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&key as &dyn age::Recipient)).unwrap();
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap();
    fs::write(&fixture.path, sealed).unwrap();

    assert_eq!(Store::sealed_to(&fixture.path).unwrap(), SealedTo::Unnamed);
    let eve = NewIdentity::generate().identity("eve").unwrap();
    let error = Store::open(&fixture.path, &eve, &fixture.recipients).unwrap_err();
    assert!(error.hint().contains(fixture.recipients.first().unwrap().as_str()), "{error}");
    let mut store = fixture.open().unwrap();
    assert!(store.rekey(Seal::Recipients(fixture.recipients.clone()), &fixture.identity).unwrap());
    let named = SealedTo::Recipients(fixture.recipients.clone());
    assert_eq!(Store::sealed_to(&fixture.path).unwrap(), named);
}

#[test]
fn while_one_holds_the_lock_nobody_else_writes() {
    let fixture = Fixture::with_store();
    let (mut first, mut second) = (fixture.open().unwrap(), fixture.open().unwrap());
    first.lock("deploy secrets edit").unwrap();
    second.ensure("b", &mut rng());
    let error = second.save().unwrap_err();
    assert!(error.to_string().contains("deploy secrets edit"), "{error}");
    first.ensure("a", &mut rng());
    assert!(first.save().unwrap(), "the holder itself writes");
    assert!(matches!(second.lock("late"), Err(StoreError::Locked { .. })));
    drop(first);
    assert!(matches!(second.lock("late"), Err(StoreError::Changed(_))));
}

#[test]
fn a_passphrase_stays_the_seal_over_saves() {
    let fixture = Fixture::new();
    let words = Secret::new("correct horse battery");
    assert!(Store::create(&fixture.path, "lab", Seal::Passphrase(Secret::new("short"))).is_err());
    Store::create(&fixture.path, "lab", Seal::Passphrase(words.clone())).unwrap().save().unwrap();
    assert_eq!(Store::sealed_to(&fixture.path).unwrap(), SealedTo::Passphrase);
    let by = |text: &str| Identity::from_passphrase(Secret::new(text), "DEPLOY_PASSPHRASE");
    let open = |identity: &Identity| Store::open(&fixture.path, identity, &BTreeSet::new());
    let mut store = open(&by(words.expose())).unwrap();
    store.ensure("a", &mut rng());
    store.save().unwrap();
    assert!(open(&by(words.expose())).unwrap().secret("a").is_some());
    assert!(matches!(open(&by("another horse battery")), Err(StoreError::WrongPassphrase { .. })));
    assert!(matches!(open(&fixture.identity), Err(StoreError::NeedsPassphrase { .. })));
}

#[test]
fn every_accident_has_its_own_words() {
    let fixture = Fixture::with_store();
    let good = fs::read_to_string(&fixture.path).unwrap();
    let conflict = format!("<<<<<<< HEAD\n{good}=======\n{good}>>>>>>> branch\n");
    assert!(matches!(fixture.refused(conflict), StoreError::MergeConflict(_)));
    let inner = good.replacen('\n', "\n<<<<<<< HEAD\n", 1);
    assert!(matches!(fixture.refused(inner), StoreError::MergeConflict(_)));
    assert!(matches!(fixture.refused("version: 1\n"), StoreError::NotEncrypted(_)));
    for damaged in ["", "\n\n", &good[..good.len() / 2], &good[..good.len() - 40], &good[10..]] {
        assert!(matches!(fixture.refused(damaged), StoreError::Damaged { .. }), "{damaged}");
    }
    assert!(matches!(fixture.refused([0xff, 0xfe, 0x00]), StoreError::Damaged { .. }));
    assert!(matches!(fixture.refused(vec![b'x'; 17 << 20]), StoreError::TooLarge(_)));
    let lines: Vec<_> = good.lines().collect();
    let missing_line = [&lines[..3], &lines[4..]].concat().join("\n");
    assert!(matches!(
        fixture.refused(missing_line),
        StoreError::Damaged { .. } | StoreError::WrongIdentity { .. }
    ));
    fs::remove_file(&fixture.path).unwrap();
    assert!(fixture.open().unwrap_err().hint().contains("deploy init"));
    assert!(matches!(
        Store::open(fixture.dir.path(), &fixture.identity, &BTreeSet::new()),
        Err(StoreError::Read { .. })
    ));
}

#[test]
fn any_changed_character_is_noticed_and_none_panics() {
    let fixture = Fixture::with_store();
    let good = fs::read(&fixture.path).unwrap();
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        fixture.refused(bad);
    }
}

#[test]
fn line_endings_of_another_system_are_no_damage() {
    let fixture = Fixture::with_store();
    let good = fs::read_to_string(&fixture.path).unwrap();
    fs::write(&fixture.path, good.replace('\n', "\r\n")).unwrap();
    fixture.open().unwrap();
}

#[test]
fn a_text_that_is_not_a_stores_is_explained() {
    let fixture = Fixture::new();
    let seal = Seal::Recipients(fixture.recipients.clone());
    let later = fixture.refused(seal.close("version: 2\n").unwrap());
    assert!(matches!(later, StoreError::Contents { source: BodyError::Version(2), .. }));
    let nobody = fixture.refused(seal.close("version: 1\ncluster: lab\n").unwrap());
    assert!(matches!(nobody, StoreError::NoRecipients(_)));
}
