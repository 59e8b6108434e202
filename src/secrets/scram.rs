//! SCRAM-SHA-256 verifiers as PostgreSQL stores them, so that a password itself never travels in SQL.
//!
//! The form is `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (RFC 5803, RFC 7677). Pure: the salt comes in.
//! SASLprep (RFC 4013) is not applied: for printable ASCII, of which every generated password is made, it changes
//! nothing; a password with other characters may be one that clients cannot log in with.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::{hmac, pbkdf2};
use zeroize::Zeroizing;

use super::secret::{Secret, same_bytes};

/// More than any server is set to; a verifier that asks for more is not computed.
const MAX_ITERATIONS: u32 = 1_000_000;

/// The verifier of `password`; PostgreSQL's own default is 4096 iterations.
pub fn scram_verifier(password: &Secret, salt: &[u8; 16], iterations: u32) -> String {
    let keys = Keys::derive(password, salt, iterations.max(1));
    format!(
        "SCRAM-SHA-256${}:{}${}:{}",
        iterations.max(1),
        STANDARD.encode(salt),
        STANDARD.encode(keys.stored),
        STANDARD.encode(keys.server)
    )
}

/// A salt of its own for each role and password, the same one each time, so that a plan is a pure function. Servers show a salt
/// to whoever names a role: it hangs on `key`, which is nobody's to guess, so that no guess at a password can be tried on it.
pub fn scram_salt(key: &Secret, role: &str, password: &Secret) -> [u8; 16] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    let text = Zeroizing::new(format!("deploy scram salt\0{role}\0{}", password.expose()));
    let mut salt = [0; 16];
    salt.iter_mut().zip(hmac::sign(&key, text.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    salt
}

/// Whether `verifier`, as read from `pg_authid`, is one of `password`. Anything that is not a verifier is not.
pub fn scram_matches(verifier: &str, password: &Secret) -> bool {
    let Some(parts) = Parts::parse(verifier) else { return false };
    let keys = Keys::derive(password, &parts.salt, parts.iterations);
    same_bytes(&keys.stored, &parts.stored) & same_bytes(&keys.server, &parts.server)
}

struct Keys {
    stored: [u8; 32],
    server: [u8; 32],
}

impl Keys {
    fn derive(password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let mut salted = Zeroizing::new([0; 32]);
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let password = password.expose().as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, &mut *salted);
        let client = Zeroizing::new(keyed(&salted, b"Client Key"));
        Self { stored: fixed(digest(&SHA256, &*client).as_ref()), server: keyed(&salted, b"Server Key") }
    }
}

fn keyed(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    fixed(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

/// The bytes of a hash, which are as many as SHA-256 has.
fn fixed(hash: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    bytes
}

/// A verifier as it was read; nothing says that its keys have the right length.
struct Parts {
    iterations: u32,
    salt: Vec<u8>,
    stored: Vec<u8>,
    server: Vec<u8>,
}

impl Parts {
    fn parse(verifier: &str) -> Option<Self> {
        let (head, keys) = verifier.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        Some(Self {
            iterations: iterations.parse().ok().filter(|count| (1..=MAX_ITERATIONS).contains(count))?,
            salt: STANDARD.decode(salt).ok()?,
            stored: STANDARD.decode(stored).ok()?,
            server: STANDARD.decode(server).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange printed in RFC 7677 § 3: password `pencil`.
    const RFC_7677: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn the_verifier_is_the_one_of_the_rfc() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        assert_eq!(scram_verifier(&Secret::new("pencil"), &salt, 4096), RFC_7677);
    }

    #[test]
    fn a_salt_hangs_on_role_password_and_key() {
        let salt =
            |key: &str, role, password: &str| scram_salt(&Secret::new(key), role, &Secret::new(password));
        assert_eq!(salt("k", "app", "x"), salt("k", "app", "x"));
        for other in [salt("l", "app", "x"), salt("k", "ops", "x"), salt("k", "app", "y")] {
            assert_ne!(salt("k", "app", "x"), other);
        }
    }

    #[test]
    fn only_the_right_password_matches() {
        assert!(scram_matches(RFC_7677, &Secret::new("pencil")));
        assert!(!scram_matches(RFC_7677, &Secret::new("pencils")));
    }

    #[test]
    fn what_is_not_a_verifier_matches_nothing() {
        let password = Secret::new("pencil");
        for text in [
            "",
            "pencil",
            "md5abc",
            "SCRAM-SHA-256$",
            "SCRAM-SHA-256$4096:!!$a:b",
            "SCRAM-SHA-256$0:AA==$AA==:AA==",
        ] {
            assert!(!scram_matches(text, &password), "{text}");
        }
        assert!(!scram_matches(&RFC_7677.replace("4096", "4294967295"), &password), "would take minutes");
        assert!(!scram_matches("SCRAM-SHA-256$1:AA==$:", &password), "empty keys");
    }
}
