//! One run: a thread of its own, a runtime whose clock is virtual, and all randomness from the seed.

use std::cell::RefCell;
use std::sync::{Arc, Once};
use std::time::Duration;

use crate::fault::Plan;
use crate::life;
use crate::oracle::End;
use crate::seed;
use crate::start::Start;
use crate::story::Story;
use crate::trace::{Trace, What};

/// In so many worlds each fault is tried by itself. A world is what is drawn for a run apart from the faults, such as how late reads are.
pub const WORLDS: u64 = 8;

/// Which run.
#[derive(Clone)]
pub struct Case {
    /// What happens in it.
    pub story: Story,
    /// What it begins with.
    pub start: Arc<Start>,
    /// The number of the run: all randomness follows from it.
    pub seed: u64,
    /// The faults; those that follow from the seed if it is `None`.
    pub plan: Option<Plan>,
    /// How the story goes without faults; `None` for the run that finds out.
    pub known: Option<Arc<Known>>,
    /// How long nothing may be written in the end.
    pub rest: Duration,
}

impl Case {
    /// The run that finds out how the story goes without faults: what is drawn for it is that of the world of this one.
    #[must_use]
    pub fn faultless(&self) -> Case {
        Case { seed: self.seed % WORLDS, plan: None, known: None, ..self.clone() }
    }

    /// The faults of the run. Their randomness is apart from that of the run itself.
    fn plan(&self) -> Plan {
        seed::plant(!self.seed);
        match (&self.plan, &self.known) {
            (Some(plan), _) => plan.clone(),
            (None, Some(known)) => Plan::of(self.seed, &known.calls),
            (None, None) => Plan::default(),
        }
    }
}

/// How a story goes without faults.
#[derive(Default)]
pub struct Known {
    /// The calls that faults may strike.
    pub calls: Vec<usize>,
    /// All objects of the account at the end, by collection.
    pub end: End,
    /// What the object's conditions say once all is done.
    pub verdict: String,
}

/// The outcome of a run.
pub struct Outcome {
    /// What all randomness but that of the faults followed from.
    pub seed: u64,
    /// The faults.
    pub plan: Plan,
    /// What must not be.
    pub violations: Vec<String>,
    /// How the story went.
    pub known: Arc<Known>,
    /// What happened.
    pub trace: Arc<Trace>,
}

/// So many calls of an object at rest are struck: those of two comparisons with the account.
const CALLS_AT_REST: usize = 15;

/// The numbers of the calls that had something to do, and of the first few while the object rested.
pub fn busy(trace: &Trace) -> Vec<usize> {
    let (mut resting, mut found) = (None, vec![]);
    for line in trace.lines() {
        match line.what {
            What::Note(text) => resting = (text == life::REST).then_some(0),
            What::Call { n, .. } => {
                resting.iter_mut().for_each(|count| *count += 1);
                found.extend(resting.is_none_or(|count| count <= CALLS_AT_REST).then_some(n));
            }
        }
    }
    found
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(vec![]) };
}

/// Runs a story to its end. The same case has the same trace, whatever ran before it or runs beside it.
pub fn run(case: &Case) -> Outcome {
    let plan = case.plan();
    let (case, planned, trace) = (case.clone(), plan.clone(), Arc::new(Trace::default()));
    let traced = trace.clone();
    // A single fault strikes the call that it was drawn for only if the calls are those of the run without faults. In an example the order
    // of the objects matters more than that.
    let same_calls = case.plan.is_none() && plan.strikes.len() == 1 && case.story != Story::Example;
    let seed = if same_calls { case.seed % WORLDS } else { case.seed };
    let lived = alone(seed, async move || Ok(life::live(case, planned, traced).await));
    let (violations, known) = lived.unwrap_or_else(|panicked| (vec![panicked], Known::default()));
    Outcome { seed, plan, violations, known: Arc::new(known), trace }
}

/// Carries something out on a thread of its own, in a runtime whose clock is virtual.
///
/// # Errors
/// Its own, or that it panicked.
pub fn alone<T: Send + 'static>(
    seed: u64,
    what: impl AsyncFnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    record_panics();
    let thread = std::thread::Builder::new().name("lane".to_owned()).spawn(move || {
        seed::plant(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a clock needs nothing of the system");
        let lived = std::panic::AssertUnwindSafe(|| runtime.block_on(what()));
        let lived = std::panic::catch_unwind(lived);
        drop(runtime);
        let panics = PANICS.take();
        let panics = (!panics.is_empty()).then(|| format!("a panic: {}", panics.join("; ")));
        match (lived, panics) {
            (Ok(lived), None) => lived,
            (_, panics) => Err(panics.unwrap_or_default()),
        }
    });
    thread.map_err(|error| error.to_string())?.join().map_err(|_| "the thread ended early".to_owned())?
}

/// Panics on the threads of runs are kept for their verdict, also those that the operator survives.
fn record_panics() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some("lane") {
                PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()));
            } else {
                before(panic);
            }
        }));
    });
}
