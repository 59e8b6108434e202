//! Aligned columns that read well without colour.

use console::style;

/// What a cell says by its colour, beside its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
}

/// One cell.
#[derive(Debug, Clone)]
pub struct Cell(pub String, pub Tone);

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self(text.into(), Tone::Plain)
    }
}

impl Cell {
    /// Good where `good` holds, else bad.
    pub fn judged(text: impl Into<String>, good: bool) -> Self {
        Self(text.into(), if good { Tone::Good } else { Tone::Bad })
    }
}

/// `text` in the colour of its tone.
pub fn toned(text: &str, tone: Tone) -> String {
    match tone {
        Tone::Plain => text.to_owned(),
        Tone::Good => style(text).green().to_string(),
        Tone::Warn => style(text).yellow().to_string(),
        Tone::Bad => style(text).red().bold().to_string(),
    }
}

/// The rows under a heading, each column as wide as its widest cell; no space at the ends of lines.
pub fn table(heading: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|word| word.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.0.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = (String, usize)>| {
        let mut built = String::from(" ");
        let mut owed = 1;
        for ((shown, length), width) in cells.zip(&widths) {
            if length > 0 {
                built.push_str(&" ".repeat(owed));
                built.push_str(&shown);
                owed = 0;
            }
            owed += width - length + 2;
        }
        text.push_str(built.trim_end());
        text.push('\n');
    };
    line(&mut heading.iter().map(|word| (style(*word).dim().to_string(), word.chars().count())));
    for row in rows {
        line(&mut row.iter().map(|cell| (toned(&cell.0, cell.1), cell.0.chars().count())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_lines_end_without_space() {
        console::set_colors_enabled(false);
        let rows = [vec!["m1".into(), "".into(), "up".into()], vec!["worker".into(), "x".into(), "".into()]];
        let text = table(&["NODE", "K", "STATE"], &rows);
        assert_eq!(text, "  NODE    K  STATE\n  m1         up\n  worker  x\n");
    }
}
