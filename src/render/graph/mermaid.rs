//! Mermaid, which README files and merge requests draw.

use std::fmt::Write;

use super::{Graph, id, lines, nodes};

impl Graph {
    /// As Mermaid. Roles that are changed have the class `changed`.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        for (name, title) in self.outside() {
            let _ = writeln!(text, "    {}([\"{title}\"])", id(name));
        }
        for (role, placed) in &self.roles {
            let _ = writeln!(text, "    {}[\"{}<br>{}\"]", id(role), plain(role), nodes(placed));
        }
        for ((from, to), ways) in &self.edges {
            let label: Vec<String> = lines(ways).iter().map(|line| plain(line)).collect();
            let _ = writeln!(text, "    {} -- \"{}\" --> {}", id(from), label.join("<br>"), id(to));
        }
        if !self.changed.is_empty() {
            let changed: Vec<String> = self.changed.iter().map(|role| id(role)).collect();
            text.push_str("    classDef changed stroke:#d97706,stroke-width:3px\n");
            let _ = writeln!(text, "    class {} changed", changed.join(","));
        }
        text
    }
}

/// A text that is nothing but text within quotes, and that closes no fence around the picture.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '&' => out.push_str("#amp;"),
            '#' => out.push_str("#35;"),
            '`' => out.push('\''),
            sign if sign.is_control() => out.push(' '),
            sign => out.push(sign),
        }
    }
    out
}
