//! `deploy certs rotate-ca`: puts a new authority in the place of the old one, step by step.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use super::Global;
use super::apply::{carry_out, confirm};
use super::project::{self, Project};
use crate::cli::RotateCa;
use crate::exit::{Ended, Exit};
use crate::live::Reached;
use crate::pki::Handover;
use crate::plan::Plan;
use crate::secrets::Store;
use crate::ui;
use crate::ui::Hint;

pub async fn run(global: &Global, args: &RotateCa) -> Result<ExitCode> {
    let mut project = opened(global, args).await?;
    let mut steps = Steps::default();
    let ended = hand_over(global, args, &mut project, &mut steps).await;
    steps.tell(global);
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// The steps that were made, for programs: one document for all of them, however the command ends.
#[derive(Debug, Default)]
pub struct Steps {
    made: Vec<Value>,
    ended: Option<Ending>,
}

impl Steps {
    /// Prints what there is to say.
    pub fn tell(self, global: &Global) {
        let ended = self.ended.map(|ending| if ending == Ending::Whole { "whole" } else { "part" });
        if global.json && (ended.is_some() || !self.made.is_empty()) {
            ui::json(&json!({ "steps": self.made, "ended": ended.unwrap_or("part") }));
        }
    }

    /// A command ends here.
    fn end(&mut self, global: &Global, ending: Ending, words: &str) -> Ending {
        self.ended = Some(ending);
        if !global.json {
            ui::data(&format!("{words}\n"));
        }
        ending
    }
}

/// A cluster with an authority to go on from.
pub async fn opened(global: &Global, args: &RotateCa) -> Result<Project> {
    if !args.lost_key {
        store_with_ca(global, &args.target.inventory)?;
    }
    let mut project = Project::open(global, &args.target.inventory).await?;
    if args.lost_key {
        project.adopt().await?;
    }
    Ok(project)
}

/// Whether a hand-over came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The new authority is the only one.
    Whole,
    /// One step was made, or shown.
    Part,
}

/// Goes on from one authority to the next, step by step.
pub async fn hand_over(
    global: &Global,
    args: &RotateCa,
    project: &mut Project,
    steps: &mut Steps,
) -> Result<Ending> {
    let inventory = args.target.inventory.display();
    loop {
        project.require_next()?;
        let begun = Instant::now();
        let observed = project.observe().await?;
        project.require_known(&observed)?;
        let reached = project.handover(&observed).context("the store has no certificate authority")?;
        project.take_step(reached)?;
        let severed = project.source.trust.severed;
        let done = reached.step == Handover::Done && !severed;
        let plan = if done { Plan::default() } else { super::plan::from(project, &observed).await? };
        if done || (plan.is_empty() && severed) {
            if args.dry_run {
                return Ok(steps.end(
                    global,
                    Ending::Part,
                    "No node is changed any more: the old authority leaves the store",
                ));
            }
            return finish(global, project, steps);
        }
        if plan.is_empty() {
            let hint = Hint(format!("`deploy certs {inventory}` shows it"));
            return Err(anyhow!("the nodes are in a state that no step leads out of").context(hint));
        }
        if !global.json {
            tell_step(project, reached, &inventory.to_string());
        }
        if args.dry_run {
            super::plan::show(global, &plan);
            return Ok(Ending::Part);
        }
        confirm(global, args.yes, &plan)?;
        let done = carry_out(project, plan).await?;
        if global.json {
            steps.made.push(done.summary(begun, json!({})));
        } else {
            done.tell(global, begun, json!({}));
        }
        if !done.verified() {
            let hint =
                format!("mend what does not hold; `deploy certs rotate-ca {inventory}` goes on from here");
            let ended = Ended::new(Exit::Unverified, "the step is made, and not every check holds");
            return Err(anyhow::Error::new(ended).context(Hint(hint)));
        }
        if severed {
            return finish(global, project, steps);
        }
        if args.step && reached.step != Handover::Drop {
            let next = format!("`deploy certs rotate-ca {inventory}` makes the next step");
            return Ok(steps.end(global, Ending::Part, &next));
        }
    }
}

/// The new authority is the only one from now on.
fn finish(global: &Global, project: &mut Project, steps: &mut Steps) -> Result<Ending> {
    project.store.promote_next_ca();
    project.save()?;
    Ok(steps.end(global, Ending::Whole, Handover::Done.title()))
}

/// What a step does, and what is to be known before it is made.
fn tell_step(project: &Project, reached: Reached, inventory: &str) {
    if project.source.trust.severed {
        let day = project.expired().unwrap_or_default();
        ui::talk(&format!(
            "One step: every node trusts the new authority alone, and every certificate is issued by it\n\n\
             The old authority expired on {day}: no new connection between the services verifies any more. All nodes\n\
             change at once, because none can be told healthy before the others have changed. etcd restarts everywhere;\n\
             PostgreSQL takes no writes until a leader is elected, its data is not touched. `deploy certs ca {inventory}`\n\
             prints the file that clients need from now on.\n"
        ));
        return;
    }
    ui::talk(&format!("{}\n", reached.step.title()));
    if project.key_is_lost() && reached.step == Handover::Trust {
        ui::talk(if reached.trusted {
            "The key of the old authority is lost: the new one issues what a service needs to hear of it.\n"
        } else {
            "The key of the old authority is lost: what it has issued goes on to verify until it is replaced.\n"
        });
    }
    if reached.step == Handover::Reissue {
        ui::talk(&format!(
            "note: a client that trusts the old authority alone is refused from here on; \
             `deploy certs ca {inventory}` prints the file that clients need\n"
        ));
    }
}

/// The store of a cluster that has an authority.
pub fn store_with_ca(global: &Global, inventory: &Path) -> Result<Store> {
    let files = project::files(inventory)?;
    let (store, _) = project::open_store(global, &files)?;
    if store.ca().is_none() {
        let hint = Hint(format!(
            "`deploy apply {0}` makes one; where the cluster runs and its store was lost, \
             `deploy certs rotate-ca {0} --lost-key` takes it over",
            inventory.display()
        ));
        return Err(anyhow!("the cluster has no authority yet").context(hint));
    }
    Ok(store)
}
