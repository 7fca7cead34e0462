//! Runs a campaign, or replays one run: `campaign --kind Group --seed 17` prints its trace.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use campaign::{Case, Outcome, operator, run};
use clap::Parser;
use databricks_operator::engine::kind::Driver;
use databricks_operator::kinds::KINDS;

#[derive(Parser)]
#[command(about = "Runs the operator with faults, in one thread under virtual time")]
struct Arguments {
    /// How many runs in all, shared among the kinds
    #[arg(long, env = "RUNS", default_value_t = 10_000)]
    runs: u64,
    /// The kinds, separated by commas; all by default
    #[arg(long, env = "KIND", value_delimiter = ',')]
    kind: Vec<String>,
    /// Replays this run of each kind, and prints what happened
    #[arg(long, env = "SEED")]
    seed: Option<u64>,
    /// The first run of a campaign
    #[arg(long, env = "FROM", default_value_t = 0)]
    from: u64,
    /// How many hours nothing may be written once the object is Ready
    #[arg(long, env = "QUIET_HOURS", default_value_t = 1)]
    quiet_hours: u64,
    /// Another flag of the operator, such as --flag=--quarantine=1s; may be given several times
    #[arg(long, allow_hyphen_values = true)]
    flag: Vec<String>,
    /// Runs without faults, which only differ in their seeds
    #[arg(long)]
    faultless: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let kinds: Vec<&'static dyn Driver> =
        KINDS.iter().copied().filter(|driver| named(&arguments, *driver)).collect();
    if kinds.is_empty() {
        eprintln!("there is no kind {}", arguments.kind.join(","));
        return ExitCode::FAILURE;
    }
    let operator = operator(&arguments.flag);
    let mut wrong = BTreeMap::new();
    for driver in &kinds {
        let case = Case {
            driver: *driver,
            operator: operator.clone(),
            seed: 0,
            calls: None,
            end: None,
            quiet_hours: arguments.quiet_hours,
        };
        let first = run(&case);
        let calls = Some(first.busy()).filter(|_| !arguments.faultless);
        let end = Some(first.end.clone());
        let case = Case { calls, end, ..case };
        if !first.violations.is_empty() {
            report(*driver, "without faults", &first, arguments.seed.is_some());
            wrong.insert(driver.kind().into_owned(), 1);
            if arguments.seed.is_none() {
                continue;
            }
        }
        match arguments.seed {
            Some(seed) => {
                let outcome = run(&Case { seed, ..case });
                report(*driver, &format!("SEED={seed}"), &outcome, true);
                wrong.extend((!outcome.violations.is_empty()).then(|| (driver.kind().into_owned(), 1)));
            }
            None => {
                let runs = arguments.runs.div_ceil(kinds.len() as u64);
                let failed = campaign(&case, arguments.from, runs, first.busy().len());
                wrong.extend((failed > 0).then(|| (driver.kind().into_owned(), failed)));
            }
        }
    }
    for (kind, failed) in &wrong {
        println!("{kind}: {failed} runs with violations");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn named(arguments: &Arguments, driver: &dyn Driver) -> bool {
    arguments.kind.is_empty() || arguments.kind.iter().any(|kind| *kind == driver.kind())
}

/// Runs one kind on all cores; returns how many runs failed.
fn campaign(case: &Case, from: u64, runs: u64, calls: usize) -> usize {
    let (next, began) = (AtomicU64::new(from), Instant::now());
    // The first run of each kind of violation is shown.
    let failed: Mutex<BTreeMap<String, Vec<u64>>> = Mutex::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + runs {
                return;
            }
            let outcome = run(&Case { seed, ..case.clone() });
            let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for violation in &outcome.violations {
                let class: String = violation.chars().take(60).collect();
                failed.entry(class).or_default().push(seed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let ms = began.elapsed().as_secs_f64() * 1000.0 / runs as f64;
    let failed = failed.into_inner().unwrap_or_default();
    let mut seeds: Vec<u64> = failed.values().flatten().copied().collect();
    seeds.sort_unstable();
    seeds.dedup();
    println!(
        "{}: {runs} runs, {calls} calls to strike, {ms:.2} ms a run, {} failed",
        case.driver.kind(),
        seeds.len()
    );
    for (class, of_class) in &failed {
        let first: Vec<String> = of_class.iter().take(8).map(u64::to_string).collect();
        println!("    {} runs: {class}…: SEED={}", of_class.len(), first.join(","));
    }
    seeds.len()
}

fn report(driver: &dyn Driver, which: &str, outcome: &Outcome, whole: bool) {
    println!("{} {which}: {}", driver.kind(), outcome.plan);
    if whole {
        outcome.trace.lines().iter().for_each(|line| println!("{line}"));
    }
    println!("hash {:016x}, {} calls", outcome.trace.hash(), outcome.trace.calls());
    outcome.violations.iter().for_each(|violation| println!("VIOLATION: {violation}"));
}
