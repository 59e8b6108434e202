//! What is wrong with an inventory, and how it is shown: message, source line, caret, hint. Plain text, no colours.

use std::fmt;

use super::places::Place;
use super::wording::{masked, visible};

/// Characters of a source line that are shown; longer lines are cropped around the caret.
const WIDTH: usize = 100;

/// Problems that are shown; a list beyond this has one cause.
const SHOWN: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; `None` when it is about the file as a whole.
    pub place: Option<Place>,
    /// What is wrong: lowercase, one line.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Everything that is wrong with one inventory, in the order of its lines, with the text it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    name: String,
    source: String,
    list: Vec<Problem>,
}

impl Problems {
    /// Sorts the problems by place and drops repetitions (an alias repeats the problems of its anchor). What the
    /// messages took over from the file loses its power over a terminal.
    pub fn new(name: &str, source: &str, mut list: Vec<Problem>) -> Self {
        let harmless = |text: &str| -> String { masked(text).chars().map(visible).collect() };
        for problem in &mut list {
            problem.message = harmless(&problem.message);
            problem.hint = problem.hint.as_deref().map(harmless);
        }
        list.sort_by(|a, b| (a.place, &a.message).cmp(&(b.place, &b.message)));
        list.dedup();
        Self { name: name.into(), source: source.into(), list }
    }

    /// The problems in the order of the file.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    fn render(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match problem.place {
            None => writeln!(f, "{}: {}", self.name, problem.message)?,
            Some(place) => {
                writeln!(f, "{}:{}:{}: {}", self.name, place.line, place.column, problem.message)?;
                if let Some(line) = self.source.lines().nth(place.line.saturating_sub(1)) {
                    let (text, before, marked) = excerpt(line, place);
                    let number = place.line.to_string();
                    let gutter = " ".repeat(number.len());
                    writeln!(f, "{gutter} |")?;
                    writeln!(f, "{number} | {text}")?;
                    writeln!(f, "{gutter} | {}{}", " ".repeat(before), "^".repeat(marked))?;
                }
            }
        }
        if let Some(hint) = &problem.hint {
            writeln!(f, "hint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().take(SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.render(problem, f)?;
        }
        match self.list.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "\n{more} more problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// The part of a line to show, the columns in front of the caret and the carets' number.
fn excerpt(line: &str, place: Place) -> (String, usize, usize) {
    let line = masked(line.strip_prefix('\u{feff}').unwrap_or(line));
    let total = line.chars().count();
    let start = (place.column - 1).min(total);
    let end = (start + place.length.max(1)).min(total.max(start + 1));
    let (from, to) = if total <= WIDTH {
        (0, total)
    } else {
        let from = start.saturating_sub(WIDTH / 3).min(total - WIDTH);
        (from, from + WIDTH)
    };
    let shown = |from: usize, to: usize| -> String {
        line.chars()
            .skip(from)
            .take(to.saturating_sub(from))
            .map(|c| if c == '\t' { " ".into() } else { visible(c) })
            .collect()
    };
    let lead = if from > 0 { "…" } else { "" };
    let tail = if to < total { "…" } else { "" };
    let before = lead.chars().count() + shown(from, start).chars().count();
    let marked = shown(start, end.min(to.max(start))).chars().count().max(1);
    (format!("{lead}{}{tail}", shown(from, to)), before, marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str, line: usize, column: usize, length: usize) -> String {
        let problem = Problem {
            place: Some(Place { line, column, length }),
            message: "wrong".into(),
            hint: Some("mend it".into()),
        };
        Problems::new("c.yaml", source, vec![problem]).to_string()
    }

    #[test]
    fn the_caret_stands_under_the_value() {
        assert_eq!(
            shown("a: 1\nname: Lab\n", 2, 7, 3),
            "c.yaml:2:7: wrong\n  |\n2 | name: Lab\n  |       ^^^\nhint: mend it\n"
        );
    }

    #[test]
    fn escaped_characters_move_the_caret() {
        assert_eq!(
            shown("\u{1b}x: y", 1, 5, 1),
            "c.yaml:1:5: wrong\n  |\n1 | \\u{1b}x: y\n  |          ^\nhint: mend it\n"
        );
    }

    #[test]
    fn messages_cannot_carry_control_characters() {
        let problem =
            Problem { place: None, message: "a\u{1b}[2Jb".into(), hint: Some("did you mean `\r`?".into()) };
        let shown = Problems::new("c.yaml", "", vec![problem]).to_string();
        assert_eq!(shown, "c.yaml: a\\u{1b}[2Jb\nhint: did you mean `\\r`?\n");
    }

    #[test]
    fn long_lines_are_cropped_and_odd_places_survive() {
        let long = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let text = shown(&long, 1, 5001, 1);
        let lines: Vec<&str> = text.lines().collect();
        let at = lines[3].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[2].chars().nth(at), Some('X'));
        assert!(lines[2].chars().count() < WIDTH + 10);
        for (line, column, length) in [(1, 1, 0), (1, 900, 9), (9, 1, 1), (1, 1, 99_999)] {
            assert!(!shown("ab", line, column, length).is_empty());
        }
        assert!(!shown(&long, 1, 9000, 99_999).is_empty());
    }
}
