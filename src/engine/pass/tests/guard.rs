//! The last check before a write: what a guard gets to know, and what it must not miss. Longer than other files, as these are all stories of
//! one check.

use super::*;
use crate::engine::kind::GuardReads;

const LAG: Duration = Duration::from_secs(600);

/// Two objects of a kind whose guard reads all of them: `other` is Ready.
async fn siblings() -> World {
    let fake = Fake::with(|fake| {
        fake.traits.guarded_among_siblings = true;
        fake.traits.read_lag = LAG;
    });
    let world = eager(fake);
    world.api.apply("other", spec("b", json!({})));
    world.reconcile_named("other").await;
    world.api.edit("other", |other| {
        other["status"]["external"]["createdAt"] = json!("2026-01-01T00:00:00Z");
    });
    world.quiet();
    fake.judged.lock().unwrap().clear();
    world.apply(json!({}));
    world
}

impl World {
    fn judged(&self) -> Vec<(Option<String>, Vec<String>)> {
        std::mem::take(&mut self.fake.judged.lock().unwrap())
    }

    async fn other_gets_a_new_value(&self) {
        self.api.apply("other", spec("b", json!({"value": "new"})));
        self.reconcile_named("other").await;
        assert_eq!(self.changes(), ["PATCH id-b value"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_judges_by_all_objects_of_its_kind() {
    let world = siblings().await;
    world.fake.put(seen("1", "of another user", None));
    world.reconcile().await;
    assert_eq!(world.judged(), [(None, vec!["id-b".to_owned(), "1".to_owned()])]);
    assert_eq!(world.changes(), ["POST a"]);
}

/// A guard that misses a change of a moment ago could let both pass, which together shut the operator out.
#[tokio::test(start_paused = true)]
async fn a_guard_waits_until_reads_show_what_was_just_done_to_others() {
    type Happens = for<'a> fn(&'a World) -> futures::future::BoxFuture<'a, ()>;
    let cases: [(&str, Happens); 9] = [
        ("created for Fake ns/other", |world| {
            Box::pin(async {
                let now = crate::clock::now().to_string();
                world.api.edit("other", |other| other["status"]["external"]["createdAt"] = json!(now));
                world.fake.listed.lock().unwrap().clear();
            })
        }),
        ("changed for Fake ns/other", |world| {
            Box::pin(async {
                *world.fake.late.lock().unwrap() = true;
                world.other_gets_a_new_value().await;
            })
        }),
        // After a start of the operator, only the status says it.
        ("changed for Fake ns/other", |world| {
            Box::pin(async {
                *world.fake.late.lock().unwrap() = true;
                world.other_gets_a_new_value().await;
                world.engine.memory.objects.forget("uid-other");
            })
        }),
        // Its response was lost, so no status says it.
        ("changed for Fake ns/other", |world| {
            Box::pin(async {
                world.loses(Error::retry("no answer")).other_gets_a_new_value().await;
                let other = world.api.get("other").unwrap();
                assert!(other.data["status"]["operation"].is_null());
            })
        }),
        // The account took longer for it than reads lag behind, and no status says it yet.
        ("changed for Fake ns/other", |world| {
            Box::pin(async {
                *world.fake.late.lock().unwrap() = true;
                *world.fake.waits.lock().unwrap() = LAG * 2;
                world.other_gets_a_new_value().await;
                *world.fake.waits.lock().unwrap() = Duration::ZERO;
                world.api.edit("other", |other| other["status"]["operation"] = Value::Null);
            })
        }),
        ("deleted with Fake ns/other", |world| {
            Box::pin(async {
                *world.fake.late.lock().unwrap() = true;
                world.api.delete("other");
                world.reconcile_named("other").await;
                assert_eq!(world.changes(), ["DELETE id-b"]);
            })
        }),
        // There was no response to its deletion, which was requested after the start.
        ("deleted with Fake ns/other", |world| {
            Box::pin(async {
                tokio::time::advance(seconds(60)).await;
                world.api.delete("other");
                let now = crate::clock::now().to_string();
                world.api.edit("other", |other| other["metadata"]["deletionTimestamp"] = json!(now));
                world.fake.refuse(Error::retry("no answer"));
                world.reconcile_named("other").await;
                assert_eq!(world.changes(), ["DELETE id-b"]);
            })
        }),
        // After a start of the operator, nothing says that its deletion was sent.
        ("deleted with Fake ns/other", |world| {
            Box::pin(async {
                *world.fake.late.lock().unwrap() = true;
                world.api.delete("other");
                world.reconcile_named("other").await;
                assert_eq!(world.changes(), ["DELETE id-b"]);
                world.engine.memory.objects.forget("uid-other");
            })
        }),
        // The response to its create was lost, so no status has its id.
        ("created for Fake ns/parent", |world| {
            Box::pin(async {
                world.loses(unknown()).api.apply("parent", spec("c", json!({})));
                world.reconcile_named("parent").await;
                assert_eq!(world.changes(), ["POST c"]);
                world.fake.take("id-c");
            })
        }),
    ];
    for (at, (done, happens)) in cases.into_iter().enumerate() {
        let world = siblings().await;
        happens(&world).await;
        world.judged();
        world.reconcile().await;
        assert_eq!(world.changes(), NOTHING, "{at} {done}");
        assert_eq!(world.judged(), [], "{at} {done}");
        let message = world.message("Ready");
        let says = format!("no read shows yet what was just {done}: ");
        assert!(message.starts_with(&says), "{at} {done}: {message}");
        // When reads cannot lag any longer, whatever they show is true.
        tokio::time::advance(LAG).await;
        for name in ["other", "parent"].into_iter().filter(|name| world.api.get(name).is_some()) {
            world.api.edit(name, |sibling| {
                let status = &mut sibling["status"];
                for (block, field) in [("external", "createdAt"), ("operation", "since")] {
                    if status[block].is_object() {
                        status[block][field] = json!("2026-01-01T00:00:00Z");
                    }
                }
            });
        }
        world.reconcile().await;
        assert_eq!(world.changes(), ["POST a"], "{at} {done}");
    }
}

/// A list that no read shows yet comes into force like any other.
#[tokio::test(start_paused = true)]
async fn a_guard_that_reads_another_kind_waits_until_reads_show_its_objects() {
    for (value, waits) in [("heed", true), ("ignore", false)] {
        let fake = Fake::with(|fake| {
            fake.traits.read_lag = LAG;
            fake.traits.guard_reads = Some(GuardReads { kind: "Fake", when: |want| want["value"] == "heed" });
        });
        let world = eager(fake);
        world.api.apply("other", spec("b", json!({})));
        world.reconcile_named("other").await;
        world.quiet();
        fake.listed.lock().unwrap().clear();
        world.apply(json!({"value": value})).reconcile().await;
        let sent: &[&str] = if waits { &[] } else { &["POST a"] };
        assert_eq!(world.changes(), sent, "{value}");
        if waits {
            let message = world.message("Ready");
            assert!(
                message.starts_with("no read shows yet what was just created for Fake ns/other: "),
                "{message}"
            );
            tokio::time::advance(LAG).await;
            world.reconcile().await;
            assert_eq!(world.changes(), ["POST a"]);
        }
    }
}

/// What is recorded is in the future then. Another process has recorded it.
#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_does_not_lengthen_the_wait_of_a_guard() {
    type Record = fn(&mut Value, &str);
    let cases: [(&str, Record); 2] = [
        ("created for", |status, at| status["external"]["createdAt"] = json!(at)),
        ("changed for", |status, at| {
            status["operation"] = json!({"paths": ["value"], "generation": 1, "since": at});
        }),
    ];
    for (done, record) in cases {
        let world = siblings().await;
        world.engine.memory.objects.forget("uid-other");
        world.fake.listed.lock().unwrap().clear();
        let future = Timestamp::from_second(crate::clock::now().as_second() + 86_400).unwrap().to_string();
        world.api.edit("other", |other| record(&mut other["status"], &future));
        world.reconcile().await;
        assert_eq!(world.changes(), NOTHING, "{done}");
        assert!(world.message("Ready").contains(done), "{done}: {}", world.message("Ready"));
        tokio::time::advance(LAG).await;
        world.reconcile().await;
        assert_eq!(world.changes(), ["POST a"], "{done}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_does_not_wait_for_what_is_new_in_another_account() {
    let world = siblings().await;
    world.api.edit("other", |other| {
        other["status"]["external"]["createdAt"] = json!(crate::clock::now().to_string());
        other["status"]["external"]["accountId"] = json!("another");
    });
    world.fake.listed.lock().unwrap().clear();
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST a"]);
}

#[tokio::test(start_paused = true)]
async fn a_guard_does_not_wait_for_what_is_new_under_another_parent() {
    let world = siblings().await;
    world.api.edit("other", |other| {
        other["status"]["external"]["createdAt"] = json!(crate::clock::now().to_string());
        other["status"]["external"]["id"] = json!("elsewhere/id-b");
    });
    world.fake.listed.lock().unwrap().clear();
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST a"]);
}

/// Several creates at once are refused by some APIs, or time out although they are carried out.
#[tokio::test(start_paused = true)]
async fn creates_under_one_parent_are_sent_one_at_a_time_where_the_kind_needs_it() {
    for (in_turn, within, waits) in [(true, "", true), (true, "elsewhere", false), (false, "", false)] {
        let world = eager(Fake::with(|fake| fake.traits.creates_in_turn = in_turn));
        world.apply(json!({}));
        let (another, _) = world.engine.memory.parent_locks.lock("account", "Fake", within).await;
        let waited = tokio::time::timeout(seconds(5), world.reconcile()).await.is_err();
        assert_eq!(waited, waits, "{in_turn} {within}");
        drop(another);
        world.reconcile().await;
        assert_eq!(world.changes(), ["POST a"], "{in_turn} {within}");
        let (_another, _) = world.engine.memory.parent_locks.lock("account", "Fake", within).await;
        world.apply(json!({"value": "new"})).reconcile().await;
        assert_eq!(world.changes(), ["PATCH id-a value"], "a change waits for no create");
    }
}

/// Each write of a rule set replaces what the others wrote.
#[tokio::test(start_paused = true)]
async fn all_writes_under_one_parent_are_sent_one_at_a_time_where_the_kind_needs_it() {
    let world = eager(Fake::with(|fake| fake.traits.writes_in_turn = true));
    let lock = async |within: &str| world.engine.memory.parent_locks.lock("account", "Fake", within).await;
    for (change, call) in [(json!({}), "POST a"), (json!({"value": "new"}), "PATCH id-a value")] {
        world.apply(change);
        let another = lock("").await;
        assert!(tokio::time::timeout(seconds(5), world.reconcile()).await.is_err(), "{call} waits");
        drop(another);
        let _elsewhere = lock("elsewhere").await;
        world.reconcile().await;
        assert_eq!(world.changes(), [call]);
    }
    world.api.delete("it");
    let another = lock("").await;
    assert!(tokio::time::timeout(seconds(5), world.reconcile()).await.is_err(), "a deletion waits");
    drop(another);
    world.reconcile().await;
    assert_eq!(world.changes(), ["DELETE id-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_guard_of_addresses_has_nothing_to_check_if_none_are_known() {
    let world = siblings().await;
    let mut session = Session::of(account());
    session.facts.egress.clear();
    world.engine.auths.store(&auth(), &auth_spec(Value::Null), Ok(Arc::new(session)));
    world.apply(json!({"value": "lock-out"})).reconcile().await;
    assert_eq!(world.judged(), []);
    assert_eq!(world.changes(), ["POST a"]);
}

#[tokio::test]
async fn a_guard_knows_the_operators_own_principal_if_the_account_returns_it() {
    let account = HttpAccount::start().await;
    account.name("client", Some("7"));
    for (allowed, own_id) in [(true, Some("7".to_owned())), (false, None)] {
        if !allowed {
            account.refuse(403, "PERMISSION_DENIED", "not for you");
        }
        let world = world_of(Fake::with(|fake| fake.traits.guarded_alone = true), |_| {});
        world.connect(&account).apply(json!({})).reconcile().await;
        world.apply(json!({"value": "new"})).reconcile().await;
        assert_eq!(world.changes(), ["POST a", "PATCH id-a value"]);
        assert_eq!(world.judged(), [(own_id.clone(), vec![]), (own_id.clone(), vec![])], "{allowed}");
        assert_eq!(account.searches(), ["client"], "it is searched for once");
        tokio::time::pause();
        tokio::time::advance(seconds(61)).await;
        tokio::time::resume();
        world.apply(json!({"value": "newer"})).reconcile().await;
        world.quiet();
        assert_eq!(account.searches().len(), if allowed { 0 } else { 1 }, "the account may show it by now");
        world.apply(json!({"value": "lock-out"})).reconcile().await;
        assert_eq!(world.condition("Stalled"), "True WouldLockOut");
        assert_eq!(world.changes(), NOTHING);
    }
}

/// Another user, or a create whose response was lost, may be faster while an object waits for its turn.
#[tokio::test(start_paused = true)]
async fn a_create_that_waited_for_its_turn_reads_again_before_it_is_sent() {
    for overtaken in [false, true] {
        let world = eager(Fake::with(|fake| fake.traits.creates_in_turn = true));
        world.apply(json!({}));
        let (another, _) = world.engine.memory.parent_locks.lock("account", "Fake", "").await;
        let frees = async {
            tokio::time::sleep(seconds(5)).await;
            if overtaken {
                world.fake.put(seen("1", "a", None));
            }
            drop(another);
        };
        tokio::join!(world.reconcile(), frees);
        let sent: &[&str] = if overtaken { &[] } else { &["POST a"] };
        assert_eq!(world.changes(), sent, "{overtaken}");
        world.settle().await;
        let expected = if overtaken { "False AlreadyExists" } else { "True Available" };
        assert_eq!(world.condition("Ready"), expected);
        assert_eq!(world.changes(), NOTHING);
    }
}

/// While an object waits for the account or for its turn, a person takes the right away, or stops it.
#[tokio::test(start_paused = true)]
async fn what_is_revoked_or_stopped_while_a_write_waits_is_not_sent() {
    type Happens = fn(&World);
    let revoke: Happens = |w| {
        let session = Arc::new(Session::of(account()));
        w.engine.auths.store(&auth(), &auth_spec(json!([])), Ok(session));
    };
    let suspend: Happens = |w| _ = w.apply(json!({"suspend": true, "value": "new"}));
    let observe: Happens = |w| _ = w.apply(json!({"managementPolicy": "Observe", "value": "new"}));
    let vanish: Happens = |w| {
        w.api.edit("it", |it| it["metadata"]["finalizers"] = json!([]));
        w.api.delete("it");
    };
    let edit: Happens = |w| _ = w.apply(json!({"value": "newer"}));
    for (case, happens) in [
        ("revoked", revoke),
        ("suspended", suspend),
        ("observed", observe),
        ("gone", vanish),
        ("edited", edit),
    ] {
        for exists in [false, true] {
            let fake = Fake::with(|fake| {
                (fake.traits.creates_in_turn, fake.traits.guarded_among_siblings) = (true, true);
            });
            let world = eager(fake);
            if exists {
                world.apply(json!({})).settle().await;
            }
            world.apply(json!({"value": "new"})).quiet();
            let (another, _) = world.engine.memory.parent_locks.lock("account", "Fake", "").await;
            let meanwhile = async {
                tokio::time::sleep(seconds(5)).await;
                happens(&world);
                world.watch();
                drop(another);
            };
            tokio::join!(world.reconcile(), meanwhile);
            assert_eq!(world.changes(), NOTHING, "{case} {exists}");
        }
    }
}

/// It waits for its turn, its credentials are replaced, and it is sent with the new ones.
#[tokio::test(start_paused = true)]
async fn a_write_whose_credentials_were_replaced_is_sent_with_the_new_ones() {
    let world = eager(Fake::with(|fake| fake.traits.creates_in_turn = true));
    world.apply(json!({}));
    let (another, _) = world.engine.memory.parent_locks.lock("account", "Fake", "").await;
    let meanwhile = async {
        tokio::time::sleep(seconds(5)).await;
        let session = Arc::new(Session::of(account()));
        world.engine.auths.store(&auth(), &auth_spec(Value::Null), Ok(session));
        drop(another);
    };
    let (action, ()) = tokio::join!(world.reconcile(), meanwhile);
    assert_eq!((world.changes(), action), (vec![], Action::requeue(Duration::ZERO)));
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!(world.condition("Ready"), "True Available");
}

impl World {
    /// The watch brings another DatabricksAuth for the account, or a change of it.
    fn another_auth(&self, namespace: &str, account_id: &str, client_id: &str, cidr: &str) {
        let auth = json!({
            "apiVersion": "databricks-operator.io/v1alpha1", "kind": "DatabricksAuth",
            "metadata": {"name": "another", "namespace": namespace, "uid": "another"},
            "spec": {
                "cloud": "AWS", "accountId": account_id, "authType": "OAUTH_M2M", "clientId": client_id, "egressCidrs": [cidr],
            },
        });
        let auth: DynamicObject = serde_json::from_value(auth).unwrap();
        self.auths.lock().unwrap().apply_watcher_event(&Event::Apply((&auth).into()));
    }
}

/// Covers SE-07. Two DatabricksAuths of one account may sign in as two service principals: a change through one of them must not shut
/// the other one out. What another namespace signs in as is not kept: its owners could keep it from being removed.
#[tokio::test]
async fn a_guard_keeps_every_identity_that_the_namespace_uses_for_the_account() {
    let account = HttpAccount::start().await;
    account.name("client", Some("7"));
    account.name("second", Some("8"));
    let own = || (Some("7".to_owned()), vec![]);
    for (namespace, account_id, client_id, judged) in [
        ("ns", "account", "second", vec![own(), (Some("8".to_owned()), vec![])]),
        ("elsewhere", "account", "second", vec![own()]),
        ("ns", "another", "second", vec![own()]),
        ("ns", "account", "unknown", vec![own()]),
    ] {
        let world = world_of(Fake::with(|fake| fake.traits.guarded_alone = true), |_| {});
        world.connect(&account).another_auth(namespace, account_id, client_id, "203.0.113.0/24");
        world.apply(json!({})).reconcile().await;
        assert_eq!(world.judged(), judged, "{namespace} {account_id} {client_id}");
        assert_eq!(world.changes(), ["POST a"]);
    }
}

/// The addresses are those of one operator, whichever DatabricksAuth names them.
#[tokio::test]
async fn a_guard_of_one_object_knows_the_addresses_of_all_its_databricks_auths() {
    let world = world_of(Fake::with(|fake| fake.traits.guarded_alone = true), |_| {});
    let account = HttpAccount::start().await;
    world.connect(&account).another_auth("ns", "account", "another", "203.0.113.0/24");
    world.apply(json!({"value": "block 203.0.113.0/24"})).reconcile().await;
    assert_eq!(world.condition("Stalled"), "True WouldLockOut", "the account shows the id of neither");
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_guard_of_addresses_knows_those_of_all_its_databricks_auths() {
    for (namespace, checks) in [("ns", true), ("elsewhere", false)] {
        let world = siblings().await;
        let mut session = Session::of(account());
        session.facts.egress.clear();
        world.engine.auths.store(&auth(), &auth_spec(Value::Null), Ok(Arc::new(session)));
        world.another_auth(namespace, "account", "client", "203.0.113.0/24");
        world.reconcile().await;
        assert_eq!(world.judged().len(), usize::from(checks), "{namespace}");
    }
}
