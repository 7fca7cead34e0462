//! One run: a thread of its own, a runtime whose clock is virtual, and all randomness from the seed.

use std::cell::RefCell;
use std::sync::{Arc, Once};

use databricks_operator::config::Run;
use databricks_operator::engine::kind::Driver;

use crate::fault::Plan;
use crate::life;
use crate::oracle::End;
use crate::seed;
use crate::trace::{Trace, What};

/// Which run.
#[derive(Clone)]
pub struct Case {
    /// The kind whose sample lives.
    pub driver: &'static dyn Driver,
    /// The operator's flags, see [`crate::operator`].
    pub operator: Arc<Run>,
    /// The number of the run: all randomness follows from it, and which faults strike.
    pub seed: u64,
    /// The calls of a life without faults that faults may strike, see [`Outcome::busy`]; `None` for such a life itself.
    pub calls: Option<Arc<[usize]>>,
    /// The end of such a life, if this one must end like it.
    pub end: Option<Arc<End>>,
    /// How long nothing may be written once the object is Ready, in hours.
    pub quiet_hours: u64,
}

/// The outcome of a run.
pub struct Outcome {
    /// The faults.
    pub plan: Plan,
    /// What must not be.
    pub violations: Vec<String>,
    /// All objects of the account at the end, by collection.
    pub end: Arc<End>,
    /// What happened.
    pub trace: Arc<Trace>,
}

impl Outcome {
    /// The numbers of the calls that had something to do, and of the first few while the object rested.
    pub fn busy(&self) -> Arc<[usize]> {
        let (mut resting, mut found) = (None, vec![]);
        for line in self.trace.lines() {
            match line.what {
                What::Note(text) => resting = (text == life::REST).then_some(0),
                What::Call { n, .. } => {
                    resting.iter_mut().for_each(|count| *count += 1);
                    found.extend(resting.is_none_or(|count| count <= CALLS_AT_REST).then_some(n));
                }
            }
        }
        found.into()
    }
}

/// So many calls of an object at rest are struck: those of two comparisons with the account.
const CALLS_AT_REST: usize = 15;

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(vec![]) };
}

/// Runs one life to its end. The same case has the same trace, whatever ran before it or runs beside it.
pub fn run(case: &Case) -> Outcome {
    record_panics();
    let (case, trace) = (case.clone(), Arc::new(Trace::default()));
    let shared = trace.clone();
    let thread = std::thread::Builder::new().name("lane".to_owned()).spawn(move || {
        seed::plant(case.seed);
        let plan = case.calls.as_ref().map_or_else(Plan::default, |calls| Plan::of(case.seed, calls));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a clock needs nothing of the system");
        let lived =
            std::panic::AssertUnwindSafe(|| runtime.block_on(life::live(&case, plan.clone(), shared)));
        let (mut violations, end) = std::panic::catch_unwind(lived).unwrap_or_default();
        drop(runtime);
        violations.extend(PANICS.take().into_iter().map(|panic| format!("a panic: {panic}")));
        (plan, violations, end)
    });
    let (plan, violations, end) = match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(ended)) => ended,
        _ => (Plan::default(), vec!["the thread of the run ended early".to_owned()], End::new()),
    };
    Outcome { plan, violations, end: Arc::new(end), trace }
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
