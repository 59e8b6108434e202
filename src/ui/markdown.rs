//! A plan as a comment on a merge request: the summary first, the details folded.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::plan::{Group, groups, left_out};
use crate::inventory::counted;
use crate::plan::{PhasePlan, Plan, Summary};
use crate::render::Graph;
use crate::resource::Effect;

/// Most characters of a comment, with room for what a pipeline adds; GitHub takes 65,536.
const MOST: usize = 60_000;

/// The comment, with the part of the cluster's picture that changes. Where it is too long, the picture goes first, then
/// the diffs, then the end.
pub fn markdown(cluster: &str, plan: &Plan, part: &Graph) -> String {
    for (picture, diffs) in [(Some(part), true), (None, true)] {
        let whole = comment(cluster, plan, picture, diffs);
        if whole.len() <= MOST {
            return whole;
        }
    }
    let mut short = comment(cluster, plan, None, false);
    if short.len() > MOST {
        let end = (0..=MOST).rev().find(|end| short.is_char_boundary(*end)).unwrap_or(0);
        let end = short[..end].rfind('\n').unwrap_or(end);
        short.truncate(end);
        short.push_str("\n\n…\n");
        // What follows is not to be folded away with what is cut.
        if short.rfind("<details>") > short.rfind("</details>") {
            short.push_str("\n</details>\n");
        }
    }
    short + "\nToo long for a comment: `deploy plan` shows all of it.\n"
}

fn comment(cluster: &str, plan: &Plan, picture: Option<&Graph>, diffs: bool) -> String {
    let mut text = format!("### deploy plan: {}\n\n", plain(cluster));
    let Summary { changes, nodes, clients, drift, destructive } = Summary::of(plan);
    if plan.is_empty() {
        text.push_str("**Nothing to change.**\n");
    } else {
        let (changes, nodes) = (counted(changes, "change"), counted(nodes, "node"));
        let _ = writeln!(text, "**{changes} on {nodes}; {clients}.**\n");
        if drift > 0 {
            let _ = writeln!(text, "Changed on the nodes by hand, and put back: {drift}.\n");
        }
        if destructive.is_empty() {
            text.push_str("Nothing is taken away.\n");
        } else {
            text.push_str("**Taken away:**\n\n");
        }
        for line in &destructive {
            let _ = writeln!(text, "- {}", plain(line));
        }
    }
    if let Some(part) = picture.filter(|part| !part.roles.is_empty()) {
        let _ = writeln!(text, "\n```mermaid\n{}```", part.mermaid());
    }
    for line in left_out(plan).lines().chain(plan.notes.iter().map(String::as_str)) {
        let _ = writeln!(text, "\n> {}", plain(line));
    }
    for phase in &plan.phases {
        details(&mut text, phase, diffs);
    }
    text
}

fn details(text: &mut String, phase: &PhasePlan, diffs: bool) {
    let effects: BTreeSet<Effect> = phase.changes().map(|(_, change)| change.effect).collect();
    let effects: Vec<&str> =
        effects.iter().map(|effect| effect.as_str()).filter(|word| !word.is_empty()).collect();
    let effects = if effects.is_empty() { String::new() } else { format!(", {}", effects.join(", ")) };
    let (count, title) = (counted(phase.changes().count(), "change"), phase.phase.title);
    let _ =
        writeln!(text, "\n<details><summary>{}: {title} ({count}{effects})</summary>\n", phase.phase.name);
    for Group { change, diff, nodes, .. } in groups(phase) {
        let effect = match change.effect {
            Effect::None => String::new(),
            effect => format!(" **{}**", effect.as_str()),
        };
        let (sign, id) = (change.verb.sign(), code(&change.id.to_string()));
        let (nodes, reason) = (nodes.join(" "), plain(&change.reason));
        let _ = writeln!(text, "- `{sign}` {id}{effect} on {nodes}: {reason}");
        if let Some(drift) = &change.drift {
            let _ = writeln!(text, "  - **drift**: {}", plain(drift));
        }
        if let Some(adopt) = &change.adopt {
            let _ = writeln!(text, "  - **adopt**: the inventory keeps what is there by {}", code(adopt));
        }
        if let Some(diff) = diff.filter(|_| diffs) {
            let fence = fence(&diff);
            let _ = writeln!(text, "\n  {fence}diff");
            for line in diff.lines() {
                let _ = writeln!(text, "  {line}");
            }
            let _ = writeln!(text, "  {fence}\n");
        }
    }
    text.push_str("\n</details>\n");
}

/// A fence that the text cannot close.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// A text as code, whatever is in it.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('\n', " "))
}

/// A text that is nothing but text: no markup, no mention, no second line.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\n' => out.push(' '),
            '@' => out.push_str("@\u{200b}"),
            '*' | '_' | '`' | '[' | ']' | '|' | '\\' | '#' => out.extend(['\\', sign]),
            _ => out.push(sign),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::NodeName;
    use crate::live::fixture::{MIXED, source};
    use crate::pki::Trust;
    use crate::plan::{PHASES, Step, Wave};
    use crate::resource::{Call, Change, Diff, Id, Order, Verb};

    fn part() -> Graph {
        let source = source(MIXED, Trust::settled("ca", "0"));
        Graph::of(&source.cluster, &source.library).part(&["etcd".to_owned()].into())
    }

    fn plan(reason: &str, diff: Option<Diff>) -> Plan {
        let id = Id::new("file", "/etc/hosts");
        let mut change =
            Change::new(id, Verb::Update, reason, Order::Commit, Call::new("file_commit", ["x"]));
        change.diff = diff;
        let step = |node: &str| Step { node: NodeName::from(node), changes: vec![change.clone()] };
        let waves = vec![Wave { steps: vec![step("n1"), step("n2")], ..Wave::default() }];
        let phases = vec![PhasePlan { phase: &PHASES[1], waves, partial: false }];
        Plan { phases, ..Plan::default() }
    }

    #[test]
    fn the_summary_comes_first_and_the_same_change_once() {
        let diff = Diff { old: Some("a\n".into()), new: "b\n".into(), secret: false };
        let text = markdown("shop", &plan("content differs", Some(diff)), &part());
        assert!(
            text.starts_with(
                "### deploy plan: shop\n\n**2 changes on 2 nodes; clients will notice nothing.**"
            )
        );
        assert_eq!(text.matches("/etc/hosts").count(), 1, "{text}");
        assert!(text.contains("on n1 n2: content differs\n\n  ```diff\n  -a\n  +b\n  ```\n"), "{text}");
        assert!(markdown("shop", &Plan::default(), &Graph::default()).contains("Nothing to change"));
    }

    #[test]
    fn no_text_of_a_plan_breaks_out_of_its_place() {
        let diff = Diff { old: Some("````\n".into()), new: "</details>\n".into(), secret: false };
        let text = markdown("shop", &plan("</details> @everyone *bold*\nsecond", Some(diff)), &part());
        assert!(!text.contains("@everyone") && text.contains("&lt;/details> "), "{text}");
        assert!(text.contains("  `````diff\n"), "{text}");
        assert_eq!(text.lines().filter(|line| *line == "</details>").count(), 1, "{text}");
    }

    #[test]
    fn a_plan_that_is_too_long_says_so() {
        let old = "one more line\n".repeat(20_000);
        let long = plan("content differs", Some(Diff { old: Some(old), new: "b\n".into(), secret: false }));
        let text = markdown("shop", &long, &part());
        assert!(text.len() < 65_536 && text.contains("Too long"), "{}", text.len());
        assert!(text.contains("2 changes on 2 nodes"));
        let long = markdown("shop", &plan(&"why ".repeat(20_000), None), &part());
        let (cut, note) = long.split_once("\n</details>\n").unwrap();
        assert!(cut.len() <= MOST + 10 && note.contains("Too long"), "{note}");
    }

    #[test]
    fn the_part_that_changes_is_drawn_behind_the_summary() {
        let text = markdown("shop", &plan("content differs", None), &part());
        let (summary, picture) = text.split_once("```mermaid\nflowchart LR\n").unwrap();
        assert!(summary.ends_with("Nothing is taken away.\n\n"), "{text}");
        let (picture, rest) = picture.split_once("\n```\n").unwrap();
        assert!(picture.ends_with("class r_etcd changed") && picture.contains("r_patroni --"), "{text}");
        assert!(rest.starts_with("\n<details>"), "{text}");
        assert!(!markdown("shop", &plan("content differs", None), &Graph::default()).contains("mermaid"));
    }

    #[test]
    fn the_picture_is_the_first_to_go_where_there_is_no_room() {
        let diff = |lines| Diff { old: Some("one line\n".repeat(lines)), new: "b\n".into(), secret: false };
        let of = |lines| markdown("shop", &plan("content differs", Some(diff(lines))), &part());
        let with = of(100);
        let room = (MOST - with.len()) / "  -one line\n".len();
        assert!(with.contains("mermaid") && of(100 + room).contains("mermaid"));
        let without = of(100 + room + 1);
        assert!(!without.contains("mermaid") && without.contains("-one line"), "{without}");
        assert!(!without.contains("Too long"));
    }
}
