//! Who may come in: networks, `pg_hba.conf` lines, recipients of the secret store; and kernel settings.

use super::Findings;
use super::names::{is_one_line, is_sysctl};
use crate::inventory::model::Inventory;
use crate::inventory::wording::{listed, quoted};

const CONNECTIONS: [&str; 4] = ["local", "host", "hostssl", "hostnossl"];
const METHODS: [&str; 11] =
    ["reject", "scram-sha-256", "cert", "peer", "ldap", "radius", "gss", "pam", "md5", "password", "ident"];

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    if inventory.firewall.enabled && inventory.access.admin.is_empty() {
        found.value(
            &["access", "admin"],
            "nobody may use SSH: the firewall would lock everyone out",
            "name the networks that you administer from, or set `firewall.enabled: false`",
        );
    }
    for (index, line) in inventory.postgresql.hba.iter().enumerate() {
        if let Some((message, hint)) = hba(line) {
            found.value(&["postgresql", "hba", &index.to_string()], message, hint);
        }
    }
    for (index, recipient) in inventory.trust.recipients.iter().enumerate() {
        if let Err(error) = recipient.parse::<age::x25519::Recipient>() {
            let secret = recipient.to_ascii_uppercase().starts_with("AGE-SECRET-KEY");
            // A private key is not repeated on the screen.
            let message = if secret {
                "this is a private key, which must not stand in an inventory".to_owned()
            } else {
                format!("{} is not an age recipient: {error}", quoted(recipient))
            };
            let hint = if secret {
                "make a new key, and write its public part here: `age1…`"
            } else {
                "write the public key of an identity: `age1…`, 62 characters"
            };
            found.value(&["trust", "recipients", &index.to_string()], message, hint);
        }
    }
    for (key, value) in &inventory.kernel.sysctl {
        if !is_sysctl(key) {
            found.key(
                &["kernel", "sysctl", key],
                format!("{} is not the name of a kernel parameter", quoted(key)),
                "write it with dots, as in `net.core.somaxconn`",
            );
        }
        let text = value.to_string();
        if !is_one_line(&text) || text.trim().is_empty() {
            found.value(&["kernel", "sysctl", key], "the value must be one line of text", "");
        }
    }
}

/// What is wrong with a line of `pg_hba.conf`.
fn hba(line: &str) -> Option<(String, String)> {
    if !is_one_line(line) {
        return Some((
            "a `pg_hba.conf` line must be one line".into(),
            "give each line an item of its own".into(),
        ));
    }
    let fields: Vec<&str> = line.split_whitespace().take_while(|field| !field.starts_with('#')).collect();
    let Some(kind) = fields.first().filter(|kind| CONNECTIONS.contains(kind)) else {
        let message = format!("{} does not begin with a type of connection", quoted(line));
        return Some((message, format!("begin with {}", listed(CONNECTIONS, "or"))));
    };
    let method = if *kind == "local" { 3 } else { 4 };
    // Between address and method a netmask may stand.
    let has_method = [method, method + usize::from(*kind != "local")]
        .iter()
        .any(|at| fields.get(*at).is_some_and(|field| METHODS.contains(field)));
    if fields.get(method..).is_some_and(|rest| rest.first() == Some(&"trust")) {
        let message = format!("{} lets anyone in without a password", quoted(line));
        return Some((message, "use `scram-sha-256`, `cert` or, for `local`, `peer`".into()));
    }
    (!has_method).then(|| {
        let shape = if *kind == "local" {
            "local DATABASE USER METHOD"
        } else {
            "hostssl DATABASE USER ADDRESS METHOD"
        };
        (format!("{} is not a complete `pg_hba.conf` line", quoted(line)), format!("write `{shape}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::hba;

    #[test]
    fn hba_lines() {
        for good in [
            "hostssl all all 10.0.0.0/8 scram-sha-256",
            "hostssl app app 10.0.0.0 255.0.0.0 cert clientcert=verify-full",
            "local all postgres peer # the admin",
            "hostnossl all all all reject",
        ] {
            assert_eq!(hba(good), None, "{good}");
        }
        for bad in [
            "",
            "# comment",
            "hostsll all all all reject",
            "host all all",
            "host all all 10.0.0.0/8 trust",
            "local all all trust",
            "host a b c\nhost d",
        ] {
            assert!(hba(bad).is_some(), "{bad}");
        }
    }
}
