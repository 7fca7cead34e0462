//! Runs a campaign, or replays one run: `campaign --kind Group --story Create --seed 17` prints its trace.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use campaign::{Case, Outcome, Plan, Starts, Story, WORLDS, operator, run};
use clap::Parser;
use databricks_operator::engine::kind::Driver;
use databricks_operator::kinds::KINDS;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Runs the operator with faults, in one thread under virtual time")]
struct Arguments {
    /// How many runs in all, shared among the stories of all kinds
    #[arg(long, env = "RUNS", default_value_t = 10_000)]
    runs: u64,
    /// The kinds, separated by commas; all by default
    #[arg(long, env = "KIND", value_delimiter = ',')]
    kind: Vec<String>,
    /// The stories, separated by commas; all by default
    #[arg(long, env = "STORY", value_delimiter = ',')]
    story: Vec<String>,
    /// Replays this run of each kind and story, and prints what happened
    #[arg(long, env = "SEED")]
    seed: Option<u64>,
    /// Replays a run with these faults, as they are printed, in place of those of its seed
    #[arg(long, env = "PLAN")]
    plan: Option<Plan>,
    /// The first run of a campaign
    #[arg(long, env = "FROM", default_value_t = 0)]
    from: u64,
    /// How many minutes nothing may be written in the end
    #[arg(long, env = "REST_MINUTES", default_value_t = 15)]
    rest_minutes: u64,
    /// Another flag of the operator, such as --flag=--quarantine=1s; may be given several times
    #[arg(long, allow_hyphen_values = true)]
    flag: Vec<String>,
    /// Runs without faults, which only differ in their seeds
    #[arg(long)]
    faultless: bool,
    /// Ends at the first violation
    #[arg(long)]
    until_first: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let kinds: Vec<&'static dyn Driver> =
        KINDS.iter().copied().filter(|driver| named(&arguments.kind, &driver.kind())).collect();
    let stories: Vec<Story> =
        Story::ALL.into_iter().filter(|story| named(&arguments.story, &format!("{story:?}"))).collect();
    if kinds.is_empty() || stories.is_empty() {
        eprintln!("there is no kind {}, or no story {}", arguments.kind.join(","), arguments.story.join(","));
        return ExitCode::FAILURE;
    }
    let operator = operator(&arguments.flag);
    let rest = Duration::from_secs(60 * arguments.rest_minutes);
    let replays = arguments.seed.or(arguments.plan.is_some().then_some(0));
    let plan = if arguments.faultless { Some(Plan::default()) } else { arguments.plan };
    let mut all = vec![];
    for driver in kinds {
        let starts = Arc::new(Starts::new(driver, operator.clone()));
        let possible = stories.iter().filter(|story| starts.fit(**story));
        let series = |story: &Story| Series::new(*story, starts.clone(), plan.clone(), rest);
        all.extend(possible.map(|story| Series { until_first: arguments.until_first, ..series(story) }));
    }
    match replays {
        Some(seed) => all.iter().for_each(|series| series.replay(seed)),
        None => campaign(&all, arguments.from, arguments.runs),
    }
    let wrong: usize = all.iter().map(Series::print).sum();
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// So many runs of a story a core carries out before it takes up the next.
const CHUNK: u64 = 100;

/// Runs all stories on all cores, each as often as its weight says.
fn campaign(all: &[Series], from: u64, runs: u64) {
    let began = Instant::now();
    let shares: f64 = all.iter().map(|series| 1.0 / series.story.weight() as f64).sum();
    let each = |series: &Series| (runs as f64 / shares / series.story.weight() as f64).ceil() as u64;
    let chunks: Vec<(&Series, Range<u64>)> = all
        .iter()
        .flat_map(|series| {
            let end = from + each(series);
            (from..end).step_by(CHUNK as usize).map(move |start| (series, start..(start + CHUNK).min(end)))
        })
        .collect();
    let (next, tenth) = (AtomicUsize::new(0), chunks.len().div_ceil(10));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((series, seeds)) = chunks.get(at) else { return };
            series.run(seeds.clone());
            if (at + 1).is_multiple_of(tenth) {
                eprintln!("{} % after {:.0} s", (at + 1) * 100 / chunks.len(), began.elapsed().as_secs_f64());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (took, ran) = (began.elapsed().as_secs_f64(), all.iter().map(each).sum::<u64>());
    let struck: u64 = all.iter().map(|series| series.struck.load(Ordering::Relaxed)).sum();
    println!(
        "{ran} runs of {} stories in {took:.0} s, {:.2} ms a run; faults struck in {struck} of them",
        all.len(),
        took * 1000.0 / ran as f64
    );
}

fn named(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|known| known == name)
}

/// All runs of one story of one kind, and what went wrong in them.
struct Series {
    name: String,
    story: Story,
    starts: Arc<Starts>,
    /// The faults of all runs, if they are not drawn.
    plan: Option<Plan>,
    rest: Duration,
    /// The program ends with the first violation.
    until_first: bool,
    /// The run without faults, by world; nothing if it went wrong.
    first: [OnceLock<Option<Case>>; WORLDS as usize],
    /// In how many runs at least one fault struck.
    struck: AtomicU64,
    /// The seeds with a violation, by its class.
    wrong: Mutex<BTreeMap<String, BTreeSet<u64>>>,
}

impl Series {
    fn new(story: Story, starts: Arc<Starts>, plan: Option<Plan>, rest: Duration) -> Series {
        let name = format!("{} {story:?}", starts.driver.kind());
        let (first, struck, wrong) = (Default::default(), AtomicU64::new(0), Mutex::default());
        Series { name, story, starts, plan, rest, until_first: false, first, struck, wrong }
    }

    /// The run of this seed without faults.
    fn faultless(&self, seed: u64) -> Option<Case> {
        match self.starts.of(self.story) {
            Ok(start) => {
                let (story, rest) = (self.story, self.rest);
                Some(Case { story, start, seed, plan: None, known: None, rest }.faultless())
            }
            Err(why) => {
                self.record(format!("without faults, and cannot begin: {why}"), seed);
                None
            }
        }
    }

    /// The run of this seed: it knows how the story goes without faults.
    fn case(&self, seed: u64) -> Option<Case> {
        let first = || {
            let case = self.faultless(seed)?;
            let first = run(&case);
            first
                .violations
                .iter()
                .for_each(|text| self.record(format!("without faults: {text}"), case.seed));
            let plan = self.plan.clone();
            first.violations.is_empty().then(|| Case { plan, known: Some(first.known), ..case })
        };
        let first = self.first[(seed % WORLDS) as usize].get_or_init(first).as_ref();
        first.map(|case| Case { seed, ..case.clone() })
    }

    fn run(&self, seeds: Range<u64>) {
        for case in seeds.filter_map(|seed| self.case(seed)) {
            let outcome = run(&case);
            self.struck.fetch_add(u64::from(outcome.trace.strikes() > 0), Ordering::Relaxed);
            outcome.violations.into_iter().for_each(|text| self.record(text, case.seed));
        }
    }

    fn record(&self, violation: String, seed: u64) {
        // The message of a panic has several lines.
        let class: String = violation.replace('\n', " ").chars().take(CLASS).collect();
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.entry(class).or_default().insert(seed);
        drop(wrong);
        if self.until_first {
            // Not later: what other cores run may never end.
            self.print();
            std::process::exit(1);
        }
    }

    /// Runs one seed, and prints all of it, without the faults that do not matter.
    fn replay(&self, seed: u64) {
        // If it goes wrong without faults, there is nothing else to replay.
        let Some(case) = self.case(seed).or_else(|| self.faultless(seed)) else { return };
        let outcome = minimal(&case, run(&case));
        println!("{} SEED={seed}: {}", self.name, outcome.plan);
        outcome.trace.lines().iter().for_each(|line| println!("{line}"));
        let (calls, strikes) = (outcome.trace.calls(), outcome.trace.strikes());
        println!("hash {:016x}, {calls} calls, {strikes} faults struck", outcome.trace.hash());
        for violation in &outcome.violations {
            println!("VIOLATION: {violation}");
            self.record(violation.clone(), seed);
        }
        if !outcome.violations.is_empty() {
            let (kind, story) = (self.starts.driver.kind(), format!("{:?}", self.story));
            println!("To keep it as a test, add to KEPT in hack/campaign/tests/seeds.rs:");
            println!("    ({kind:?}, {story:?}, {}, {:?}),", outcome.seed, outcome.plan.to_string());
        }
    }

    /// Prints what went wrong; returns in how many runs.
    fn print(&self) -> usize {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        for (class, seeds) in wrong.iter() {
            let first: Vec<String> = seeds.iter().take(8).map(u64::to_string).collect();
            println!("{}: {} runs: {class}…: SEED={}", self.name, seeds.len(), first.join(","));
        }
        wrong.values().flatten().collect::<BTreeSet<_>>().len()
    }
}

/// The same run with as few of its faults as still make it go wrong.
fn minimal(case: &Case, mut outcome: Outcome) -> Outcome {
    let mut at = 0;
    while at < outcome.plan.strikes.len() && !outcome.violations.is_empty() {
        let mut plan = outcome.plan.clone();
        plan.strikes.remove(at);
        let fewer = run(&Case { seed: outcome.seed, plan: Some(plan), ..case.clone() });
        if fewer.violations.is_empty() { at += 1 } else { outcome = fewer }
    }
    outcome
}

/// So much of a violation's text is its class.
const CLASS: usize = 120;
