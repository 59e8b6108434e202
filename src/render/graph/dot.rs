//! Graphviz.

use std::fmt::Write;

use super::{Graph, id, lines, nodes};

impl Graph {
    /// As Graphviz draws it.
    pub fn dot(&self) -> String {
        let mut text = String::from("digraph cluster {\n    rankdir=LR;\n    node [shape=box];\n");
        for (name, title) in self.outside() {
            let _ = writeln!(text, "    {} [shape=oval, label=\"{title}\"];", id(name));
        }
        for (role, placed) in &self.roles {
            let _ = writeln!(text, "    {} [label=\"{}\\n{}\"];", id(role), plain(role), nodes(placed));
        }
        for ((from, to), ways) in &self.edges {
            let label: Vec<String> = lines(ways).iter().map(|line| plain(line)).collect();
            let _ = writeln!(text, "    {} -> {} [label=\"{}\"];", id(from), id(to), label.join("\\n"));
        }
        text.push_str("}\n");
        text
    }
}

/// A text that stays within its quotes.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace(char::is_control, " ")
}
