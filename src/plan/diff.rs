//! What changes in a file, as a unified diff that shows no secret. Pure.

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
    let compared = TextDiff::from_lines(old.as_str(), diff.new.as_str());
    for group in compared.grouped_ops(3) {
        if !text.is_empty() {
            text.push_str("…\n");
        }
        for op in group {
            for change in compared.iter_changes(&op) {
                let (sign, line) = match change.tag() {
                    ChangeTag::Delete if diff.secret => ('-', masked(change.value(), &heads)),
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

/// A removed line of a file with secrets: anything that could be an old one is masked, and what stands where a new one is.
fn masked(line: &str, heads: &[&str]) -> String {
    if let Some(head) = heads.iter().find(|head| !head.trim().is_empty() && line.starts_with(**head)) {
        return format!("{head}‹secret›");
    }
    let word = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let mut text = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(word) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !word(c)).unwrap_or(from.len());
        text.push_str(before);
        text.push_str(if end >= 20 { "‹secret›" } else { &from[..end] });
        rest = &from[end..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_secret_is_masked_and_ordinary_words_are_not() {
        assert_eq!(
            masked("\"pgbouncer\" \"0123456789abcdef0123456789abcdef\"\n", &[]),
            "\"pgbouncer\" \"‹secret›\"\n"
        );
        assert_eq!(masked("  auth_pass \"12345678\"\n", &["  auth_pass \""]), "  auth_pass \"‹secret›");
        assert_eq!(masked("  priority 100\n", &["  auth_pass \"", ""]), "  priority 100\n");
    }

    #[test]
    fn equal_texts_have_no_diff() {
        let diff =
            |old: &str, new: &str| unified(&Diff { old: Some(old.into()), new: new.into(), secret: false });
        assert_eq!(diff("a\n", "a\n"), None);
        assert_eq!(diff("a\nb\n", "a\nc\n").unwrap(), " a\n-b\n+c\n");
    }
}
