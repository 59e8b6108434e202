//! How one logs in to a node, as the inventory says.

use std::path::{Path, PathBuf};

use super::quote;
use crate::cluster::Node;
use crate::inventory::Ssh;

/// Everything that the inventory says of logging in to one node.
#[derive(Debug)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Host name or address.
    pub host: String,
    /// The port, where the inventory says one.
    pub port: Option<u16>,
    /// A private key.
    pub key: Option<PathBuf>,
    /// A configuration of the SSH client.
    pub config: Option<PathBuf>,
}

impl Login {
    /// What the inventory in the folder `dir` says of `node`.
    pub fn new(ssh: &Ssh, dir: &Path, node: &Node) -> Self {
        let file = |path: &Option<String>| path.as_ref().map(|path| resolve(dir, path));
        Self {
            user: ssh.user.clone(),
            host: node.host.clone(),
            port: node.port,
            key: file(&ssh.key),
            config: file(&ssh.config),
        }
    }

    /// The command that logs in just so, for people.
    pub fn command(&self) -> String {
        let mut words = vec!["ssh".to_owned()];
        let mut option = |name: &str, value: Option<String>| {
            words.extend(value.into_iter().flat_map(|value| [name.to_owned(), quote(&value)]));
        };
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        option("-F", text(&self.config));
        option("-i", text(&self.key));
        option("-p", self.port.map(|port| port.to_string()));
        words.push(quote(&format!("{}@{}", self.user, self.host)));
        words.join(" ")
    }

    /// What files of known host keys call it.
    pub fn known_as(&self) -> String {
        match self.port {
            None | Some(22) => self.host.clone(),
            Some(port) => format!("[{}]:{port}", self.host),
        }
    }
}

/// `path` as the user of an inventory means it: `~` is the home folder, anything relative starts at the inventory.
pub fn resolve(dir: &Path, path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => dir.join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_every_word_of_the_inventory_and_no_other() {
        let mut login =
            Login { user: "root".into(), host: "10.0.0.11".into(), port: None, key: None, config: None };
        assert_eq!(login.command(), "ssh root@10.0.0.11");
        login.port = Some(2222);
        login.key = Some(resolve(Path::new("my shop"), "id"));
        login.config = Some(resolve(Path::new("my shop"), "/etc/ssh/jump"));
        assert_eq!(login.command(), "ssh -F /etc/ssh/jump -i 'my shop/id' -p 2222 root@10.0.0.11");
        let home = std::env::home_dir().unwrap();
        assert_eq!(resolve(Path::new("shop"), "~/.ssh/id"), home.join(".ssh/id"));
    }

    #[test]
    fn a_host_key_is_known_by_its_port_where_that_is_not_22() {
        let known =
            |port| Login { user: "root".into(), host: "n1".into(), port, key: None, config: None }.known_as();
        assert_eq!([known(None), known(Some(22)), known(Some(2222))], ["n1", "n1", "[n1]:2222"]);
    }
}
