//! The files that an inventory names beside its roles: certificates of the user's own, and what SSH needs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::inventory::{Inventory, Ssh};
use crate::pki::{OwnCertificate, Unfit};
use crate::secrets::Secret;
use crate::transport::resolve;

/// A path in the inventory, what is wrong with its value, and what to do.
pub type Unfitting = (Vec<String>, String, String);

/// The certificates that applications bring, and what is wrong with them.
pub fn own_certificates(
    inventory: &Inventory,
    dir: &Path,
) -> (BTreeMap<String, OwnCertificate>, Vec<Unfitting>) {
    let (mut all, mut unfit) = (BTreeMap::new(), Vec::new());
    for (name, application) in &inventory.applications {
        let Some(files) = &application.certificate else { continue };
        let mut refuse = |field: &str, message: String, hint: &str| {
            let path = ["applications", name, "certificate", field].map(str::to_owned).to_vec();
            unfit.push((path, message, hint.to_owned()));
        };
        let mut read = |field: &str, path: &str| match std::fs::read_to_string(dir.join(path)) {
            Ok(text) => Some(text.trim_end().to_owned() + "\n"),
            Err(error) => {
                refuse(
                    field,
                    format!("cannot read {}: {error}", dir.join(path).display()),
                    "name a file, relative to the inventory",
                );
                None
            }
        };
        let (chain, key) = (read("chain", &files.chain), read("key", &files.key));
        let (Some(chain), Some(key)) = (chain, key) else { continue };
        let own = OwnCertificate { path: files.chain.clone(), chain, key: Secret::new(key) };
        if let Err(why) = own.check(&application.hosts) {
            let (field, hint) = match why {
                Unfit::Chain(_) => ("chain", "give a file of PEM certificates, that of the host first"),
                Unfit::Names { .. } => ("chain", "have it made for every host name, or change `hosts`"),
                Unfit::Key => ("key", "give a PEM file of a key without a passphrase"),
                Unfit::Mismatch(_) => ("key", "give the key that the certificate was made with"),
            };
            refuse(field, format!("{}: {why}", if field == "key" { &files.key } else { &files.chain }), hint);
        }
        all.insert(name.clone(), own);
    }
    (all, unfit)
}

/// The files of SSH that are named and not there.
pub fn missing_ssh(ssh: &Ssh, dir: &Path) -> Vec<Unfitting> {
    let refuse = |field: &str, file: &Path, error: std::io::Error, hint: &str| {
        let path = ["ssh", field].map(str::to_owned).to_vec();
        (path, format!("cannot read {}: {error}", file.display()), hint.to_owned())
    };
    let config = ssh.config.as_ref().map(|config| resolve(dir, config)).and_then(|file| {
        let error = std::fs::File::open(&file).err()?;
        let hint = "name a configuration of the SSH client, relative to the inventory; `deploy lab up` makes that of a lab";
        Some(refuse("config", &file, error, hint))
    });
    let key = ssh.key.as_ref().map(|key| resolve(dir, key)).and_then(|file| {
        let error = std::fs::metadata(&file).err()?;
        // Its public half is enough where an agent has the key.
        let hint = "name the file of a private key, relative to the inventory";
        (!public_half(&file).exists()).then(|| refuse("key", &file, error, hint))
    });
    config.into_iter().chain(key).collect()
}

fn public_half(key: &Path) -> PathBuf {
    let mut name = OsString::from(key);
    name.push(".pub");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_be_there_by_its_public_half_alone() {
        let folder = tempfile::tempdir().unwrap();
        let ssh = Ssh { key: Some("id".into()), config: Some("ssh_config".into()), ..Ssh::default() };
        let fields = || {
            let missing = missing_ssh(&ssh, folder.path()).into_iter();
            missing.map(|(path, ..)| path.join(".")).collect::<Vec<_>>()
        };
        assert_eq!(fields(), ["ssh.config", "ssh.key"]);
        std::fs::write(folder.path().join("id.pub"), "x").unwrap();
        std::fs::write(folder.path().join("ssh_config"), "").unwrap();
        assert_eq!(fields(), [""; 0]);
    }
}
