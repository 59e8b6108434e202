//! SVG, which every browser shows: no other program is needed.

use std::fmt::Write;

use super::layout::{Area, Layout, Size, Wanted, layout};
use super::{Graph, lines};
use crate::cluster::NodeName;
use crate::role::Peer;

/// Around everything.
const MARGIN: i32 = 24;
/// Between a border and what is in it.
const INSET: i32 = 10;
/// From one line of text to the next.
const LINE: i32 = 16;
/// Between boxes that no edge touches.
const APART: i32 = 18;
/// Most characters of nodes on a line.
const NODES: usize = 26;

const HEAD: &str = r##"<style>
  text { font-family: system-ui, "DejaVu Sans", Helvetica, Arial, sans-serif; font-size: 12px; fill: #1f2937; text-anchor: middle; }
  .name { font-weight: bold; font-size: 13px; }
  .among, .label { font-size: 11px; fill: #4b5563; }
  .box { fill: #eff6ff; stroke: #3b82f6; stroke-width: 1.2; }
  .outside { fill: #f3f4f6; stroke: #6b7280; stroke-width: 1.2; }
  .under { fill: #ffffff; }
  .edge { fill: none; stroke: #9ca3af; stroke-width: 1.3; }
</style>
<defs>
  <marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#6b7280"/></marker>
</defs>
"##;

/// A box: who it is for, and its lines of text with their classes.
struct Drawing<'a> {
    name: &'a str,
    title: &'a str,
    outside: bool,
    lines: Vec<(&'static str, String)>,
}

impl Drawing<'_> {
    fn size(&self) -> Size {
        let (width, height) = size(self.lines.iter().map(|(_, text)| text.as_str()));
        (width + 2 * INSET, height + INSET)
    }
}

impl Graph {
    /// As SVG: a box for each role, an edge with its ports for each pair of them, from clients on the left to what
    /// nobody but roles reaches on the right. Roles without an edge stand below.
    pub fn svg(&self) -> String {
        let (joined, alone): (Vec<Drawing>, Vec<Drawing>) =
            self.drawings().into_iter().partition(|drawing| self.joined(drawing.name));
        let at = |name: &Peer| joined.iter().position(|drawing| drawing.name == name);
        let mut labels = Vec::new();
        let mut wanted = Vec::new();
        for ((from, to), ways) in self.edges.iter().filter(|((from, to), _)| from != to) {
            let (Some(from), Some(to)) = (at(from), at(to)) else { continue };
            let label = lines(ways);
            let (width, height) = size(label.iter().map(String::as_str));
            wanted.push(Wanted { from, to, label: (width + INSET, height) });
            labels.push(label);
        }
        let sizes: Vec<Size> = joined.iter().map(Drawing::size).collect();
        let Layout { boxes, ways, size: (width, height) } = layout(&sizes, &wanted);
        let (below, (width, height)) = row(&alone, width, height);
        let (width, height) = (width + 2 * MARGIN, height + 2 * MARGIN);
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\">\n{HEAD}<rect class=\"under\" width=\"{width}\" height=\"{height}\"/>\n\
             <g transform=\"translate({MARGIN} {MARGIN})\">\n"
        );
        for way in &ways {
            let _ = writeln!(
                text,
                "<path class=\"edge\" marker-end=\"url(#arrow)\" d=\"{}\"/>",
                path(&way.points)
            );
        }
        for (way, label) in ways.iter().zip(&labels) {
            let Area { x, y, width, height } = way.label;
            let _ = writeln!(
                text,
                "<rect class=\"under\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
            );
            write_lines(&mut text, way.label, label.iter().map(|line| ("label", line.as_str())));
        }
        for (drawing, area) in joined.iter().chain(&alone).zip(boxes.iter().chain(&below)) {
            write_box(&mut text, drawing, *area);
        }
        text.push_str("</g>\n</svg>\n");
        text
    }

    /// Those outside first: the columns begin with them.
    fn drawings(&self) -> Vec<Drawing<'_>> {
        let outside = self.outside().map(|(name, title)| Drawing {
            name,
            title,
            outside: true,
            lines: vec![("name", title.to_owned())],
        });
        let roles = self.roles.iter().map(|(role, placed)| {
            let mut text = vec![("name", role.clone())];
            text.extend(wrapped(&placed.nodes).into_iter().map(|line| ("nodes", line)));
            let own = self.edges.get(&(role.clone(), role.clone()));
            let own = own.map(lines).unwrap_or_default().into_iter();
            text.extend(own.map(|line| ("among", format!("each other: {line}"))));
            Drawing { name: role, title: &placed.title, outside: false, lines: text }
        });
        outside.chain(roles).collect()
    }

    /// Whether an edge leads to another one.
    fn joined(&self, name: &str) -> bool {
        self.edges.keys().any(|(from, to)| from != to && (from == name || to == name))
    }
}

/// The nodes in lines.
fn wrapped<'a>(nodes: impl IntoIterator<Item = &'a NodeName>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for node in nodes {
        match lines.last_mut() {
            Some(line) if line.len() + node.as_str().len() < NODES => {
                line.push(' ');
                line.push_str(node.as_str());
            }
            _ => lines.push(node.to_string()),
        }
    }
    lines
}

/// The room that lines of text take, by the widest of the usual fonts.
fn size<'a>(lines: impl Iterator<Item = &'a str>) -> Size {
    let lengths: Vec<i32> =
        lines.map(|line| i32::try_from(line.chars().count()).unwrap_or(i32::MAX / 64)).collect();
    let longest = lengths.iter().max().copied().unwrap_or(0);
    (longest * 15 / 2, i32::try_from(lengths.len()).unwrap_or(0) * LINE + 4)
}

/// Places boxes below a picture of this size, side by side; with the size of the whole.
fn row(drawings: &[Drawing], width: i32, height: i32) -> (Vec<Area>, Size) {
    let (mut x, mut y, mut tallest) = (0, height + if height > 0 { 2 * APART } else { 0 }, 0);
    let (mut right, mut bottom) = (width, height);
    let mut areas = Vec::new();
    for drawing in drawings {
        let (wide, high) = drawing.size();
        if x > 0 && x + wide > width {
            (x, y, tallest) = (0, y + tallest + APART, 0);
        }
        areas.push(Area { x, y, width: wide, height: high });
        (right, bottom) = (right.max(x + wide), bottom.max(y + high));
        (x, tallest) = (x + wide + APART, tallest.max(high));
    }
    (areas, (right, bottom))
}

/// Level pieces, and between them curves that leave and arrive level.
fn path(points: &[(i32, i32)]) -> String {
    let mut text = String::new();
    for (number, (x, y)) in points.iter().enumerate() {
        let before = number.checked_sub(1).and_then(|before| points.get(before));
        let _ = match before {
            None => write!(text, "M{x} {y}"),
            Some((_, level)) if level == y => write!(text, " H{x}"),
            Some((from, level)) => {
                let middle = i32::midpoint(*from, *x);
                write!(text, " C{middle} {level} {middle} {y} {x} {y}")
            }
        };
    }
    text
}

fn write_box(text: &mut String, drawing: &Drawing, area: Area) {
    let Area { x, y, width, height } = area;
    let (class, round) = if drawing.outside { ("outside", height / 2) } else { ("box", 6) };
    let _ = writeln!(
        text,
        "<g><title>{}</title><rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\"/>",
        escaped(drawing.title)
    );
    write_lines(text, area, drawing.lines.iter().map(|(class, line)| (*class, line.as_str())));
    text.push_str("</g>\n");
}

/// Lines in the middle of their area.
fn write_lines<'a>(text: &mut String, area: Area, lines: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
    let high = i32::try_from(lines.len()).unwrap_or(0) * LINE;
    let x = area.x + area.width / 2;
    // The foot of a letter is a quarter of a line above its end.
    let mut y = area.y + (area.height - high) / 2 + LINE * 3 / 4;
    for (class, line) in lines {
        let _ = writeln!(text, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(line));
        y += LINE;
    }
}

/// A text that is nothing but text in XML, which knows no control characters.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    text.replace(char::is_control, " ")
}
