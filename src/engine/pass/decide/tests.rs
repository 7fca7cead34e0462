//! Each decision as a row: what is known of an object, and the step that follows. No I/O, no clock. Longer than other
//! files, as all of it is about one function.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::*;
use crate::engine::cluster::{Held, Reserved};
use crate::engine::crd::camel;
use crate::engine::kind::{About, Immutable, Output};
use crate::engine::pass::reading::Interrupted;

fn seen(phase: Phase) -> Seen {
    let about = About { phase, ..About::default() };
    Seen { id: "1".into(), state: json!({}), facts: Map::new(), about }
}

fn change(path: &str, when: When) -> Change {
    Change { path: path.into(), when }
}

/// What was found is leaked, so that views need no owner.
fn view<'a>(bound_as: BoundAs, found: Found) -> View<'a> {
    View {
        called: "Thing a".into(),
        deleting: false,
        observe: false,
        adoption: AdoptionPolicy::IfOwned,
        delete_outside: true,
        protected: false,
        data_bearing: false,
        undelete: None,
        standing: false,
        bound_as,
        copied: false,
        found: Box::leak(Box::new(found)),
        changes: &[],
        spec_id: None,
        requested: false,
        again: vec![],
        spec: &Value::Null,
        immutable: &[],
        references: &[],
        left_behind: None,
        secret: None,
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

/// The message of a refusal.
fn refusal(view: &View<'_>) -> String {
    match decide(view) {
        Step::Refuse { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_object_is_created_unless_a_policy_forbids_it() {
    let gone = || Found::Nothing { settled: true };
    let with = |bound_as, f: &dyn Fn(&mut View<'_>)| {
        let mut v = view(bound_as, gone());
        f(&mut v);
        word(&v)
    };
    assert_eq!(with(BoundAs::Nothing, &|_| {}), "create");
    assert_eq!(
        with(BoundAs::Nothing, &|v| v.adoption = AdoptionPolicy::Required),
        "refuse ExternalResourceMissing"
    );
    assert_eq!(with(BoundAs::NamedBySpec, &|_| {}), "refuse ExternalResourceMissing");
    assert_eq!(with(BoundAs::Managed, &|_| {}), "create");
    assert_eq!(
        with(BoundAs::Managed, &|v| v.adoption = AdoptionPolicy::Required),
        "refuse ExternalResourceMissing"
    );
    assert_eq!(with(BoundAs::Managed, &|v| v.spec_id = Some("1")), "refuse ExternalResourceMissing");
    let replaced = view(BoundAs::Managed, Found::Replaced(vec!["2".into()]));
    assert_eq!(word(&replaced), "refuse AlreadyExists", "a second one like it is not created");
    assert_eq!(with(BoundAs::Managed, &|v| v.data_bearing = true), "refuse ExternalResourceMissing");
    let unsure = view(BoundAs::Managed, Found::Nothing { settled: false });
    assert_eq!(word(&unsure), "wait Progressing", "absence is believed only when it lasts");
}

/// Covers LC-12. A new one would be empty, and the time in which the old one can be restored would pass.
#[test]
fn what_databricks_can_restore_is_restored_before_a_new_one_is_created() {
    let undelete = Some("restore it within a day");
    let gone = Found::Nothing { settled: true };
    let gone = View { data_bearing: true, undelete, ..view(BoundAs::Managed, gone) };
    for gone in [gone.clone(), View { spec_id: Some("1"), ..gone.clone() }] {
        let text = refusal(&gone);
        assert!(text.starts_with("Thing a is gone from the account"), "{text}");
        assert!(text.contains(": restore it within a day; else delete this object"), "{text}");
    }
    let Step::Plan { message, .. } = decide(&View { observe: true, ..gone }) else { panic!("a plan") };
    assert!(message.contains(": restore it within a day; else to have a new one"), "{message}");
}

/// Covers LC-01.
#[test]
fn an_interrupted_create_is_waited_out_and_then_bound_or_forgotten_or_shown_to_a_person() {
    let since = |hits: &[&str], in_time| {
        let hits = hits.iter().map(|id| (*id).to_owned()).collect();
        Found::Interrupted(Interrupted::Since { hits, in_time, sent: Timestamp::UNIX_EPOCH })
    };
    let cases = [
        (Found::Interrupted(Interrupted::TooEarly(Duration::from_secs(7))), "decidelater"),
        (since(&[], true), "dropintent"),
        (since(&["1"], true), "bind"),
        (since(&["1"], false), "refuse CreateResultUnknown"),
        (since(&["1", "2"], true), "refuse CreateResultUnknown"),
    ];
    for (found, expected) in cases {
        for deleting in [false, true] {
            for observe in [false, true] {
                let delete_outside = !observe;
                let view =
                    View { deleting, observe, delete_outside, ..view(BoundAs::Managed, found.clone()) };
                let expected = match expected {
                    _ if deleting && observe => "release Retained",
                    "refuse CreateResultUnknown" if deleting => "refuse ApiRefused",
                    expected => expected,
                };
                assert!(word(&view).starts_with(expected), "{found:?}: {}", word(&view));
            }
        }
        let retained = View { deleting: true, delete_outside: false, ..view(BoundAs::Managed, found) };
        assert_eq!(word(&retained), "release Retained", "nothing is asked of the account");
    }
}

/// Covers LC-01.
#[test]
fn a_person_decides_which_object_an_interrupted_create_had_created() {
    let found = Found::Interrupted(Interrupted::Since {
        hits: vec!["1".into(), "2".into()],
        in_time: true,
        sent: Timestamp::UNIX_EPOCH,
    });
    let with = |asked| View { spec_id: asked, ..view(BoundAs::Managed, found.clone()) };
    assert_eq!(word(&with(None)), "refuse CreateResultUnknown");
    assert_eq!(word(&with(Some("2"))), "dropintent", "what the spec names is adopted next");
    assert_eq!(word(&with(Some("3"))), "refuse CreateResultUnknown", "it is none of them");
    let deleting = View { deleting: true, ..with(Some("2")) };
    assert_eq!(word(&deleting), "refuse ApiRefused", "nothing is left there unseen");
    assert!(refusal(&deleting).contains("spec.deletionPolicy to Retain"));
}

/// Covers LC-30.
#[test]
fn a_secret_of_an_interrupted_create_is_bound_if_it_was_kept_and_deleted_if_its_value_is_lost() {
    let step = |hits: &[&str], in_time, holds: &str, change: &dyn Fn(&mut View<'_>)| {
        let hits = hits.iter().map(|id| (*id).to_owned()).collect();
        let found = Found::Interrupted(Interrupted::Since { hits, in_time, sent: Timestamp::UNIX_EPOCH });
        let held = Held::Own(Reserved { id: Some(holds.into()), ..Reserved::default() });
        let (output, now) = (Output::default(), Timestamp::UNIX_EPOCH);
        let issue = IssuedSecret {
            output,
            without_successor: false,
            held: Some(held),
            retired: vec![],
            refilled: None,
            renewed: None,
            created: None,
            now,
        };
        let mut view = View { secret: Some(issue), ..view(BoundAs::Managed, found) };
        change(&mut view);
        word(&view)
    };
    let managed = |hits, in_time, holds| step(hits, in_time, holds, &|_| {});
    assert_eq!(managed(&[], true, "0"), "dropintent");
    for (hits, in_time) in [(&["1"][..], true), (&["1"], false), (&["1", "2"], true)] {
        assert_eq!(managed(hits, in_time, "1"), r#"bindcreated("1")"#, "{hits:?} {in_time}");
    }
    assert_eq!(managed(&["1"], true, "0"), r#"discard("1")"#);
    assert_eq!(managed(&["1"], false, "0"), "refuse CreateResultUnknown", "it may be another user's");
    assert_eq!(managed(&["1", "2"], true, "0"), "refuse CreateResultUnknown");
    let observed = |hits, holds, asked| {
        step(hits, true, holds, &|view| {
            view.observe = true;
            view.spec_id = asked;
        })
    };
    assert_eq!(observed(&["1"], "1", None), r#"bindcreated("1")"#);
    assert_eq!(observed(&["1"], "0", None), "refuse CreateResultUnknown", "nothing is deleted");
    assert_eq!(observed(&["1"], "0", Some("1")), "dropintent", "a user knows it");
    let deleting = |in_time| step(&["1"], in_time, "0", &|view| view.deleting = true);
    assert_eq!((&*deleting(true), &*deleting(false)), (r#"discard("1")"#, "refuse ApiRefused"));
}

/// An object that is more than its secret, which the Kubernetes Secret `out` is to hold.
fn once<'a>(bound_as: BoundAs, found: Found, held: Held) -> View<'a> {
    let issue = IssuedSecret {
        output: Output { secret_name: "out".into(), ..Output::default() },
        without_successor: true,
        held: Some(held),
        retired: vec![],
        refilled: None,
        renewed: None,
        created: None,
        now: Timestamp::UNIX_EPOCH,
    };
    View { secret: Some(issue), ..view(bound_as, found) }
}

/// Covers LC-32. Another client may have created it in the same minutes, and may know its secret.
#[test]
fn an_object_of_an_interrupted_create_is_never_deleted_as_its_secret_is_lost() {
    let step = |hits: &[&str], in_time, held: Held| {
        let hits = hits.iter().map(|id| (*id).to_owned()).collect();
        let found = Found::Interrupted(Interrupted::Since { hits, in_time, sent: Timestamp::UNIX_EPOCH });
        once(BoundAs::Managed, found, held)
    };
    let holds = |id: &str| Held::Own(Reserved { id: Some(id.into()), ..Reserved::default() });
    assert_eq!(word(&step(&[], true, Held::Absent)), "dropintent");
    for held in [holds("1"), holds("0"), Held::Own(Reserved::default()), Held::Absent, Held::Foreign] {
        let lost = step(&["1"], true, held.clone());
        assert_eq!(word(&lost), r#"bindcreated("1")"#, "{held:?}");
        assert_eq!(word(&View { observe: true, ..lost.clone() }), r#"bindcreated("1")"#, "{held:?}");
        assert_eq!(word(&View { deleting: true, ..lost }), r#"bindcreated("1")"#, "{held:?}");
    }
    assert_eq!(word(&step(&["1", "2"], true, holds("2"))), r#"bindcreated("2")"#);
    for (hits, in_time) in [(&["1"][..], false), (&["1", "2"], true)] {
        let undecided = step(hits, in_time, Held::Absent);
        assert_eq!(word(&undecided), "refuse CreateResultUnknown", "{hits:?}");
        assert!(refusal(&undecided).contains("remove spec.secretName"), "{}", refusal(&undecided));
        assert_eq!(word(&View { spec_id: Some("1"), ..undecided }), "dropintent", "a user knows it");
    }
}

/// Covers LC-32.
#[test]
fn an_object_whose_secret_is_lost_is_managed_and_says_so() {
    let it = || Found::Ours(seen(Phase::Ready));
    let held = Held::Own(Reserved { id: Some("1".into()), ..Reserved::default() });
    assert_eq!(word(&once(BoundAs::Managed, it(), held)), "rest");
    for held in [Held::Absent, Held::Foreign, Held::Own(Reserved::default())] {
        let lost = once(BoundAs::Managed, it(), held.clone());
        assert_eq!(word(&lost), "refuse SecretLost", "{held:?}");
        let says = refusal(&lost);
        for part in
            ["the Secret out", "Thing a", "delete this object", "another id", "remove spec.secretName"]
        {
            assert!(says.contains(part), "{part}: {says}");
        }
        let changes = &[change("value", When::Now)];
        assert_eq!(word(&View { changes, ..lost.clone() }), "update value", "that does not need the secret");
        assert_eq!(word(&View { observe: true, ..lost.clone() }), "rest");
        assert_eq!(word(&View { deleting: true, ..lost }), "delete");
    }
}

/// Covers LC-03, LC-32. Nor is another one of the name created.
#[test]
fn an_object_that_is_there_is_not_adopted_while_the_spec_names_a_place_for_its_secret() {
    for adoption in [AdoptionPolicy::Never, AdoptionPolicy::IfOwned, AdoptionPolicy::IfExists] {
        for bound_as in [BoundAs::Nothing, BoundAs::NamedBySpec, BoundAs::Observed] {
            let found = Found::Foreign(seen(Phase::Ready));
            let there = View { adoption, ..once(bound_as, found, Held::Absent) };
            assert_eq!(word(&there), "refuse AlreadyExists", "{adoption:?} {bound_as:?}");
            assert!(refusal(&there).contains("spec.adoptionPolicy to Required"), "{}", refusal(&there));
            let without = View { secret: None, adoption: AdoptionPolicy::Required, ..there };
            assert_eq!(word(&without), "adopt", "{bound_as:?}");
        }
    }
}

/// Covers LC-18.
#[test]
fn what_is_absent_and_only_observed_is_a_plan() {
    let with = |bound_as, f: &dyn Fn(&mut View<'_>)| {
        let mut v = View { observe: true, ..view(bound_as, Found::Nothing { settled: true }) };
        f(&mut v);
        word(&v)
    };
    for bound_as in [BoundAs::Nothing, BoundAs::Observed, BoundAs::Managed] {
        assert_eq!(with(bound_as, &|_| {}), "plan WouldBeCreated", "{bound_as:?}");
        let required = with(bound_as, &|v| v.adoption = AdoptionPolicy::Required);
        assert_eq!(required, "plan ExternalResourceMissing", "{bound_as:?}");
    }
    assert_eq!(with(BoundAs::NamedBySpec, &|_| {}), "plan ExternalResourceMissing");
    for bound_as in [BoundAs::Observed, BoundAs::Managed] {
        assert_eq!(with(bound_as, &|v| v.data_bearing = true), "plan ExternalResourceMissing");
        assert_eq!(with(bound_as, &|v| v.found = &Found::Nothing { settled: false }), "wait Progressing");
        assert_eq!(
            with(bound_as, &|v| v.found = Box::leak(Box::new(Found::Replaced(vec!["2".into()])))),
            "plan ExternalResourceMissing"
        );
    }
}

/// Covers LC-03, LC-18.
#[test]
fn an_observed_object_needs_no_permission_and_gives_none() {
    let it = seen(Phase::Ready);
    for adoption in [AdoptionPolicy::Never, AdoptionPolicy::IfOwned, AdoptionPolicy::IfExists] {
        let observe =
            |bound_as| View { observe: true, adoption, ..view(bound_as, Found::Foreign(it.clone())) };
        assert_eq!(word(&observe(BoundAs::Nothing)), "adopt", "{adoption:?}");
        let managed = word(&View { observe: false, ..observe(BoundAs::Observed) });
        let allowed = adoption == AdoptionPolicy::IfExists;
        assert_eq!(managed, if allowed { "adopt" } else { "refuse AlreadyExists" }, "{adoption:?}");
    }
    let asked = View { spec_id: Some("1"), ..view(BoundAs::Observed, Found::Foreign(it.clone())) };
    assert_eq!(word(&asked), "adopt");
    let marked = view(BoundAs::Observed, Found::Ours(it.clone()));
    assert_eq!(word(&marked), "adopt");
    assert_eq!(word(&View { observe: true, ..marked.clone() }), "rest");
    assert_eq!(word(&View { deleting: true, ..marked }), "release Retained");
}

/// Covers LC-19.
#[test]
fn a_failed_object_is_retried_on_request_and_its_message_names_other_ways() {
    let failed = seen(Phase::Failed("no such bucket".into()));
    let again = || vec!["aws_region".to_owned()];
    let v = View { again: again(), ..view(BoundAs::Managed, Found::Ours(failed.clone())) };
    assert_eq!(word(&View { requested: true, ..v.clone() }), "update aws_region");
    let banned = View { requested: true, again: vec![], ..v.clone() };
    assert_eq!(word(&banned), "refuse ProvisioningFailed", "it would be of no use");
    let observed = View { requested: true, observe: true, ..v.clone() };
    assert_eq!(word(&observed), "refuse ProvisioningFailed", "nothing is written");
    let deleted = refusal(&v);
    assert!(deleted.starts_with("no such bucket: ") && deleted.contains(RECONCILE_REQUESTED), "{deleted}");
    assert!(deleted.contains("(awsRegion)") && !deleted.contains("deletionPolicy"), "{deleted}");
    let retained = refusal(&View { delete_outside: false, protected: true, data_bearing: true, ..v });
    for part in ["set spec.deletionPolicy to Delete", "spec.deletionProtection to false", "all that it holds"]
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
    let ours = View { changes: &changes, ..view(BoundAs::Managed, Found::Ours(it.clone())) };
    let message = refusal(&View { immutable: FIXED, ..ours });
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
fn a_foreign_object_is_adopted_only_with_permission() {
    let it = seen(Phase::Ready);
    for (adoption, stranger, marked, asked) in [
        (AdoptionPolicy::Never, "refuse AlreadyExists", "refuse AlreadyExists", "refuse AlreadyExists"),
        (AdoptionPolicy::IfOwned, "refuse AlreadyExists", "adopt", "adopt"),
        (AdoptionPolicy::IfExists, "adopt", "adopt", "adopt"),
        (AdoptionPolicy::Required, "adopt", "adopt", "adopt"),
    ] {
        let with = |bound_as, found| word(&View { adoption, ..view(bound_as, found) });
        assert_eq!(with(BoundAs::Nothing, Found::Foreign(it.clone())), stranger, "{adoption:?}");
        assert_eq!(with(BoundAs::Nothing, Found::Ours(it.clone())), marked, "{adoption:?}");
        assert_eq!(with(BoundAs::NamedBySpec, Found::Foreign(it.clone())), asked, "{adoption:?}");
        assert_eq!(
            with(BoundAs::Managed, Found::Foreign(it.clone())),
            "refuse AlreadyExists",
            "{adoption:?}"
        );
    }
    assert_eq!(word(&view(BoundAs::Managed, Found::ManagedBy("x".into()))), "refuse ManagementConflict");
    assert_eq!(word(&view(BoundAs::Nothing, Found::Several(vec!["1".into()]))), "refuse Ambiguous");
}

#[test]
fn an_owned_object_is_changed_only_in_fields_that_may_change() {
    let ready = seen(Phase::Ready);
    let now = [change("a.x", When::Now), change("a.y", When::Now), change("b", When::Never("no".into()))];
    let never = [change("b", When::Never("no".into()))];
    let later = [change("c", When::NotNow("stop it first".into()))];
    let ours = |changes| View { changes, ..view(BoundAs::Managed, Found::Ours(ready.clone())) };
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
        word(&View { changes, ..view(BoundAs::Managed, Found::Ours(it.clone())) })
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
    let late = View { operation: Running::Overdue, ..view(BoundAs::Managed, Found::Ours(late.clone())) };
    assert_eq!(word(&late), "refuse ProvisioningFailed");
    assert_eq!(word(&View { resend: true, ..late }), "refuse ProvisioningFailed", "nothing is sent to it");
}

/// Covers LC-20. A setting, or a log delivery that is disabled.
#[test]
fn what_nothing_manages_is_taken_up_without_permission_and_what_is_set_is_not() {
    let (vacant, set) = (seen(Phase::Vacant), seen(Phase::Ready));
    for standing in [true, false] {
        for (adoption, of_vacant, of_set) in [
            (AdoptionPolicy::Never, "takeup", "refuse AlreadyExists"),
            (AdoptionPolicy::IfOwned, "takeup", "refuse AlreadyExists"),
            (AdoptionPolicy::IfExists, "adopt", "adopt"),
            (AdoptionPolicy::Required, "adopt", "adopt"),
        ] {
            for bound_as in [BoundAs::Nothing, BoundAs::Observed] {
                let with =
                    |seen: &Seen| View { standing, adoption, ..view(bound_as, Found::Foreign(seen.clone())) };
                assert_eq!(word(&with(&vacant)), of_vacant, "{adoption:?} {bound_as:?}");
                assert_eq!(word(&with(&set)), of_set, "{adoption:?} {bound_as:?}");
                let observed = View { observe: true, ..with(&vacant) };
                assert_eq!(word(&observed), "adopt", "{adoption:?} {bound_as:?}");
            }
        }
        let asked = |adoption| View {
            standing,
            adoption,
            ..view(BoundAs::NamedBySpec, Found::Foreign(vacant.clone()))
        };
        assert_eq!(word(&asked(AdoptionPolicy::IfOwned)), "adopt", "the spec names it");
        assert_eq!(word(&asked(AdoptionPolicy::Never)), "refuse AlreadyExists");
        let unlike = View { standing, ..view(BoundAs::Managed, Found::Foreign(vacant.clone())) };
        assert_eq!(word(&unlike), "refuse AlreadyExists", "it is not the one that is managed");
    }
}

/// Covers LC-20. It may be wanted as it is when nothing manages it.
#[test]
fn what_is_always_there_is_compared_in_each_state_and_deleted_by_being_put_back() {
    let now = [change("value", When::Now)];
    for phase in [Phase::Vacant, Phase::Ready] {
        let bound = View { standing: true, ..view(BoundAs::Managed, Found::Ours(seen(phase.clone()))) };
        assert_eq!(word(&bound), "rest", "{phase:?}");
        assert_eq!(word(&View { changes: &now, ..bound.clone() }), "update value", "{phase:?}");
        assert_eq!(word(&View { changes: &now, observe: true, ..bound.clone() }), "rest", "{phase:?}");
        let left_behind = (phase == Phase::Vacant).then(|| "default".to_owned());
        let expected = if phase == Phase::Vacant { "release Left(\"default\")" } else { "delete" };
        assert_eq!(word(&View { deleting: true, left_behind, ..bound.clone() }), expected);
        let retained = View { deleting: true, delete_outside: false, ..bound };
        assert_eq!(word(&retained), "release Retained", "{phase:?}");
    }
}

#[test]
fn a_standing_object_is_missing_only_together_with_its_parent() {
    for bound_as in [BoundAs::Nothing, BoundAs::NamedBySpec, BoundAs::Observed, BoundAs::Managed] {
        let gone = View { standing: true, ..view(bound_as, Found::Nothing { settled: true }) };
        assert_eq!(word(&gone), "refuse ExternalResourceMissing", "{bound_as:?}");
        assert!(refusal(&gone).contains("what it belongs to"), "{}", refusal(&gone));
        assert_eq!(word(&View { observe: true, ..gone }), "plan ExternalResourceMissing", "{bound_as:?}");
    }
    let unsure = View { standing: true, ..view(BoundAs::Managed, Found::Nothing { settled: false }) };
    assert_eq!(word(&unsure), "wait Progressing");
    let deleted =
        View { standing: true, deleting: true, ..view(BoundAs::Managed, Found::Nothing { settled: true }) };
    assert_eq!(word(&deleted), "release Gone");
}

/// What waits for a person outside has no limit of time, and may be changed and deleted meanwhile.
#[test]
fn what_awaits_a_person_is_not_timed_and_may_be_changed() {
    let changes = |when| [change("a", when)];
    let with = |changes: &[Change], f: &dyn Fn(&mut View<'_>)| {
        let it = seen(Phase::Awaiting("approve it".into()));
        let mut v = View { changes, ..view(BoundAs::Managed, Found::Ours(it)) };
        f(&mut v);
        word(&v)
    };
    let awaits = "wait AwaitingApproval";
    assert_eq!(with(&[], &|_| {}), awaits);
    assert_eq!(with(&[], &|v| v.operation = Running::Overdue), awaits);
    assert_eq!(with(&changes(When::NotNow("later".into())), &|_| {}), awaits);
    assert_eq!(with(&changes(When::Now), &|_| {}), "update a");
    assert_eq!(with(&changes(When::Now), &|v| v.observe = true), awaits);
    assert_eq!(with(&changes(When::Never("no".into())), &|_| {}), "refuse ImmutableFieldChanged");
    assert_eq!(with(&[], &|v| v.deleting = true), "delete");
}

#[test]
fn a_deletion_deletes_only_what_is_proven_ours_and_releases_only_what_is_proven_gone() {
    let it = seen(Phase::Ready);
    let leaving = seen(Phase::Leaving("l".into()));
    let with = |bound_as, found, f: &dyn Fn(&mut View<'_>)| {
        let mut v = View { deleting: true, ..view(bound_as, found) };
        f(&mut v);
        word(&v)
    };
    let ours = || Found::Ours(it.clone());
    assert_eq!(with(BoundAs::Managed, ours(), &|_| {}), "delete");
    assert_eq!(with(BoundAs::Managed, Found::Ours(leaving.clone()), &|_| {}), "wait Deleting");
    assert_eq!(with(BoundAs::Managed, Found::Foreign(it.clone()), &|_| {}), "refuse ApiRefused");
    assert_eq!(with(BoundAs::Managed, Found::ManagedBy("x".into()), &|_| {}), "release ManagedByOther");
    assert_eq!(with(BoundAs::Managed, Found::Nothing { settled: false }, &|_| {}), "wait Deleting");
    assert_eq!(with(BoundAs::Managed, Found::Nothing { settled: true }, &|_| {}), "release Gone");
    assert_eq!(with(BoundAs::Managed, ours(), &|v| v.delete_outside = false), "release Retained");
    assert_eq!(with(BoundAs::Managed, ours(), &|v| v.protected = true), "refuse DeletionProtected");
    assert_eq!(with(BoundAs::Nothing, ours(), &|_| {}), "release NeverCreated");
    assert_eq!(with(BoundAs::NamedBySpec, ours(), &|_| {}), "release NeverCreated");
}

#[test]
fn wire_names_are_shown_as_users_write_them() {
    assert_eq!(camel("ip_addresses"), "ipAddresses");
    assert_eq!(camel("custom_tags.cost_center"), "customTags.cost_center");
    assert_eq!(camel("label"), "label");
}

#[test]
fn what_is_not_adopted_names_the_object_and_what_would_allow_it() {
    let owned = |owner: Option<&str>| {
        let mut it = seen(Phase::Ready);
        it.about.owner = owner.map(str::to_owned);
        Found::Foreign(it)
    };
    let cases = [
        (BoundAs::Nothing, false, None, "Thing a is in the account already, with the id 1"),
        (BoundAs::Nothing, false, Some("theirs"), "Thing a is in the account already, with the id 1"),
        (BoundAs::Nothing, true, None, "Thing a is in the account already, with the id 1"),
        (
            BoundAs::Nothing,
            true,
            Some("theirs"),
            "the annotation databricks-operator.io/external-id names the object 1, which carries the mark of another",
        ),
        (
            BoundAs::Managed,
            true,
            Some("theirs"),
            "the annotation databricks-operator.io/external-id names the object 1, which carries the mark of another",
        ),
        (
            BoundAs::Managed,
            true,
            None,
            "the annotation databricks-operator.io/external-id names the object 1, which does not match the spec",
        ),
        (BoundAs::Managed, false, Some("theirs"), "the object 1 in the account no longer looks like the one"),
    ];
    for (bound_as, copied, owner, expected) in cases {
        let text = refusal(&View { copied, ..view(bound_as, owned(owner)) });
        assert!(text.starts_with(expected), "{bound_as:?}, copied {copied}, {owner:?}: {text}");
        assert!(text.contains("spec.adoptionPolicy"), "{text}");
    }
}

#[test]
fn of_two_managers_a_message_names_the_other_and_how_to_replace_it() {
    let text = refusal(&view(BoundAs::Managed, Found::ManagedBy("Thing ns/older".into())));
    for part in
        ["managed by Thing ns/older", "spec.deletionPolicy to Retain", "spec.adoptionPolicy to IfExists"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Covers LC-34.
#[test]
fn what_another_object_lists_is_removed_from_that_list_or_left_to_it() {
    let holder = "List ns/all, as an entry of its list";
    let text = refusal(&view(BoundAs::Managed, Found::ManagedBy(holder.into())));
    let expected = "the object in the account is managed by List ns/all, as an entry of its list: remove it from that list, or delete \
                    this object";
    assert_eq!(text, expected);
}

#[test]
fn a_fixed_reference_is_named_by_what_it_must_mean() {
    const FIXED: &[Immutable] = &[Immutable { state: "network_id", spec: &["networkRef"] }];
    let mut it = seen(Phase::Ready);
    it.state = json!({"network_id": "n-1"});
    let changes = [change("network_id", When::Never("it stays".into()))];
    let ours = view(BoundAs::Managed, Found::Ours(it));
    let text = refusal(&View { changes: &changes, immutable: FIXED, ..ours });
    assert!(
        text.contains("spec.networkRef: it stays: let it refer to \"n-1\", as the account has it"),
        "{text}"
    );
}

#[test]
fn what_a_deletion_leaves_behind_is_the_end_of_it() {
    let view = |left_behind: Option<&str>| View {
        left_behind: left_behind.map(str::to_owned),
        ..view(BoundAs::Managed, Found::Ours(seen(Phase::Ready)))
    };
    let step = |left_behind| decide(&View { deleting: true, ..view(left_behind) });
    assert_eq!(step(None), Step::Delete);
    assert_eq!(step(Some("deactivated")), Step::Release(Released::Left("deactivated".into())));
    assert_eq!(decide(&view(Some("deactivated"))), Step::Rest, "it may be wanted so");
}

#[test]
fn only_a_step_that_writes_to_the_account_or_binds_to_it_needs_a_fresh_read() {
    let text = String::new;
    let left = Step::Release(Released::Left("deactivated".into()));
    let update = Step::Update(vec!["a".into()]);
    for step in [Step::Create, Step::Adopt, Step::TakeUp, update, Step::Delete, left] {
        assert!(step.needs_own_read(), "{step:?}");
    }
    for step in [
        Step::Release(Released::Gone),
        Step::BindCreated("1".into()),
        Step::DropIntent,
        Step::DecideLater { after: Duration::ZERO, message: text() },
        wait(Reason::Deleting, text()),
        refuse(Reason::Ambiguous, text()),
        plan(Reason::WouldBeCreated, text()),
        Step::Rest,
    ] {
        assert!(!step.needs_own_read(), "{step:?}");
    }
}
