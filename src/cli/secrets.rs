//! Arguments of `secrets`.

use clap::{Args, Subcommand};

use super::Target;

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
