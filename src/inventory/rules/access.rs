//! Who may come in: networks, recipients of the secret store; and kernel settings.

use super::names::{is_one_line, is_sysctl};
use super::{Findings, hba};
use crate::inventory::model::Inventory;
use crate::inventory::wording::quoted;

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    if inventory.firewall.enabled && inventory.access.admin.is_empty() {
        found.value(
            &["access", "admin"],
            "nobody may use SSH: the firewall would lock everyone out",
            "name the networks that you administer from, or set `firewall.enabled: false`",
        );
    }
    for (index, line) in inventory.postgresql.hba.iter().enumerate() {
        if let Some((message, hint)) = hba::check(line) {
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
