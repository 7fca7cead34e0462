//! The commands: run the operator, write the CRDs and the rules of access control.

mod artefacts;
mod connect;
mod operate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Run;
use crate::telemetry;

pub use artefacts::{crd_yaml, crds, rbac_yaml};

#[derive(Parser)]
#[command(version, about = "Manages a Databricks account with Kubernetes objects")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator against the cluster of KUBECONFIG, or the one it runs in
    Run(Box<Run>),
    /// Write the CustomResourceDefinitions, one file per kind
    Crds {
        /// The folder to write to; may be given several times
        #[arg(long, default_value = "crds")]
        out: Vec<PathBuf>,
    },
    /// Write the rules of access control that the Helm chart puts into Roles
    Rbac {
        /// The folder to write rbac.yaml to; printed by default
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

/// The command line, for documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line; an error is one line, and a non-zero exit.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => operate::operate(&run),
        Command::Crds { out } => out.iter().try_for_each(|out| artefacts::write_crds(out)),
        Command::Rbac { out } => artefacts::write_rbac(out.as_deref()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // A parser's message may show the place in lines of its own.
            let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
            telemetry::print_line(format!("databricks-operator: {line}"));
            ExitCode::FAILURE
        }
    }
}
