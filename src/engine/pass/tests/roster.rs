//! A list that an object determines as a whole: what is removed of what it does not list, when, and what never is.

use super::*;
use crate::engine::kind::Key;
use crate::engine::memory::Claim;

/// For so long what is not listed stays.
const AFTER: u64 = 7200;

/// A list that is managed, of which the account has these entries; the spec lists `boss`, an administrator, and `team`.
async fn list(there: Value) -> World {
    list_of(there, |_| {}).await
}

async fn list_of(there: Value, change: impl FnOnce(&mut Settings)) -> World {
    let fake = Fake::with(|fake| {
        (fake.traits.lifecycle, fake.traits.removable) = (Lifecycle::Standing, false);
        fake.traits.roster = Some("Fake");
    });
    let mut it = seen("a", "a", None);
    it.state["entries"] = there;
    fake.put(it);
    let world = world_of(fake, |settings| {
        (settings.resync, settings.absence) = (Some(Duration::ZERO), Duration::ZERO);
        change(settings);
    });
    world.asks(json!({})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.status());
    world.quiet();
    world
}

impl World {
    /// Applies the object with more in its spec.
    fn asks(&self, more: Value) -> &World {
        let entries = json!({"boss": "ADMIN", "team": "USER"});
        let mut spec = json!({"adoptionPolicy": "IfExists", "entries": entries, "after": AFTER});
        more.as_object().unwrap().iter().for_each(|(field, value)| spec[field] = value.clone());
        self.apply(spec)
    }

    /// So many seconds pass.
    async fn pass(&self, count: u64) -> &World {
        tokio::time::advance(seconds(count)).await;
        self.settle().await
    }

    /// Another user gives an entry this level.
    fn gives(&self, name: &str, level: &str) {
        self.fake.edit("a", |seen| seen.state["entries"][name] = json!(level));
    }

    /// The names of the entries in the account.
    fn there(&self) -> Vec<String> {
        let got = self.fake.got.lock().unwrap();
        let mut names: Vec<_> = got["a"].state["entries"].as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    }

    /// What the status has of the entries that are not listed: their ids, and why they stay.
    fn unlisted(&self) -> Vec<(String, String)> {
        let status = self.status();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = status["unlisted"].as_array().into_iter().flatten();
        all.map(|one| (text(&one["id"]), text(&one["kept"]))).collect()
    }

    /// As if all that is not listed had been seen, and the spec had asked for its removal, years ago: the status comes from a backup, or
    /// the clock was set.
    fn long_ago(&self) -> &World {
        self.api.edit("it", |it| {
            let long_ago = json!("2020-01-01T00:00:00Z");
            it["status"]["enforcedSince"] = long_ago.clone();
            for one in it["status"]["unlisted"].as_array_mut().unwrap() {
                one["firstSeen"] = long_ago.clone();
            }
        });
        self
    }
}

/// Covers LC-34.
#[tokio::test(start_paused = true)]
async fn what_is_not_listed_is_removed_after_its_time_and_not_before() {
    let world = list(json!({"boss": "ADMIN", "ada": "USER", "own": "ADMIN"})).await;
    world.pass(AFTER - 60).await;
    assert_eq!(world.changes(), NOTHING);
    assert_eq!(world.unlisted(), [("/ada".into(), String::new()), ("/own".into(), String::new())]);
    world.pass(120).await;
    assert_eq!(world.changes(), ["PATCH a entries"]);
    assert_eq!(world.there(), ["boss", "own", "team"]);
    assert!(world.api.events().contains(&"Deleted".to_owned()));
    assert_eq!(world.unlisted(), [("/own".into(), "it would lock the operator out".into())]);
    assert_eq!(world.condition("Ready"), "True Available");

    world.gives("ada", "ADMIN");
    world.settle().await.pass(AFTER - 60).await;
    assert_eq!(
        (world.changes(), world.there().len()),
        (vec![], 4),
        "given again, it has the whole time again"
    );
}

/// Covers LC-34. A time in the status is no proof by itself: a process must have seen an entry for longer than reads may lag behind.
#[tokio::test(start_paused = true)]
async fn a_status_from_a_backup_removes_nothing_at_once() {
    let world = list(json!({"boss": "ADMIN", "ada": "USER"})).await;
    world.long_ago().settle().await;
    world.pass(500).await;
    assert_eq!(world.changes(), NOTHING);
    world.pass(120).await;
    assert_eq!(world.changes(), ["PATCH a entries"]);
}

type Happens = fn(&World);

/// Covers LC-34. Whatever its state, an object for the entry says that a person wants it: it may be suspended, not yet reconciled, or
/// refused as the access was there before.
#[tokio::test(start_paused = true)]
async fn what_another_object_is_for_stays_and_has_its_whole_time_once_that_is_gone() {
    let cases: [(&str, Happens); 5] = [
        ("its spec means it", |world| world.api.apply("other", spec("ada", json!({"suspend": true})))),
        ("it names it", |world| world.api.apply("other", spec("else", json!({"group": "Ada"})))),
        ("it asks for its id", |world| world.api.apply("other", spec("else", json!({"externalId": "/ada"})))),
        ("its annotation", |world| {
            world.api.apply("other", spec("else", json!({})));
            world.api.edit("other", |other| {
                other["metadata"]["annotations"] = json!({"databricks-operator.io/external-id": "/ada"});
            });
        }),
        ("its record", |world| {
            world.api.apply("other", spec("else", json!({"suspend": true})));
            let external = json!({"accountId": "account", "id": "/ada", "adopted": true});
            world.api.edit("other", |other| other["status"] = json!({"external": external}));
        }),
    ];
    for (case, happens) in cases {
        let world = list(json!({"boss": "ADMIN", "ada": "USER"})).await;
        happens(&world);
        world.long_ago().settle().await.pass(700).await;
        assert_eq!(world.changes(), NOTHING, "{case}");
        let kept = "Fake ns/other names it too: the access stays until that object manages it, or is deleted";
        assert_eq!(world.unlisted(), [("/ada".into(), kept.into())], "{case}");

        world.api.remove("other");
        world.settle().await.pass(AFTER - 60).await;
        assert_eq!((world.changes(), world.there().len()), (vec![], 3), "{case}");
        world.pass(120).await;
        assert_eq!(world.changes(), ["PATCH a entries"], "{case}");
    }
}

/// Covers LC-34.
#[tokio::test(start_paused = true)]
async fn what_is_not_known_or_not_asked_for_removes_nothing() {
    let cases: [(&str, Happens); 5] = [
        ("a row could not be read", |world| world.gives("lin", "unknown")),
        ("it is only reported", |world| {
            world.asks(json!({"after": null}));
        }),
        ("it only observes", |world| {
            world.asks(json!({"managementPolicy": "Observe"}));
        }),
        ("it is suspended", |world| {
            world.asks(json!({"suspend": true}));
        }),
        ("it is deleted", |world| world.api.delete("it")),
    ];
    for (case, happens) in cases {
        let world = list(json!({"boss": "ADMIN", "ada": "USER"})).await;
        world.long_ago();
        happens(&world);
        world.settle().await.pass(2 * AFTER).await;
        assert_eq!(world.changes(), NOTHING, "{case}");
        assert!(world.there().contains(&"ada".to_owned()), "{case}");
    }
    // An object that only observes asks for nothing.
    let world = list(json!({"boss": "ADMIN", "ada": "USER"})).await;
    world.api.apply("other", spec("ada", json!({"managementPolicy": "Observe"})));
    world.long_ago().settle().await.pass(700).await;
    assert_eq!(world.changes(), ["PATCH a entries"]);
}

/// Covers LC-34. One row that could not be read may hold all: the message says so.
#[tokio::test(start_paused = true)]
async fn a_message_says_why_nothing_is_removed() {
    let world = list(json!({"boss": "ADMIN", "ada": "USER", "lin": "unknown"})).await;
    let says = world.message("Ready");
    assert!(
        says.ends_with("nothing is removed at present: Databricks could not read each of them"),
        "{says}"
    );
}

/// Covers LC-34. A user lists it, or stops the removals, right before one is sent.
#[tokio::test(start_paused = true)]
async fn a_change_at_the_last_moment_stops_a_removal() {
    let changes = [
        json!({"entries": {"boss": "ADMIN", "team": "USER", "ada": "USER"}}),
        json!({"after": null}),
        json!({"suspend": true}),
    ];
    for change in changes {
        let world = list(json!({"boss": "ADMIN", "ada": "USER"})).await;
        world.long_ago().settle().await;
        tokio::time::advance(seconds(700)).await;
        world.watch();
        let before = world.api.get("it").unwrap();
        world.asks(change.clone());
        reconcile(&before, world.engine.clone(), world.fake).await;
        assert_eq!(world.changes(), NOTHING, "{change}");
        world.settle().await;
        assert_eq!((world.changes(), world.there().len()), (vec![], 3), "{change}");
    }
}

/// Covers LC-34. A list is far too short by mistake.
#[tokio::test(start_paused = true)]
async fn a_few_are_removed_within_an_hour_and_no_more_than_the_account_allows() {
    let five = json!({"boss": "ADMIN", "a": "USER", "b": "USER", "c": "USER", "d": "USER", "e": "USER"});
    let world = list(five.clone()).await;
    world.long_ago().settle().await.pass(700).await;
    assert_eq!(world.there(), ["boss", "c", "d", "e", "team"]);
    world.pass(3000).await;
    assert_eq!(world.there().len(), 5);
    world.pass(700).await;
    assert_eq!(world.there(), ["boss", "e", "team"]);

    let world = list_of(five, |settings| settings.max_deletions_per_hour = 1).await;
    world.long_ago().settle().await.pass(700).await;
    assert_eq!(world.there(), ["b", "boss", "c", "d", "e", "team"]);
    let says = world.message("Ready");
    assert!(says.contains("nothing is removed at present") && says.contains("more than 1 object"), "{says}");
    world.pass(4000).await;
    assert_eq!(world.there().len(), 6, "a person decides");
}

/// Covers LC-34.
#[tokio::test(start_paused = true)]
async fn the_last_administrator_stays() {
    let world = list(json!({"ada": "ADMIN", "lin": "ADMIN", "zoe": "USER"})).await;
    world.asks(json!({"entries": {"team": "USER", "zoe": "USER"}}));
    world.settle().await;
    // What an earlier spec gave is not listed either.
    world.fake.edit("a", |seen| seen.state["entries"]["boss"] = json!("USER"));
    world.settle().await.long_ago().settle().await.pass(700).await;
    assert_eq!(world.there(), ["lin", "team", "zoe"]);
    assert_eq!(world.unlisted(), [("/lin".into(), "no administrator would be left: list one".into())]);
    // With a listed one it need not stay, and has its whole time again.
    world.asks(json!({"entries": {"team": "ADMIN", "zoe": "USER"}})).settle().await;
    world.pass(AFTER - 60).await;
    assert_eq!(world.there(), ["lin", "team", "zoe"]);
    world.pass(120).await;
    assert_eq!(world.there(), ["team", "zoe"]);
}

/// Covers LC-34. What was sent and refused is not reported as removed, and an entry that was removed is free for another object.
#[tokio::test(start_paused = true)]
async fn a_removal_that_was_refused_is_not_reported_and_holds_no_claim() {
    let world = list(json!({"boss": "ADMIN", "ada": "USER"})).await;
    world.fake.refuse(Error::rejected(Reason::PermissionDenied, "no"));
    world.long_ago().settle().await;
    tokio::time::advance(seconds(700)).await;
    world.reconcile().await;
    assert_eq!(world.changes(), ["PATCH a entries"]);
    assert!(world.there().contains(&"ada".to_owned()));
    assert!(!world.api.events().contains(&"Deleted".to_owned()));
    let key = Key { within: String::new(), name: "ada".into() };
    let claim = Claim::key("account", "Fake", &key);
    assert_eq!(world.engine.memory.claims.watch_holder(&claim, &named("other")), None);
}
