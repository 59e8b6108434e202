//! Tables that a daemon prints as comma-separated lines under a heading.

use std::collections::BTreeMap;

/// The rows of each table in `text`: a table begins with a line that starts with one of `headings`, and every row is a
/// map from the names in that line. No value that is read here holds a comma.
pub fn tables(text: &str, headings: &[&str]) -> Vec<Vec<BTreeMap<String, String>>> {
    let mut all: Vec<Vec<BTreeMap<String, String>>> = Vec::new();
    let mut columns: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if headings.iter().any(|heading| line.starts_with(heading)) {
            columns = line.trim_start_matches("# ").split(',').collect();
            all.push(Vec::new());
        } else if let Some(rows) = all.last_mut() {
            let values = line.split(',').map(str::to_owned);
            rows.push(columns.iter().map(|column| (*column).to_owned()).zip(values).collect());
        }
    }
    all
}
