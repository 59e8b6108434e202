//! Where each value of an inventory stands in its file: from a path inside the document to line and column.

use std::collections::BTreeMap;

/// A stretch of one line. Line and column count from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Characters, at least 1.
    pub length: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Spot {
    key: Option<Place>,
    value: Option<Place>,
}

/// The places of all values, found by JSON pointer (RFC 6901).
#[derive(Debug, Clone, Default)]
pub struct Places(BTreeMap<String, Spot>);

impl Places {
    /// Notes the place of the value at `pointer`; for a mapping or a list that is where it begins.
    pub(super) fn set_value(&mut self, pointer: &str, place: Place) {
        self.0.entry(pointer.to_owned()).or_default().value = Some(place);
    }

    /// Notes the place of the key that leads to the value at `pointer`.
    pub(super) fn set_key(&mut self, pointer: &str, place: Place) {
        self.0.entry(pointer.to_owned()).or_default().key = Some(place);
    }

    /// The place of a value; where the file leaves it out, that of the nearest thing around it that it has.
    pub fn value(&self, pointer: &str) -> Option<Place> {
        self.0.get(pointer).and_then(|spot| spot.value.or(spot.key)).or_else(|| self.around(pointer))
    }

    /// The place of the key of a value, or of the value where it has no key (an item of a list).
    pub fn key(&self, pointer: &str) -> Option<Place> {
        self.0.get(pointer).and_then(|spot| spot.key.or(spot.value)).or_else(|| self.around(pointer))
    }

    /// Whether the file holds this value, rather than leaving it to its default.
    pub fn has(&self, pointer: &str) -> bool {
        self.0.contains_key(pointer)
    }

    fn around(&self, pointer: &str) -> Option<Place> {
        let (parent, _) = pointer.rsplit_once('/')?;
        if parent.is_empty() { None } else { self.key(parent) }
    }
}

/// The JSON pointer of a path of keys.
pub fn pointer(path: &[&str]) -> String {
    path.iter().fold(String::new(), |pointer, key| join(&pointer, key))
}

/// The pointer of a child: `join("/nodes", "n1")` is `/nodes/n1`.
pub fn join(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The last key of a pointer, unescaped; empty for the root.
pub fn last(pointer: &str) -> String {
    let (_, key) = pointer.rsplit_once('/').unwrap_or_default();
    key.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_value_is_shown_at_what_surrounds_it() {
        let at = |line| Place { line, column: 1, length: 1 };
        let mut places = Places::default();
        places.set_key("/patroni", at(3));
        places.set_value("/patroni", at(4));
        assert_eq!(places.value("/patroni/ttl"), Some(at(3)));
        assert_eq!(places.value("/etcd/quota_mib"), None);
        assert_eq!(places.key("/patroni"), Some(at(3)));
    }

    #[test]
    fn pointers_escape_their_separators() {
        assert_eq!(pointer(&["nodes", "a/b~c"]), "/nodes/a~1b~0c");
        assert_eq!(last("/nodes/a~1b~0c"), "a/b~c");
    }
}
