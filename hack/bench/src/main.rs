//! What the operator costs: calls to the account, writes to the API server, CPU, memory and time. `make bench` runs it.
//!
//! A real API server, the simulated account and the operator as a process, as in the demo, but with thousands of objects. Each
//! step prints a line of one table. It measures and judges nothing: tests compare counts, and readers compare times.
//!
//! The map: `stack` starts and stops the parts and acts as a user does; `count` and `audit` say what was spent; `watch` knows how
//! far the operator is; `steps` has what several scenarios do, and `peer`, `scale`, `start`, `backlog`, `rest` and `shards` are
//! the scenarios; `table` and `machine` are the output.

mod audit;
mod backlog;
mod count;
mod machine;
mod peer;
mod rest;
mod scale;
mod shards;
mod stack;
mod start;
mod steps;
mod table;
mod watch;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use serde_json::json;
use world::{Error, Result};

use crate::machine::Machine;
use crate::stack::Place;
use crate::table::{Report, insert};

#[derive(Parser)]
#[command(about = "Measures what the operator costs, with a real API server and a simulated account")]
struct Arguments {
    /// Only these scenarios, separated by commas
    #[arg(long, env = "ONLY", value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// So many objects in each scenario, in place of its own number
    #[arg(long, env = "N", value_parser = clap::value_parser!(u32).range(20..))]
    n: Option<u32>,
    /// The numbers of objects of `scale`, in growing order, separated by commas
    #[arg(long, env = "SIZES", value_delimiter = ',', default_values_t = [1_000_u32, 5_000, 10_000])]
    sizes: Vec<u32>,
    /// Writes all figures to this file, as JSON
    #[arg(long, env = "JSON", value_name = "PATH")]
    json: Option<PathBuf>,
    /// Writes the table to this document, between its two marks
    #[arg(long, env = "WRITE", value_name = "PATH")]
    write: Option<PathBuf>,
    /// The operator's program [default: the release build in the same target directory]
    #[arg(long, value_name = "PATH")]
    operator: Option<PathBuf>,
}

/// What can be measured, in the order of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Assignments of one workspace at 15 requests/s, as another tool was measured
    Peer,
    /// The same in 20 workspaces
    Spread,
    /// Many objects without a limit of calls
    Scale,
    /// An operator that starts when all objects exist already
    FirstStart,
    /// Changes and deletions behind many creates
    Backlog,
    /// Nothing changes
    Rest,
    /// Two operators that divide the objects of one account; only if it is named, as it takes a quarter of an hour
    Shards,
}

impl Arguments {
    fn includes(&self, scenario: Scenario) -> bool {
        if self.only.is_empty() { scenario != Scenario::Shards } else { self.only.contains(&scenario) }
    }

    /// Which part of all scenarios was asked for, as a sentence.
    fn scope(&self) -> String {
        let only: Vec<String> = self.only.iter().map(|scenario| format!("{scenario:?}")).collect();
        let only = (!only.is_empty()).then(|| only.join(" and "));
        let n = self.n.map(|n| format!("{n} objects in each scenario"));
        match (only, n) {
            (None, None) => "All scenarios.".to_owned(),
            (only, n) => format!("{}.", only.into_iter().chain(n).collect::<Vec<_>>().join("; ")),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(error) = run(&Arguments::parse()).await {
        eprintln!("\n{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run(arguments: &Arguments) -> Result<()> {
    let place = Place::find(arguments.operator.as_deref())?;
    let sizes = arguments.n.map_or_else(|| arguments.sizes.clone(), |n| vec![n]);
    let sizes: Vec<usize> = sizes.into_iter().map(|size| size as usize).collect();
    if !sizes.is_sorted() || sizes.first().is_none_or(|size| *size == 0) {
        return Err(Error::new("--sizes must grow and begin above 0, such as 1000,5000"));
    }
    let number = |own: usize| arguments.n.map_or(own, |n| n as usize);
    let (machine, scope) = (Machine::read()?, arguments.scope());
    println!("{machine} {scope}\n");
    let mut report = Report::begin();
    let scenarios = Scenario::value_variants().iter();
    for scenario in scenarios.filter(|it| arguments.includes(**it)) {
        eprintln!("{scenario:?}");
        match scenario {
            Scenario::Peer => peer::peer(&place, number(1_000), &mut report).await?,
            Scenario::Spread => peer::spread(&place, number(1_000), &mut report).await?,
            Scenario::Scale => scale::scale(&place, &sizes, &mut report).await?,
            Scenario::FirstStart => start::first_start(&place, number(5_000), &mut report).await?,
            Scenario::Backlog => backlog::backlog(&place, number(1_000), &mut report).await?,
            Scenario::Rest => rest::at_rest(&place, number(1_000), &mut report).await?,
            Scenario::Shards => shards::shards(&place, number(10_000), &mut report).await?,
        }
    }
    if let Some(path) = &arguments.json {
        let all = json!({"machine": machine, "scope": scope, "lines": report.lines()});
        fs::write(path, format!("{all:#}\n")).map_err(Error::at(path.display()))?;
    }
    if let Some(path) = &arguments.write {
        let text = fs::read_to_string(path).map_err(Error::at(path.display()))?;
        let block = format!("{machine} {scope}\n\n{}", report.markdown());
        let text = insert(&text, &block).ok_or_else(|| {
            Error::new(format_args!("{} does not have the two marks of the table", path.display()))
        })?;
        fs::write(path, text).map_err(Error::at(path.display()))?;
    }
    Ok(())
}
