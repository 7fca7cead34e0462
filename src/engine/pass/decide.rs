//! What to do, given the desired state, the observed state and the record. Pure: a table written as code, no clock, no I/O.

use std::time::Duration;

use serde_json::Value;

use super::bound::Record;
use super::look::{Found, Interrupted};
use crate::engine::crd::{AdoptionPolicy, RECONCILE_REQUESTED, Reason, camel, shorten};
use crate::engine::kind::{Change, Immutable, Phase, Seen, When, at};

/// All that a decision depends on.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// How messages name the object in the account: the kind with the id or the natural name by which it is found.
    pub called: String,
    /// The object is being deleted.
    pub deleting: bool,
    /// `managementPolicy: Observe`.
    pub observe: bool,
    /// `adoptionPolicy`, effective.
    pub adoption: AdoptionPolicy,
    /// `deletionPolicy` is effectively Delete, and neither `Observe` nor `suspend` prevents it.
    pub delete_outside: bool,
    /// `deletionProtection`.
    pub protected: bool,
    /// The kind holds users' data.
    pub data_bearing: bool,
    /// What binds this object to one in the account.
    pub record: Record,
    /// That record is an annotation alone, which came with a backup or a copy.
    pub copied: bool,
    /// What was found in the account.
    pub found: &'a Found,
    /// What differs between the desired and the observed state.
    pub changes: &'a [Change],
    /// The spec names exactly one object by id.
    pub asked: bool,
    /// A user requests a reconcile.
    pub requested: bool,
    /// The fields to send once more if a user requests a retry of what failed; empty if that is of no use.
    pub again: Vec<String>,
    /// The spec, for the names of fields in messages.
    pub spec: &'a Value,
    /// The fields that cannot change, for the same.
    pub immutable: &'static [Immutable],
    /// A change or a creation that takes time.
    pub operation: Running,
    /// What was accepted and does not show may be sent again: enough time has passed, a user requests it, or more differs
    /// by now.
    pub resend: bool,
}

/// A change or creation that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// None.
    No,
    /// Within its bound.
    Yes,
    /// Longer than its bound, for the current generation of the spec.
    Overdue,
}

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create it.
    Create,
    /// Bind to what was found.
    Adopt,
    /// Change these fields of `State`.
    Update(Vec<String>),
    /// Request the deletion.
    Delete,
    /// Release the Kubernetes object. The word for the event.
    Release(Released),
    /// Bind to what an interrupted create created.
    Bind(String),
    /// An interrupted create created nothing.
    Forget,
    /// Too early to know what an interrupted create created.
    WaitOut {
        /// For this long.
        after: Duration,
        /// What is waited for.
        message: String,
    },
    /// Reconcile again later.
    Wait {
        /// Shown in `Ready`.
        reason: Reason,
        /// What is waited for.
        message: String,
    },
    /// A person must decide.
    Refuse {
        /// Shown in `Stalled` or `DeletionBlocked`.
        reason: Reason,
        /// What, why, what to write.
        message: String,
    },
    /// It does not exist, and is only observed: report what managing it would do.
    Plan {
        /// Shown in `Ready`.
        reason: Reason,
        /// What would be done.
        message: String,
    },
    /// Nothing to do.
    Rest,
}

impl Step {
    /// Whether something is written to the account, or bound to an object there.
    pub fn writes(&self) -> bool {
        matches!(self, Step::Create | Step::Adopt | Step::Update(_) | Step::Delete)
    }
}

/// Why a Kubernetes object may be released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// There never was an object in the account.
    NeverCreated,
    /// It stays in the account.
    Retained,
    /// It is gone from the account.
    Gone,
}

fn refuse(reason: Reason, message: impl Into<String>) -> Step {
    Step::Refuse { reason, message: message.into() }
}

fn wait(reason: Reason, message: impl Into<String>) -> Step {
    Step::Wait { reason, message: message.into() }
}

fn plan(reason: Reason, message: impl Into<String>) -> Step {
    Step::Plan { reason, message: message.into() }
}

/// The step for a view.
pub fn decide(view: &View<'_>) -> Step {
    if view.deleting { deleting(view) } else { living(view) }
}

/// Decides what needs no response of the account about a deletion: it needs no credentials then.
pub fn deleting_without_account(view: &View<'_>) -> Option<Step> {
    if view.record == Record::None || view.record == Record::Asked {
        return Some(Step::Release(Released::NeverCreated));
    }
    if !view.delete_outside || view.record == Record::Observed {
        return Some(Step::Release(Released::Retained));
    }
    view.protected.then(|| {
        refuse(
            Reason::DeletionProtected,
            "spec.deletionProtection is true: set it to false to delete the object in the account, or set \
             spec.deletionPolicy to Retain and spec.deletionProtection to false to leave it there",
        )
    })
}

fn deleting(view: &View<'_>) -> Step {
    if let Some(step) = deleting_without_account(view) {
        return step;
    }
    match view.found {
        Found::Nothing { settled: true } => Step::Release(Released::Gone),
        Found::Nothing { settled: false } => {
            wait(Reason::Deleting, "checking once more that the object is gone")
        }
        Found::Ours(seen) => match &seen.about.phase {
            Phase::Leaving(why) => wait(Reason::Deleting, why.clone()),
            _ => Step::Delete,
        },
        Found::Foreign(seen) => refuse(
            Reason::ApiRefused,
            format!(
                "the object {} in the account no longer looks like the one this object manages, so it is not deleted: \
                 set spec.deletionPolicy to Retain to release this object",
                seen.id
            ),
        ),
        // The other object deletes it.
        Found::Held(_) => Step::Release(Released::Retained),
        Found::Replaced(_) => Step::Release(Released::Gone),
        Found::Interrupted(create) => match recover(create) {
            Step::Refuse { message, .. } => refuse(Reason::ApiRefused, message),
            step => step,
        },
        Found::Several(ids) => refuse(
            Reason::ApiRefused,
            format!(
                "several objects match {} ({}): set spec.deletionPolicy to Retain to release this object",
                view.called,
                ids.join(", ")
            ),
        ),
    }
}

fn living(view: &View<'_>) -> Step {
    match view.found {
        Found::Nothing { settled } if view.observe => unseen(view, *settled),
        Found::Nothing { settled } => absent(view, *settled),
        Found::Several(ids) => refuse(
            Reason::Ambiguous,
            format!(
                "several objects match {}: {}; set spec.externalId to the intended one",
                view.called,
                ids.join(", ")
            ),
        ),
        Found::Held(by) => refuse(Reason::ManagementConflict, managed_by(by)),
        Found::Replaced(ids) if view.observe => plan(
            Reason::ExternalResourceMissing,
            format!(
                "the object is gone from the account, and others like it are there ({}): to observe one of them, delete this \
                 object and apply it again with spec.externalId",
                ids.join(", ")
            ),
        ),
        Found::Replaced(ids) => refuse(
            Reason::AlreadyExists,
            format!(
                "{} is gone from the account, and others like it are there ({}): delete them there, or delete this \
                 object and apply it again with spec.adoptionPolicy: IfExists",
                view.called,
                ids.join(", ")
            ),
        ),
        Found::Interrupted(create) => recover(create),
        Found::Foreign(seen) => foreign(view, seen, false),
        Found::Ours(seen) if view.record == Record::Bound || observes(view) => ours(view, seen),
        Found::Ours(seen) => foreign(view, seen, true),
    }
}

/// A create whose result is not known. An object that was created at another time may be another user's, or ours by a wrong
/// clock: a person must decide.
fn recover(create: &Interrupted) -> Step {
    match create {
        Interrupted::TooEarly(after) => Step::WaitOut {
            after: *after,
            message: "a create was interrupted; waiting until the account certainly shows what it created"
                .into(),
        },
        Interrupted::Since { hits, in_time, sent } => match hits.as_slice() {
            [] => Step::Forget,
            [id] if *in_time => Step::Bind(id.clone()),
            several => refuse(
                Reason::CreateResultUnknown,
                format!(
                    "a create was interrupted at {sent}, and what is in the account now may or may not be its result ({}): \
                     delete what is not intended in the account, or delete this object with deletionPolicy Retain and \
                     name the right one with spec.externalId on a new object",
                    several.join(", ")
                ),
            ),
        },
    }
}

/// Whether the object is already recorded as only observed.
fn observes(view: &View<'_>) -> bool {
    view.observe && view.record == Record::Observed
}

/// The object does not exist and is only observed: that is no failure, and the plan is what managing it would do.
fn unseen(view: &View<'_>, settled: bool) -> Step {
    let required = view.adoption == AdoptionPolicy::Required;
    let called = &view.called;
    let missing = |text: String| plan(Reason::ExternalResourceMissing, text);
    let create = "set spec.managementPolicy to Managed to have that done";
    match view.record {
        Record::Bound | Record::Observed if !settled => absent(view, false),
        Record::Asked => {
            missing(format!("the account has no {called}: correct spec.externalId or remove the field"))
        }
        Record::None if required => missing(format!(
            "the account has no {called}, and none would be created, as spec.adoptionPolicy is Required"
        )),
        Record::None => plan(
            Reason::WouldBeCreated,
            format!("the account has no {called}: it would be created; {create}"),
        ),
        Record::Bound | Record::Observed if view.asked || required || view.data_bearing => missing(format!(
            "{called} is gone from the account, and would not be created again by itself: to have a new one, delete this \
             object and apply it again without spec.externalId and spec.adoptionPolicy: Required"
        )),
        Record::Bound | Record::Observed => plan(
            Reason::WouldBeCreated,
            format!("{called} is gone from the account: it would be created again; {create}"),
        ),
    }
}

/// The message of an object whose object in the account is managed by another one.
pub fn managed_by(holder: &str) -> String {
    format!(
        "the object in the account is managed by {holder}: delete one of the two. To replace that one by this one without a gap \
         in the account, set spec.deletionPolicy to Retain on that one and spec.adoptionPolicy to IfExists on this one, then \
         delete that one"
    )
}

fn absent(view: &View<'_>, settled: bool) -> Step {
    let called = &view.called;
    let missing = |text: String| refuse(Reason::ExternalResourceMissing, text);
    match view.record {
        Record::Asked => {
            missing(format!("the account has no {called}: correct spec.externalId or remove the field"))
        }
        Record::None if view.adoption == AdoptionPolicy::Required => missing(format!(
            "the account has no {called}, and spec.adoptionPolicy is Required: create it there, or set IfOwned to have \
             it created"
        )),
        Record::None => Step::Create,
        Record::Bound | Record::Observed if !settled => {
            wait(Reason::Progressing, format!("{called} seems to be gone; reading once more to be sure"))
        }
        Record::Bound | Record::Observed if view.asked || view.adoption == AdoptionPolicy::Required => {
            missing(format!(
                "{called} is gone from the account, and the spec asks for that one: delete this object, and apply it again \
                 without spec.externalId and spec.adoptionPolicy: Required to create a new one"
            ))
        }
        Record::Bound | Record::Observed if view.data_bearing => missing(format!(
            "{called} is gone from the account and holds data, so it is not created again by itself: delete this object \
             and apply it again to create a new one, or apply it with spec.externalId to bind another"
        )),
        Record::Bound | Record::Observed => Step::Create,
    }
}

fn foreign(view: &View<'_>, seen: &Seen, marked: bool) -> Step {
    let allowed = match view.adoption {
        AdoptionPolicy::IfExists | AdoptionPolicy::Required => true,
        AdoptionPolicy::IfOwned => marked || view.asked || view.record == Record::Asked,
        AdoptionPolicy::Never => false,
    };
    // Nothing is written to what is only observed, so that needs no permission.
    if (allowed || view.observe) && view.record != Record::Bound {
        return Step::Adopt;
    }
    if view.copied && seen.about.owner.is_some() {
        return refuse(
            Reason::AlreadyExists,
            format!(
                "an annotation names the object {}, which carries the mark of another Kubernetes object, so it is left alone: \
                 if that one is gone and the name is right, set spec.adoptionPolicy to IfExists to adopt it",
                seen.id
            ),
        );
    }
    if view.record == Record::Bound {
        return refuse(
            Reason::AlreadyExists,
            format!(
                "the object {} in the account no longer looks like the one this object manages, so it is left alone: \
                 change it back there, or apply this object again with spec.externalId and spec.adoptionPolicy: IfExists",
                seen.id
            ),
        );
    }
    refuse(
        Reason::AlreadyExists,
        format!(
            "{} is in the account already, with the id {}: set spec.adoptionPolicy to IfExists to adopt it, \
             or give this one another name",
            view.called, seen.id
        ),
    )
}

fn ours(view: &View<'_>, seen: &Seen) -> Step {
    let changes = view.changes;
    match &seen.about.phase {
        Phase::Pending(why) if view.operation == Running::Overdue => {
            let otherwise = if view.observe { String::new() } else { format!(", or {}", start_over(view)) };
            let text = format!("Databricks has not finished in time ({why}): wait for it{otherwise}");
            refuse(Reason::ProvisioningFailed, text)
        }
        Phase::Pending(why) => wait(Reason::Provisioning, why.clone()),
        Phase::Leaving(why) => wait(Reason::Deleting, format!("it is being deleted outside: {why}")),
        Phase::Failed(why) if view.observe || !changes.iter().any(|c| c.when == When::Now) => {
            failed(view, why)
        }
        _ if changes.is_empty() || view.observe => Step::Rest,
        _ => differs(view, seen),
    }
}

/// It failed, and the spec asks for nothing but what failed.
fn failed(view: &View<'_>, why: &str) -> Step {
    if view.observe || view.again.is_empty() {
        return refuse(Reason::ProvisioningFailed, why);
    }
    if view.requested {
        return Step::Update(view.again.clone());
    }
    let text = format!(
        "{why}: correct the cause, then set the annotation {RECONCILE_REQUESTED} to any new value to retry it, or \
         correct the spec ({}); or {}",
        words(&view.again),
        start_over(view)
    );
    refuse(Reason::ProvisioningFailed, text)
}

/// How to start over with another object in the account. A retained one would be found again.
fn start_over(view: &View<'_>) -> String {
    let mut first = vec![];
    if !view.delete_outside {
        first.push(
            "spec.deletionPolicy to Delete (with Retain the one in the account stays, and is found again)",
        );
    }
    if view.protected {
        first.push("spec.deletionProtection to false");
    }
    let set = if first.is_empty() { String::new() } else { format!("set {}, ", first.join(" and ")) };
    let lost = if view.data_bearing { " with all that it holds" } else { "" };
    format!(
        "to start over, {set}delete this object, which deletes the one in the account{lost}, and apply it again"
    )
}

/// The fields that differ and may be changed now.
pub fn fields_now(changes: &[Change]) -> Vec<String> {
    let now = changes.iter().filter(|change| change.when == When::Now);
    let mut fields: Vec<String> = now.map(|change| change.field().to_owned()).collect();
    fields.dedup();
    fields
}

fn differs(view: &View<'_>, seen: &Seen) -> Step {
    let changes = view.changes;
    let paths =
        |of: &dyn Fn(&When) -> bool| -> Vec<&Change> { changes.iter().filter(|c| of(&c.when)).collect() };
    let now = fields_now(changes);
    if !now.is_empty() {
        return match view.operation {
            Running::No => Step::Update(now),
            // Or a user changed it back at that moment.
            _ if view.resend => Step::Update(now),
            Running::Yes => wait(Reason::Provisioning, format!("Databricks is changing {}", words(&now))),
            Running::Overdue => refuse(
                Reason::ApplyFailed,
                format!(
                    "Databricks accepts the change of {} and does not keep it: correct the spec, or find out who else \
                     changes it in the account; the operator retries it from time to time",
                    words(&now)
                ),
            ),
        };
    }
    let named = |c: &Change| spec_path(view.immutable, view.spec, &c.path);
    let told = |c: &Change| match &c.when {
        When::NotNow(why) => format!("{}: {why}", named(c)),
        When::Never(why) => {
            format!("spec.{}: {why}: {}", named(c), write_back(&named(c), at(&seen.state, &c.path)))
        }
        When::Now => String::new(),
    };
    let never = paths(&|w| matches!(w, When::Never(_)));
    if never.is_empty() {
        let texts: Vec<String> = changes.iter().map(told).collect();
        return wait(Reason::Progressing, texts.join("; "));
    }
    let texts: Vec<String> = never.into_iter().map(told).collect();
    refuse(Reason::ImmutableFieldChanged, format!("{}; or {}", texts.join("; "), start_over(view)))
}

/// How to write the account's value into the spec.
fn write_back(field: &str, value: &Value) -> String {
    let text = shorten(&value.to_string(), 200);
    match value {
        Value::Null => "remove the field, as the account has no value for it".into(),
        _ if field.ends_with("Ref") => format!("let it mean {text}, as the account has it"),
        _ => format!("write {text}, as the account has it"),
    }
}

/// Fields of the state as users write them.
pub fn words(fields: &[String]) -> String {
    fields.iter().map(|f| camel(f)).collect::<Vec<_>>().join(", ")
}

/// A path of the state as the field of the spec that it comes from.
pub fn spec_path(immutable: &[Immutable], spec: &Value, path: &str) -> String {
    let field = path.split('.').next().unwrap_or(path);
    let fixed = immutable.iter().find(|i| i.state == field);
    fixed.map_or_else(|| camel(path), |i| format!("{}{}", i.written(spec), &path[field.len()..]))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Map, json};

    use super::*;
    use crate::engine::kind::About;

    fn seen(phase: Phase) -> Seen {
        let about = About { phase, ..About::default() };
        Seen { id: "1".into(), state: json!({}), facts: Map::new(), about }
    }

    fn change(path: &str, when: When) -> Change {
        Change { path: path.into(), when }
    }

    /// What was found is leaked, so that views need no owner.
    fn view<'a>(record: Record, found: Found) -> View<'a> {
        View {
            called: "Thing a".into(),
            deleting: false,
            observe: false,
            adoption: AdoptionPolicy::IfOwned,
            delete_outside: true,
            protected: false,
            data_bearing: false,
            record,
            copied: false,
            found: Box::leak(Box::new(found)),
            changes: &[],
            asked: false,
            requested: false,
            again: vec![],
            spec: &Value::Null,
            immutable: &[],
            operation: Running::No,
            resend: false,
        }
    }

    /// The reason of a refusal or wait, else the step's name.
    fn word(view: &View<'_>) -> String {
        match decide(view) {
            Step::Refuse { reason, .. } => format!("refuse {}", reason.name()),
            Step::Plan { reason, .. } => format!("plan {}", reason.name()),
            Step::Wait { reason, .. } => format!("wait {}", reason.name()),
            Step::Update(fields) => format!("update {}", fields.join(",")),
            Step::Release(how) => format!("release {how:?}"),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    #[test]
    fn what_is_absent_is_made_unless_a_policy_says_otherwise() {
        let gone = || Found::Nothing { settled: true };
        let with = |record, f: &dyn Fn(&mut View<'_>)| {
            let mut v = view(record, gone());
            f(&mut v);
            word(&v)
        };
        assert_eq!(with(Record::None, &|_| {}), "create");
        assert_eq!(
            with(Record::None, &|v| v.adoption = AdoptionPolicy::Required),
            "refuse ExternalResourceMissing"
        );
        assert_eq!(with(Record::Asked, &|_| {}), "refuse ExternalResourceMissing");
        assert_eq!(with(Record::Bound, &|_| {}), "create");
        assert_eq!(
            with(Record::Bound, &|v| v.adoption = AdoptionPolicy::Required),
            "refuse ExternalResourceMissing"
        );
        assert_eq!(with(Record::Bound, &|v| v.asked = true), "refuse ExternalResourceMissing");
        let replaced = view(Record::Bound, Found::Replaced(vec!["2".into()]));
        assert_eq!(word(&replaced), "refuse AlreadyExists", "a second one like it is not created");
        assert_eq!(with(Record::Bound, &|v| v.data_bearing = true), "refuse ExternalResourceMissing");
        let unsure = view(Record::Bound, Found::Nothing { settled: false });
        assert_eq!(word(&unsure), "wait Progressing", "absence is believed only when it lasts");
    }

    /// Covers LC-01.
    #[test]
    fn an_interrupted_create_is_waited_out_and_then_bound_or_forgotten_or_shown_to_a_person() {
        let since = |hits: &[&str], in_time| {
            let hits = hits.iter().map(|id| (*id).to_owned()).collect();
            Found::Interrupted(Interrupted::Since { hits, in_time, sent: Timestamp::UNIX_EPOCH })
        };
        let cases = [
            (Found::Interrupted(Interrupted::TooEarly(Duration::from_secs(7))), "waitout"),
            (since(&[], true), "forget"),
            (since(&["1"], true), "bind"),
            (since(&["1"], false), "refuse CreateResultUnknown"),
            (since(&["1", "2"], true), "refuse CreateResultUnknown"),
        ];
        for (found, expected) in cases {
            for deleting in [false, true] {
                for observe in [false, true] {
                    let delete_outside = !observe;
                    let view =
                        View { deleting, observe, delete_outside, ..view(Record::Bound, found.clone()) };
                    let expected = match expected {
                        _ if deleting && observe => "release Retained",
                        "refuse CreateResultUnknown" if deleting => "refuse ApiRefused",
                        expected => expected,
                    };
                    assert!(word(&view).starts_with(expected), "{found:?}: {}", word(&view));
                }
            }
            let retained = View { deleting: true, delete_outside: false, ..view(Record::Bound, found) };
            assert_eq!(word(&retained), "release Retained", "nothing is asked of the account");
        }
    }

    /// Covers LC-18.
    #[test]
    fn what_is_absent_and_only_observed_is_a_plan() {
        let with = |record, f: &dyn Fn(&mut View<'_>)| {
            let mut v = View { observe: true, ..view(record, Found::Nothing { settled: true }) };
            f(&mut v);
            word(&v)
        };
        for record in [Record::None, Record::Observed, Record::Bound] {
            assert_eq!(with(record, &|_| {}), "plan WouldBeCreated", "{record:?}");
            let required = with(record, &|v| v.adoption = AdoptionPolicy::Required);
            assert_eq!(required, "plan ExternalResourceMissing", "{record:?}");
        }
        assert_eq!(with(Record::Asked, &|_| {}), "plan ExternalResourceMissing");
        for record in [Record::Observed, Record::Bound] {
            assert_eq!(with(record, &|v| v.data_bearing = true), "plan ExternalResourceMissing");
            assert_eq!(with(record, &|v| v.found = &Found::Nothing { settled: false }), "wait Progressing");
            assert_eq!(
                with(record, &|v| v.found = Box::leak(Box::new(Found::Replaced(vec!["2".into()])))),
                "plan ExternalResourceMissing"
            );
        }
    }

    /// Covers LC-03, LC-18.
    #[test]
    fn who_observes_needs_no_permission_and_gets_none_by_it() {
        let it = seen(Phase::Ready);
        for adoption in [AdoptionPolicy::Never, AdoptionPolicy::IfOwned, AdoptionPolicy::IfExists] {
            let observe =
                |record| View { observe: true, adoption, ..view(record, Found::Foreign(it.clone())) };
            assert_eq!(word(&observe(Record::None)), "adopt", "{adoption:?}");
            let managed = word(&View { observe: false, ..observe(Record::Observed) });
            let allowed = adoption == AdoptionPolicy::IfExists;
            assert_eq!(managed, if allowed { "adopt" } else { "refuse AlreadyExists" }, "{adoption:?}");
        }
        let asked = View { asked: true, ..view(Record::Observed, Found::Foreign(it.clone())) };
        assert_eq!(word(&asked), "adopt");
        let marked = view(Record::Observed, Found::Ours(it.clone()));
        assert_eq!(word(&marked), "adopt");
        assert_eq!(word(&View { observe: true, ..marked.clone() }), "rest");
        assert_eq!(word(&View { deleting: true, ..marked }), "release Retained");
    }

    /// Covers LC-19.
    #[test]
    fn what_failed_is_tried_again_when_somebody_asks_and_says_what_else_helps() {
        let failed = seen(Phase::Failed("no such bucket".into()));
        let again = || vec!["aws_region".to_owned()];
        let v = View { again: again(), ..view(Record::Bound, Found::Ours(failed.clone())) };
        assert_eq!(word(&View { requested: true, ..v.clone() }), "update aws_region");
        let banned = View { requested: true, again: vec![], ..v.clone() };
        assert_eq!(word(&banned), "refuse ProvisioningFailed", "it would be of no use");
        let observed = View { requested: true, observe: true, ..v.clone() };
        assert_eq!(word(&observed), "refuse ProvisioningFailed", "nothing is written");
        let text = |view: View<'_>| match decide(&view) {
            Step::Refuse { message, .. } => message,
            other => panic!("{other:?}"),
        };
        let deleted = text(v.clone());
        assert!(
            deleted.starts_with("no such bucket: ") && deleted.contains(RECONCILE_REQUESTED),
            "{deleted}"
        );
        assert!(deleted.contains("(awsRegion)") && !deleted.contains("deletionPolicy"), "{deleted}");
        let retained = text(View { delete_outside: false, protected: true, data_bearing: true, ..v });
        for part in
            ["set spec.deletionPolicy to Delete", "spec.deletionProtection to false", "all that it holds"]
        {
            assert!(retained.contains(part), "{part}: {retained}");
        }
    }

    /// Covers IM-09.
    #[test]
    fn a_message_about_a_fixed_field_says_the_value_that_the_account_has() {
        const FIXED: &[Immutable] = &[Immutable { state: "role", spec: &["outer.role"] }];
        let mut it = seen(Phase::Ready);
        it.state = json!({"aws_region": "eu-west-1", "role": "theirs"});
        let never = |path: &str| change(path, When::Never("it stays".into()));
        let changes = [never("aws_region"), never("network_id"), never("role")];
        let ours = View { changes: &changes, ..view(Record::Bound, Found::Ours(it.clone())) };
        let Step::Refuse { message, .. } = decide(&View { immutable: FIXED, ..ours }) else {
            panic!("refused")
        };
        for part in [
            "spec.awsRegion: it stays: write \"eu-west-1\", as the account has it",
            "spec.networkId: it stays: remove the field",
            "spec.outer.role: it stays: write \"theirs\"",
            "to start over, delete this object",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn a_strangers_object_is_taken_over_only_by_permission() {
        let it = seen(Phase::Ready);
        for (adoption, stranger, marked, asked) in [
            (AdoptionPolicy::Never, "refuse AlreadyExists", "refuse AlreadyExists", "refuse AlreadyExists"),
            (AdoptionPolicy::IfOwned, "refuse AlreadyExists", "adopt", "adopt"),
            (AdoptionPolicy::IfExists, "adopt", "adopt", "adopt"),
            (AdoptionPolicy::Required, "adopt", "adopt", "adopt"),
        ] {
            let with = |record, found| word(&View { adoption, ..view(record, found) });
            assert_eq!(with(Record::None, Found::Foreign(it.clone())), stranger, "{adoption:?}");
            assert_eq!(with(Record::None, Found::Ours(it.clone())), marked, "{adoption:?}");
            assert_eq!(with(Record::Asked, Found::Foreign(it.clone())), asked, "{adoption:?}");
            assert_eq!(
                with(Record::Bound, Found::Foreign(it.clone())),
                "refuse AlreadyExists",
                "{adoption:?}"
            );
        }
        assert_eq!(word(&view(Record::Bound, Found::Held("x".into()))), "refuse ManagementConflict");
        assert_eq!(word(&view(Record::None, Found::Several(vec!["1".into()]))), "refuse Ambiguous");
    }

    #[test]
    fn what_is_ours_is_changed_where_it_may_be() {
        let ready = seen(Phase::Ready);
        let now = [change("a.x", When::Now), change("a.y", When::Now), change("b", When::Never("no".into()))];
        let never = [change("b", When::Never("no".into()))];
        let later = [change("c", When::NotNow("stop it first".into()))];
        let ours = |changes| View { changes, ..view(Record::Bound, Found::Ours(ready.clone())) };
        assert_eq!(word(&ours(&[])), "rest");
        assert_eq!(word(&ours(&now)), "update a");
        assert_eq!(word(&ours(&never)), "refuse ImmutableFieldChanged");
        assert_eq!(word(&ours(&later)), "wait Progressing");
        assert_eq!(word(&View { observe: true, ..ours(&now) }), "rest");
        assert_eq!(word(&View { operation: Running::Yes, ..ours(&now) }), "wait Provisioning");
        assert_eq!(word(&View { operation: Running::Overdue, ..ours(&now) }), "refuse ApplyFailed");
        for operation in [Running::No, Running::Yes, Running::Overdue] {
            assert_eq!(word(&View { operation, resend: true, ..ours(&now) }), "update a", "{operation:?}");
            assert_eq!(word(&View { operation, resend: true, observe: true, ..ours(&now) }), "rest");
        }
    }

    #[test]
    fn phases_wait_fail_or_are_repaired() {
        let now = [change("a", When::Now)];
        let with = |phase, changes: &[Change]| {
            let it = seen(phase);
            word(&View { changes, ..view(Record::Bound, Found::Ours(it.clone())) })
        };
        assert_eq!(
            with(Phase::Pending("p".into()), &now),
            "wait Provisioning",
            "nothing is compared while pending"
        );
        assert_eq!(with(Phase::Failed("f".into()), &[]), "refuse ProvisioningFailed");
        assert_eq!(with(Phase::Failed("f".into()), &now), "update a", "a failed one may be repaired");
        assert_eq!(with(Phase::Leaving("l".into()), &[]), "wait Deleting");
        let late = seen(Phase::Pending("p".into()));
        let late = View { operation: Running::Overdue, ..view(Record::Bound, Found::Ours(late.clone())) };
        assert_eq!(word(&late), "refuse ProvisioningFailed");
        assert_eq!(
            word(&View { resend: true, ..late }),
            "refuse ProvisioningFailed",
            "nothing is sent to it"
        );
    }

    #[test]
    fn a_deletion_deletes_only_what_is_proven_ours_and_releases_only_what_is_proven_gone() {
        let it = seen(Phase::Ready);
        let leaving = seen(Phase::Leaving("l".into()));
        let with = |record, found, f: &dyn Fn(&mut View<'_>)| {
            let mut v = View { deleting: true, ..view(record, found) };
            f(&mut v);
            word(&v)
        };
        let ours = || Found::Ours(it.clone());
        assert_eq!(with(Record::Bound, ours(), &|_| {}), "delete");
        assert_eq!(with(Record::Bound, Found::Ours(leaving.clone()), &|_| {}), "wait Deleting");
        assert_eq!(with(Record::Bound, Found::Foreign(it.clone()), &|_| {}), "refuse ApiRefused");
        assert_eq!(with(Record::Bound, Found::Held("x".into()), &|_| {}), "release Retained");
        assert_eq!(with(Record::Bound, Found::Nothing { settled: false }, &|_| {}), "wait Deleting");
        assert_eq!(with(Record::Bound, Found::Nothing { settled: true }, &|_| {}), "release Gone");
        assert_eq!(with(Record::Bound, ours(), &|v| v.delete_outside = false), "release Retained");
        assert_eq!(with(Record::Bound, ours(), &|v| v.protected = true), "refuse DeletionProtected");
        assert_eq!(with(Record::None, ours(), &|_| {}), "release NeverCreated");
        assert_eq!(with(Record::Asked, ours(), &|_| {}), "release NeverCreated");
    }

    #[test]
    fn wire_names_are_shown_as_users_write_them() {
        assert_eq!(camel("ip_addresses"), "ipAddresses");
        assert_eq!(camel("custom_tags.cost_center"), "customTags.cost_center");
        assert_eq!(camel("label"), "label");
    }
}
