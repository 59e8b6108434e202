//! What a node printed, as text that cannot repaint a terminal: somebody is about to read a plan there, and to say yes.

/// The text of `bytes`, with a replacement character for what controls a terminal or turns the direction of writing.
pub fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if !text.contains(controls) {
        return text.into_owned();
    }
    text.replace("\r\n", "\n").replace(controls, "\u{fffd}")
}

fn controls(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && !['\n', '\t'].contains(&c))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn nothing_a_node_prints_moves_the_cursor() {
        assert_eq!(plain("a\tb\r\nÄ\n".as_bytes()), "a\tb\nÄ\n");
        assert_eq!(plain(b"up\x1b[2K\rgone\x07"), "up\u{fffd}[2K\u{fffd}gone\u{fffd}");
        assert_eq!(plain("\u{202e}abc\u{9b}".as_bytes()), "\u{fffd}abc\u{fffd}");
    }
}
