//! The command line: types only. Their doc comments are the help.

mod certs;
mod lab;
mod pipeline;
mod secrets;

pub use certs::{Certs, CertsCommand, Renew, RotateCa};
pub use lab::{Lab, Release};
pub use pipeline::{
    Described, Drawing, Graph, History, HistoryCommand, How, Lock, Narrow, PlanOutput, Rollback,
};
pub use secrets::{RotateSecrets, Secrets};

use std::path::PathBuf;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

/// Highly available PostgreSQL and Redis on your own machines, from one inventory file.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true, max_term_width = 110, after_help = crate::exit::table())]
pub struct Cli {
    /// Print JSON on standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Record connections and remote executions: a line of JSON for each, with times and sizes, without contents.
    #[arg(long, global = true, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write what is said to the end of this file, too: plain lines with their times.
    #[arg(long, global = true, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Age identity file that opens the secret store.
    #[arg(long, global = true, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The inventory of whichever command it is.
    #[arg(skip)]
    pub inventory: Option<PathBuf>,
}

impl Cli {
    /// The command line of this process.
    pub fn read() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::command()))?;
        Ok(Self { inventory: inventory(&matches), ..cli })
    }
}

fn inventory(matches: &ArgMatches) -> Option<PathBuf> {
    let own = matches.try_get_one("inventory").ok().flatten().cloned();
    own.or_else(|| inventory(matches.subcommand()?.1))
}

/// The inventory that a command works on.
#[derive(Debug, Args)]
pub struct Target {
    /// Inventory file, or a folder that holds a cluster.yaml.
    pub inventory: PathBuf,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a first inventory, an identity and the secret store into a folder.
    Init(Init),
    /// Look whether an inventory and the roles beside it can be used; needs no network and no secret.
    Validate(Target),
    /// Look whether the machines are fit for what the inventory wants; changes nothing.
    Check(Target),
    /// Show what apply would change and what clients would notice; changes nothing.
    Plan(Plan),
    /// Bring the cluster to what the inventory says, phase by phase, each verified.
    Apply(Apply),
    /// Run every check of the cluster.
    Verify(Target),
    /// Show the cluster at a glance.
    Status(Target),
    /// Show every certificate as it is served and as it is stored; renew them; take a new authority.
    Certs(Certs),
    /// Show the applications; choose the live group of one, or drain a server of it.
    App(App),
    /// Write every file that the nodes would get into a folder; needs no network.
    ///
    /// No machine is asked, so all are taken for machines of 8 GiB of RAM, 4 cores and the Debian that `lab.debian` names,
    /// by default 13. What an earlier `render` wrote into the folder and this one does not is removed; other files stay.
    Render(Render),
    /// Look at the secrets of a cluster, change them, and see who can open the store.
    #[command(subcommand)]
    Secrets(Secrets),
    /// Move the leadership of PostgreSQL.
    #[command(subcommand)]
    Postgresql(Postgresql),
    /// Move the primary of Redis.
    #[command(subcommand)]
    Redis(Redis),
    /// Show what was changed on the nodes since deploy wrote it; ends with 2 where something was.
    Drift(Target),
    /// Show the runs that the nodes remember: who, from where, when, and how each ended.
    History(History),
    /// Plan the way back to what a run wanted, show it and apply it like any other plan; the inventory stays as it is.
    Rollback(Rollback),
    /// Show who holds the lock of a cluster, and let go of it in the place of a run that is dead.
    #[command(subcommand)]
    Lock(Lock),
    /// Draw the nodes, their roles and every declared edge; needs no network.
    Graph(Graph),
    /// Print the JSON schema of inventories, or of what a command prints with `--json`.
    Schema {
        /// Of what.
        #[arg(value_enum, default_value = "inventory")]
        of: Described,
    },
    /// Make every node of an inventory a real machine inside this one.
    #[command(subcommand)]
    Lab(Lab),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands into a folder.
    Man {
        /// Folder to write all pages into; made where it does not exist.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Folder to write into; made where it does not exist.
    pub folder: PathBuf,
    /// Name of the cluster; by default the folder's.
    #[arg(long)]
    pub name: Option<String>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub narrow: Narrow,
    #[command(flatten)]
    pub output: PlanOutput,
    /// Save the plan, encrypted to whoever can open the secrets: `apply --plan FILE` carries it out, and nothing else.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub narrow: Narrow,
    /// Carry out this plan, which `plan --out` saved; refused where the nodes or the inventory have moved since.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["on", "phase", "skip_phase"])]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub how: How,
}

/// Arguments of `app`: the list, or something to do with one of them.
#[derive(Debug, Args)]
pub struct App {
    #[command(flatten)]
    pub target: Target,
    /// The application.
    pub name: Option<String>,
    #[command(subcommand)]
    pub action: Option<AppAction>,
}

/// What to do with an application. HAProxy is told while it runs: no request is lost.
#[derive(Debug, Subcommand)]
pub enum AppAction {
    /// Lead every new request to this group.
    #[command(override_usage = "deploy app <INVENTORY> <NAME> live [OPTIONS] <GROUP>")]
    Live {
        /// The group.
        group: String,
        /// Do not ask before changing anything.
        #[arg(long, short)]
        yes: bool,
    },
    /// Lead no new clients to a node; those that a cookie holds to it stay.
    #[command(override_usage = "deploy app <INVENTORY> <NAME> drain [OPTIONS] <NODE>")]
    Drain {
        /// The node, or the address as in the inventory.
        node: String,
        /// Do not ask before changing anything.
        #[arg(long, short)]
        yes: bool,
    },
    /// Lead clients to a drained node again.
    #[command(override_usage = "deploy app <INVENTORY> <NAME> ready [OPTIONS] <NODE>")]
    Ready {
        /// The node, or the address as in the inventory.
        node: String,
        /// Do not ask before changing anything.
        #[arg(long, short)]
        yes: bool,
    },
}

impl AppAction {
    /// Whether nobody is to be asked.
    pub fn yes(&self) -> bool {
        match self {
            Self::Live { yes, .. } | Self::Drain { yes, .. } | Self::Ready { yes, .. } => *yes,
        }
    }

    /// What is to be done, and with what.
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Live { group, .. } => ("live", group),
            Self::Drain { node, .. } => ("drain", node),
            Self::Ready { node, .. } => ("ready", node),
        }
    }
}

/// Arguments of `render`.
#[derive(Debug, Args)]
pub struct Render {
    #[command(flatten)]
    pub target: Target,
    /// Folder to write into, one folder for each node.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write the script that asks a node what is there, too: `probe.sh` in its folder.
    #[arg(long)]
    pub probes: bool,
}

/// What to do with PostgreSQL.
#[derive(Debug, Subcommand)]
pub enum Postgresql {
    /// Let a standby lead: transactions wait for a moment in PgBouncer, and no write is lost.
    Switchover(Move),
}

/// What to do with Redis.
#[derive(Debug, Subcommand)]
pub enum Redis {
    /// Make a replica the primary: writes wait for a moment, and none is lost.
    Failover(Move),
}

/// Arguments of `postgresql switchover` and of `redis failover`.
#[derive(Debug, Args)]
pub struct Move {
    #[command(flatten)]
    pub target: Target,
    /// The node that takes over; by default the one that is ready and least behind.
    #[arg(long, value_name = "NODE")]
    pub to: Option<String>,
    /// Do not ask before moving it.
    #[arg(long, short)]
    pub yes: bool,
}
