//! The recipients of a sealed text, named in the clear in its header, so that whoever cannot open it learns who can.
//!
//! age's own stanzas do not tell whom they are for. Each recipient gets a second stanza beside age's, which only names
//! it; the header's authentication covers both, and every age program passes over stanzas that it does not know.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::str::FromStr;

use age::armor::ArmoredReader;
use age::{DecryptError, Decryptor, EncryptError};
use age_core::format::{FileKey, Stanza};

use super::recipient::Recipient;

/// The tag of a stanza that names a recipient.
const TAG: &str = "deploy-recipient";

/// A recipient whose name goes into the header with the key that is wrapped for it.
pub(super) struct Named(age::x25519::Recipient);

impl Named {
    pub fn new(recipient: &Recipient) -> Option<Self> {
        age::x25519::Recipient::from_str(recipient.as_str()).ok().map(Self)
    }
}

impl age::Recipient for Named {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let (mut stanzas, labels) = self.0.wrap_file_key(key)?;
        stanzas.push(Stanza { tag: TAG.into(), args: vec![self.0.to_string()], body: Vec::new() });
        Ok((stanzas, labels))
    }
}

/// The recipients that the header of an age file names; none where it cannot be read, or was sealed by something else.
pub(super) fn recipients(sealed: &[u8]) -> BTreeSet<Recipient> {
    let reader = Reader::default();
    if let Ok(decryptor) = Decryptor::new_buffered(ArmoredReader::new(sealed)) {
        // It opens nothing: it only listens to what every identity is shown.
        let _ = decryptor.decrypt(std::iter::once(&reader as &dyn age::Identity));
    }
    reader.0.into_inner()
}

#[derive(Default)]
struct Reader(RefCell<BTreeSet<Recipient>>);

impl age::Identity for Reader {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag == TAG {
            self.0.borrow_mut().extend(stanza.args.iter().filter_map(|text| text.parse().ok()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{NewIdentity, Seal, Secret};

    #[test]
    fn whoever_cannot_open_it_reads_who_can() {
        let recipients_of = |count: usize| -> BTreeSet<Recipient> {
            (0..count).map(|_| NewIdentity::generate().recipient().clone()).collect()
        };
        for count in [1, 2, 20] {
            let all = recipients_of(count);
            assert_eq!(recipients(&Seal::Recipients(all.clone()).close("hello").unwrap()), all);
        }
        let sealed = Seal::Passphrase(Secret::new("correct horse battery")).close("hello").unwrap();
        assert!(recipients(&sealed).is_empty());
        assert!(recipients(b"hello").is_empty());
    }
}
