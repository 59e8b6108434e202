//! Arguments of `lab`.

use clap::{Subcommand, ValueEnum};

use super::Target;

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

impl Lab {
    /// The inventory whose lab it is.
    pub fn target(&self) -> &Target {
        match self {
            Self::Up { target, .. }
            | Self::Down { target }
            | Self::Status { target }
            | Self::Exec { target, .. }
            | Self::Kill { target, .. }
            | Self::Start { target, .. }
            | Self::Cut { target, .. }
            | Self::Heal { target, .. }
            | Self::Slow { target, .. } => target,
        }
    }
}
