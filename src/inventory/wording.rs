//! Words shared by the messages about an inventory: quoting what a file says, lists, and likely misspellings.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters of a quoted value that a message shows.
const SHOWN: usize = 60;

/// So many of what `word` names, which takes an s.
pub fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// `text` in backticks, fit for one line of a terminal: control characters escaped, cropped when long.
pub fn quoted(text: &str) -> String {
    let mut shown: String = masked(text).chars().take(SHOWN).map(visible).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// `text` with the body of any age private key replaced by as many stars.
pub fn masked(text: &str) -> Cow<'_, str> {
    const MARK: &str = "AGE-SECRET-KEY-";
    let upper = text.to_ascii_uppercase();
    if !upper.contains(MARK) {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = upper[from..].find(MARK) {
        let (before, key) = text[from..].split_at(at + MARK.len());
        let end = key.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(key.len());
        masked.push_str(before);
        masked.push_str(&"*".repeat(end));
        from += before.len() + end;
    }
    masked.push_str(&text[from..]);
    Cow::Owned(masked)
}

/// A character as itself, or escaped where it would move the cursor, hide or reorder the text around it.
pub fn visible(character: char) -> String {
    let hidden = character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    if hidden { character.escape_default().to_string() } else { character.to_string() }
}

/// The words quoted and joined: "`a`, `b` and `c`".
pub fn listed<I: IntoIterator<Item = S>, S: AsRef<str>>(words: I, before_last: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| quoted(word.as_ref())).collect();
    joined(&words, before_last)
}

/// Phrases joined by commas, and by `before_last` in front of the last one.
pub fn joined(phrases: &[String], before_last: &str) -> String {
    let mut text = String::new();
    for (index, phrase) in phrases.iter().enumerate() {
        let separator = match index {
            0 => String::new(),
            _ if index + 1 == phrases.len() => format!(" {before_last} "),
            _ => ", ".into(),
        };
        let _ = write!(text, "{separator}{phrase}");
    }
    text
}

/// The candidate that `word` is most likely a misspelling of.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let allowed = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| {
            let normal = candidate.to_ascii_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&word, &normal), candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_leaves_nothing_that_a_terminal_would_obey() {
        assert_eq!(quoted("a\u{1b}[31m\n\u{202e}b"), "`a\\u{1b}[31m\\n\\u{202e}b`");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), SHOWN + 3);
    }

    #[test]
    fn misspellings_are_recognised_and_strangers_are_not() {
        let words = ["shared_buffers", "work_mem", "wal_level"];
        assert_eq!(closest("shared_bufers", words), Some("shared_buffers"));
        assert_eq!(closest("work-mem", words), Some("work_mem"));
        assert_eq!(closest("colour", words), None);
    }

    #[test]
    fn lists_read_as_a_sentence() {
        assert_eq!(listed(["a"], "and"), "`a`");
        assert_eq!(listed(["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
