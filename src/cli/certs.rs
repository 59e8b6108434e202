//! Arguments of `certs`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Target;

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
    /// Only on these nodes: names, `w*`, `@ROLE`, `@KIND`; `!` in front takes away.
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
