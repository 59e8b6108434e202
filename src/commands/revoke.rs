//! `deploy certs revoke`: takes the trust away from every key that a node has had.
//!
//! No list of revoked certificates is read by all services, so it is done by an authority that has never seen one of
//! those keys.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;

use super::Global;
use super::project::Project;
use super::rotate_ca::{Ending, Steps, hand_over, opened};
use crate::cli::RotateCa;
use crate::cluster::NodeName;
use crate::live;
use crate::ui;

pub async fn run(global: &Global, node: &str, args: &RotateCa) -> Result<ExitCode> {
    let inventory = args.target.inventory.display().to_string();
    let mut project = opened(global, args).await?;
    let made = project.require_next()?;
    ui::talk(&announcement(node, made));
    let mut steps = Steps::default();
    let ended = go(global, args, &mut project, hand_overs(made), &mut steps).await;
    steps.tell(global);
    let (ending, left) = ended?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if ending == Ending::Part || left > 0 {
        ui::talk(&incomplete(node, &inventory, ending, left));
        return Ok(ExitCode::SUCCESS);
    }
    let source = &project.source;
    let known = live::secrets_of(&source.cluster, &source.library, &NodeName::from(node));
    let outside =
        |name: &String| source.cluster.inventory.secrets.get(name).is_some_and(|one| one.outside().is_some());
    ui::talk(&passwords(node, &inventory, known, outside));
    Ok(ExitCode::SUCCESS)
}

/// Makes up to `count` hand-overs, or one step of the first; how the last one ended, and how many are left behind it.
async fn go(
    global: &Global,
    args: &RotateCa,
    project: &mut Project,
    count: usize,
    steps: &mut Steps,
) -> Result<(Ending, usize)> {
    let mut left = count;
    loop {
        left -= 1;
        let ending = hand_over(global, args, project, steps).await?;
        if left == 0 || args.step || args.dry_run || ending == Ending::Part {
            return Ok((ending, left));
        }
    }
}

/// How many hand-overs it takes. An authority that was `made` for it is enough; one that was on its way before may have
/// certified the very key that has leaked, so another one follows it.
fn hand_overs(made: bool) -> usize {
    if made { 1 } else { 2 }
}

fn announcement(node: &str, made: bool) -> String {
    let again = if made {
        ""
    } else {
        " The hand-over that has begun is finished first: its authority may have certified those keys."
    };
    format!(
        "No service of this cluster reads a revocation list: a new authority takes the place of the old one, and every \
         certificate of {node} that is in other hands ends with that.{again}\n"
    )
}

/// What is still to be done, after one step, with so many hand-overs `left` behind the present one.
fn incomplete(node: &str, inventory: &str, ending: Ending, left: usize) -> String {
    let finish = format!("`deploy certs rotate-ca {inventory}`");
    let again = format!("`deploy certs revoke {inventory} {node}`");
    let rest = match (ending, left) {
        (Ending::Part, 0) => format!("{finish} makes the steps that are left"),
        (Ending::Part, _) => {
            format!("once {finish} has finished this hand-over, {again} begins the one that does it")
        }
        (Ending::Whole, _) => format!("{again} begins the hand-over that does it"),
    };
    format!("the revocation is not complete: what {node} had is still trusted; {rest}")
}

/// The passwords that the node had: no authority takes them away. Those from `outside` are not ours to change.
fn passwords(
    node: &str,
    inventory: &str,
    known: Option<BTreeSet<String>>,
    outside: impl Fn(&String) -> bool,
) -> String {
    let Some(known) = known else {
        return format!(
            "{node} is not in the inventory, so nothing tells which passwords it had; \
             `deploy secrets list {inventory}` shows them all, `deploy secrets rotate {inventory} NAME…` makes new ones"
        );
    };
    let (elsewhere, ours): (Vec<String>, Vec<String>) = known.into_iter().partition(outside);
    let mut text = format!("{node} had passwords, too; to take those away:");
    if !ours.is_empty() {
        text = format!("{text}\n  deploy secrets rotate {inventory} {}", ours.join(" "));
    }
    if !elsewhere.is_empty() {
        text = format!("{text}\n  change where they come from: {}", elsewhere.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_may_have_certified_the_key_is_not_the_last_one() {
        assert_eq!((hand_overs(true), hand_overs(false)), (1, 2));
        assert!(announcement("w1", false).contains("is finished first"));
        assert!(!announcement("w1", true).contains("is finished first"));
    }

    #[test]
    fn after_one_step_it_says_that_the_node_is_not_cut_off_and_by_what_it_will_be() {
        let said = |ending, left| incomplete("w1", "c", ending, left);
        let last = said(Ending::Part, 0);
        assert!(
            last.contains("not complete") && last.contains("rotate-ca c`") && !last.contains("revoke c w1")
        );
        let first = said(Ending::Part, 1);
        assert!(first.contains("rotate-ca c`") && first.contains("revoke c w1`"), "{first}");
        let whole = said(Ending::Whole, 1);
        assert!(!whole.contains("rotate-ca") && whole.contains("revoke c w1`"), "{whole}");
    }

    #[test]
    fn the_passwords_that_a_node_had_are_named_with_the_command_that_changes_them() {
        let known = || Some(["a/x", "b/y"].map(str::to_owned).into());
        let text = passwords("w1", "c", known(), |name| name == "b/y");
        assert!(text.contains("deploy secrets rotate c a/x\n") && text.ends_with("come from: b/y"), "{text}");
        assert!(passwords("w1", "c", known(), |_| false).ends_with("rotate c a/x b/y"));
        assert!(passwords("w1", "c", None, |_| false).contains("not in the inventory"));
    }
}
