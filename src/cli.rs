//! The command line: types only. Their doc comments are the help.

mod pipeline;

pub use pipeline::{Described, Drawing, Graph, History, HistoryCommand, Lock, Narrow};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    Render(Render),
    /// Look at the secrets of a cluster, change them, and see who can open the store.
    #[command(subcommand)]
    Secrets(Secrets),
    /// Move the primary of Redis.
    #[command(subcommand)]
    Redis(Redis),
    /// Show what was changed on the nodes since deploy wrote it; ends with 2 where something was.
    Drift(Target),
    /// Show the runs that the nodes remember: who, from where, when, and how each ended.
    History(History),
    /// Show who holds the lock of a cluster, and let go of it in the place of a run that is dead.
    #[command(subcommand)]
    Lock(Lock),
    /// Draw the nodes, their roles and every declared edge; needs no network.
    Graph(Graph),
    /// Print the JSON schema of inventories, or of what `plan --json` prints.
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
    /// Print the manual page.
    Man,
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
    /// Exit with 2 when there is something to change.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Print Markdown for a comment on a merge request: the summary first, the details folded.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Write the plan as JSON to this file, beside what is printed; `deploy schema plan` describes it.
    #[arg(long, value_name = "FILE")]
    pub json_into: Option<PathBuf>,
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
    /// Change at most so many nodes at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub parallel: Option<u16>,
    /// Change machines that are new to the cluster even if `deploy check` finds them unfit.
    #[arg(long)]
    pub skip_preflight: bool,
    /// Do not ask before changing anything.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `certs`: the list, or something to do.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Certs {
    /// Inventory file, or a folder that holds a cluster.yaml. Ends with 2 when a certificate is due or wrong.
    #[arg(required = true)]
    pub inventory: Option<PathBuf>,
    /// Count those as due that end within so many days: `30` or `30d`.
    #[arg(long, value_name = "DAYS", value_parser = days)]
    pub within: Option<i64>,
    #[command(subcommand)]
    pub command: Option<CertsCommand>,
}

/// Arguments of `secrets rotate`.
#[derive(Debug, Args)]
pub struct RotateSecrets {
    #[command(flatten)]
    pub target: Target,
    /// The secrets, as `list` names them.
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Do not ask before changing anything.
    #[arg(long, short)]
    pub yes: bool,
}

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Print the authorities that clients have to trust: a file for `sslrootcert`.
    Ca(Target),
    /// Make certificates anew that are due, or those that are named.
    Renew(Renew),
    /// Put a new certificate authority in the place of the present one, in three steps; goes on where it stopped.
    ///
    /// One that has expired is replaced in one step on all nodes at once: nothing verifies until it is done. One whose key
    /// is lost (`--lost-key`) is replaced in the same three steps as any other.
    RotateCa(RotateCa),
    /// Cut off whoever has the keys of a node: says how that is possible here, and does it.
    Revoke {
        #[command(flatten)]
        rotate: RotateCa,
        /// The node, which need not be in the inventory any more.
        node: String,
    },
}

/// Arguments of `certs renew`.
#[derive(Debug, Args)]
pub struct Renew {
    #[command(flatten)]
    pub target: Target,
    /// Only on these nodes.
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub on: Vec<String>,
    /// Only of these services.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub service: Vec<String>,
    /// Renew those that are not due, too.
    #[arg(long)]
    pub force: bool,
    /// Do not ask before changing anything.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `certs rotate-ca`.
#[derive(Debug, Args)]
pub struct RotateCa {
    #[command(flatten)]
    pub target: Target,
    /// Make one step, for a maintenance window.
    #[arg(long)]
    pub step: bool,
    /// Show the plan of the next step and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// The key of the present authority is lost, or all of the store: take over what the nodes know, and give it up.
    #[arg(long)]
    pub lost_key: bool,
    /// Do not ask before changing anything.
    #[arg(long, short)]
    pub yes: bool,
}

/// A number of days, as `30` or `30d`.
fn days(text: &str) -> Result<i64, String> {
    let number = text.strip_suffix('d').unwrap_or(text);
    number.parse().map_err(|_| "a number of days, as 30 or 30d".into())
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
    Live {
        /// The group.
        group: String,
        /// Do not ask before changing anything.
        #[arg(long, short)]
        yes: bool,
    },
    /// Lead no new clients to a node; those that a cookie holds to it stay.
    Drain {
        /// The node, or the address as in the inventory.
        node: String,
        /// Do not ask before changing anything.
        #[arg(long, short)]
        yes: bool,
    },
    /// Lead clients to a drained node again.
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
}

/// Arguments of `render`.
#[derive(Debug, Args)]
pub struct Render {
    #[command(flatten)]
    pub target: Target,
    /// Folder to write into, one folder for each node.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What to do with the secrets of a cluster.
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// List all secrets: what each is for and where it comes from, without any value.
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Print one secret.
    Show {
        #[command(flatten)]
        target: Target,
        /// The secret, as `list` names it.
        name: String,
    },
    /// Give a secret a value: from standard input, or asked for without being shown.
    ///
    /// The nodes learn it by the next `deploy apply`.
    Set {
        #[command(flatten)]
        target: Target,
        /// The secret, as `list` names it.
        name: String,
    },
    /// Give secrets new values that nobody chose, and bring them to the nodes at once.
    Rotate(RotateSecrets),
    /// Open all secrets of the store in $EDITOR; the decrypted text never reaches a disk.
    ///
    /// The text lies in memory (a tmpfs) and is gone when the editor ends, or this command, however it ends. An editor
    /// must stay in the foreground, as `code --wait` does, and must not be set up to keep copies elsewhere; vim and
    /// neovim are told so.
    Edit {
        #[command(flatten)]
        target: Target,
    },
    /// Encrypt the store anew, to the recipients of the inventory.
    ///
    /// Refused where the identity at hand could not open it afterwards.
    Rekey {
        #[command(flatten)]
        target: Target,
    },
    /// Show who can open the store, and who should by the inventory.
    Recipients {
        #[command(flatten)]
        target: Target,
    },
}

/// What to do with Redis.
#[derive(Debug, Subcommand)]
pub enum Redis {
    /// Make a replica the primary: writes wait for a moment, and none is lost.
    Failover(Failover),
}

/// Arguments of `redis failover`.
#[derive(Debug, Args)]
pub struct Failover {
    #[command(flatten)]
    pub target: Target,
    /// The node of the replica; by default of the one that has most of the writes.
    #[arg(long, value_name = "NODE")]
    pub to: Option<String>,
    /// Do not ask before moving it.
    #[arg(long, short)]
    pub yes: bool,
}

/// A release of Debian that the lab can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Release {
    /// Debian 12.
    #[value(name = "12")]
    Twelve,
    /// Debian 13.
    #[value(name = "13")]
    Thirteen,
}

/// What to do with a lab.
#[derive(Debug, Subcommand)]
pub enum Lab {
    /// Boot every node; makes the image first where there is none.
    Up {
        #[command(flatten)]
        target: Target,
        /// Release of Debian, instead of the inventory's.
        #[arg(long)]
        debian: Option<Release>,
    },
    /// Stop every node and leave nothing behind but the image.
    Down {
        #[command(flatten)]
        target: Target,
    },
    /// Show the nodes and how to reach them.
    Status {
        #[command(flatten)]
        target: Target,
    },
    /// Run a command on a node.
    Exec {
        #[command(flatten)]
        target: Target,
        /// The node.
        node: String,
        /// The command.
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
    /// Cut the power of nodes.
    Kill {
        #[command(flatten)]
        target: Target,
        /// The nodes.
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Boot nodes that are off.
    Start {
        #[command(flatten)]
        target: Target,
        /// The nodes; by default all.
        nodes: Vec<String>,
    },
    /// Cut nodes from the network, or from a second group only.
    Cut {
        #[command(flatten)]
        target: Target,
        /// The nodes.
        #[arg(required = true)]
        nodes: Vec<String>,
        /// Cut them from these only.
        #[arg(long, num_args = 1.., value_name = "NODE")]
        from: Vec<String>,
    },
    /// Undo `cut` and `slow`.
    Heal {
        #[command(flatten)]
        target: Target,
        /// The nodes; by default all.
        nodes: Vec<String>,
    },
    /// Delay and lose the packets of nodes.
    Slow {
        #[command(flatten)]
        target: Target,
        /// The nodes.
        #[arg(required = true)]
        nodes: Vec<String>,
        /// Milliseconds that each packet waits.
        #[arg(long, default_value_t = 100)]
        delay: u32,
        /// Percent of the packets that are lost.
        #[arg(long, default_value_t = 0.0)]
        loss: f64,
    },
}
