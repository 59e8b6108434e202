//! Arguments of what a pipeline, and whoever looks after it, asks for.

use std::path::PathBuf;

use clap::{Arg, Args, Subcommand, ValueEnum};

use super::Target;

/// The part of a cluster that a plan is for; what is left out is counted.
#[derive(Debug, Args)]
pub struct Narrow {
    /// Only on these nodes: names, `w*`, `@ROLE`, `@KIND`; `!` in front takes away.
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub on: Vec<String>,
    /// Only these phases.
    #[arg(long, value_name = "PHASE", value_delimiter = ',')]
    pub phase: Vec<String>,
    /// Not these phases.
    #[arg(long, value_name = "PHASE", value_delimiter = ',')]
    pub skip_phase: Vec<String>,
}

/// How a plan is printed.
#[derive(Debug, Args)]
pub struct PlanOutput {
    /// Exit with 2 when there is something to change.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Print Markdown for a comment on a merge request: the summary first, the details folded.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Write the plan as JSON to this file, beside what is printed; `deploy schema plan` describes it.
    #[arg(long, value_name = "FILE")]
    pub json_into: Option<PathBuf>,
}

/// How a plan is carried out.
#[derive(Debug, Args)]
pub struct How {
    /// Change at most so many nodes at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub parallel: Option<u16>,
    /// In the phases that nodes go through each by itself, begin no further step once so many nodes have failed; a phase of the
    /// whole cluster needs all of its nodes.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_fail: u16,
    /// Change machines that are new to the cluster even if `deploy check` finds them unfit.
    #[arg(long)]
    pub skip_preflight: bool,
    /// Do not ask before changing anything.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `graph`.
#[derive(Debug, Args)]
pub struct Graph {
    #[command(flatten)]
    pub target: Target,
    /// For which program.
    #[arg(long, value_enum, default_value = "mermaid")]
    pub format: Drawing,
}

/// A language of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Drawing {
    /// Mermaid, for README files and merge requests.
    Mermaid,
    /// Graphviz.
    Dot,
    /// A picture that every browser shows.
    Svg,
}

/// Arguments of `history`: the list, or one run.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct History {
    /// Inventory file, or a folder that holds a cluster.yaml.
    #[arg(required = true)]
    pub inventory: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<HistoryCommand>,
}

/// What to do with history.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Print one run: who, from where, of which revision, its plan, how it ended, and the journals of all nodes by time.
    Show {
        #[command(flatten)]
        target: Target,
        /// The run, as the list names it.
        run: String,
    },
    /// Print the inventory that a run was made with.
    Inventory {
        #[command(flatten)]
        target: Target,
        /// The run, as the list names it.
        run: String,
    },
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
#[command(mut_args(of_dry_run))]
pub struct Rollback {
    #[command(flatten)]
    pub target: Target,
    /// The run, as `history` names it: what its inventory and roles wanted is wanted again.
    pub run: String,
    #[command(flatten)]
    pub narrow: Narrow,
    /// Show the plan and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: PlanOutput,
    #[command(flatten)]
    pub how: How,
}

/// What prints a plan goes with a rollback that does nothing else.
fn of_dry_run(arg: Arg) -> Arg {
    let prints = ["detailed_exitcode", "markdown", "json_into"].contains(&arg.get_id().as_str());
    if prints { arg.requires("dry_run") } else { arg }
}

/// What to do with the lock of a cluster.
#[derive(Debug, Subcommand)]
pub enum Lock {
    /// Show who holds it, on each node, and when they last gave a sign of life. Ends with 6 where somebody does.
    Status(Target),
    /// Let go of it where its holder has given no sign of life for 20 s.
    Release {
        #[command(flatten)]
        target: Target,
        /// Let go of it whoever holds it. A run that lives ends the steps that are under way, and begins no other.
        #[arg(long)]
        force: bool,
    },
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Described {
    /// An inventory.
    Inventory,
    /// The output of `plan --json`, and of `drift --json`.
    Plan,
    /// The output of `status --json`.
    Status,
    /// The output of `verify --json`, and of `check --json`.
    Verify,
    /// The output of `certs --json`.
    Certs,
    /// The output of `history --json`.
    History,
    /// The output of `history show --json`.
    Run,
    /// The output of `lab status --json`, and of all that changes a lab.
    Lab,
}
