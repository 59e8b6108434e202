//! What changes in a file, as a unified diff that shows no secret. Pure.

use std::collections::BTreeSet;
use std::fmt::Write;

use similar::{ChangeTag, TextDiff};

use crate::resource::Diff;

/// A unified diff with three lines of context; `None` where the old text is not known or nothing differs.
pub fn unified(diff: &Diff) -> Option<String> {
    let old = diff.old.as_ref()?;
    let mut text = String::new();
    // How the lines with secrets begin.
    let heads: Vec<&str> =
        diff.new.lines().filter_map(|line| line.split_once('‹')).map(|(head, _)| head).collect();
    let known: BTreeSet<&str> = diff.new.split_whitespace().collect();
    let compared = TextDiff::from_lines(old.as_str(), diff.new.as_str());
    for group in compared.grouped_ops(3) {
        if !text.is_empty() {
            text.push_str("…\n");
        }
        for op in group {
            for change in compared.iter_changes(&op) {
                let (sign, line) = match change.tag() {
                    ChangeTag::Delete if diff.secret => ('-', masked(change.value(), &heads, &known)),
                    ChangeTag::Delete => ('-', change.value().to_owned()),
                    ChangeTag::Insert => ('+', change.value().to_owned()),
                    ChangeTag::Equal => (' ', change.value().to_owned()),
                };
                let _ = writeln!(text, "{sign}{}", line.trim_end_matches('\n'));
            }
        }
    }
    (!text.is_empty()).then_some(text)
}

/// A removed line of a file with secrets: where a secret stands now one stood before, and every other word is shown only
/// where the new text has it too, or where it is but a number.
fn masked(line: &str, heads: &[&str], known: &BTreeSet<&str>) -> String {
    if let Some(head) = heads.iter().find(|head| !head.trim().is_empty() && line.starts_with(**head)) {
        return format!("{head}‹hidden›");
    }
    let shown = |word: &str| {
        known.contains(word) || (word.len() < 6 && word.starts_with(|c: char| c.is_ascii_digit()))
    };
    let words = line.split_inclusive(char::is_whitespace).map(|piece| match piece.trim_end() {
        "" => piece.to_owned(),
        word if shown(word) => piece.to_owned(),
        word => piece.replace(word, "‹hidden›"),
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_secret_is_masked_and_ordinary_words_are_not() {
        let known = BTreeSet::from(["\"pgbouncer\"", "priority"]);
        let masked = |line, heads: &[&str]| masked(line, heads, &known);
        assert_eq!(
            masked("\"pgbouncer\" \"0123456789abcdef0123456789abcdef\"\n", &[]),
            "\"pgbouncer\" ‹hidden›\n"
        );
        assert_eq!(masked("  auth_pass \"12345678\"\n", &["  auth_pass \""]), "  auth_pass \"‹hidden›");
        assert_eq!(masked("  priority 100\n", &["  auth_pass \"", ""]), "  priority 100\n");
    }

    #[test]
    fn a_secret_of_a_line_that_goes_is_not_shown() {
        let old = "a\npassword=hunter2\npin: 12345678\n".to_owned();
        let diff = Diff { old: Some(old), new: "a\n".into(), secret: true };
        assert_eq!(unified(&diff).unwrap(), " a\n-‹hidden›\n-‹hidden› ‹hidden›\n");
    }

    #[test]
    fn equal_texts_have_no_diff() {
        let diff =
            |old: &str, new: &str| unified(&Diff { old: Some(old.into()), new: new.into(), secret: false });
        assert_eq!(diff("a\n", "a\n"), None);
        assert_eq!(diff("a\nb\n", "a\nc\n").unwrap(), " a\n-b\n+c\n");
    }
}
