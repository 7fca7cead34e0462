//! Several replicas: one acts, another takes over when it dies, ends, stops or is cut off, and never do two act.
//!
//! Times are printed, not judged, but for the promise itself: a fail-over takes no longer than the lease and a few seconds.
//! `HA_ROUNDS=20` repeats each of them more often.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::Api;
use serde_json::{Value, json};
use simulator::{Call, Fault, When};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use world::{Operator, eventually};

use crate::support::{AUTH, SERVICE_ACCOUNT, SOON, Story, cluster, kubeconfig};

const LIST: &str = "IpAccessList";
const DURATION: Duration = Duration::from_secs(6);
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
const ELECTED: &[(&str, &str)] = &[
    ("leader-elect", "true"),
    ("lease-duration", "6s"),
    ("lease-renew-interval", "500ms"),
    ("write-timeout", "2s"),
    ("concurrency", "64"),
];

fn rounds() -> u32 {
    std::env::var("HA_ROUNDS").map_or(3, |n| n.parse().unwrap())
}

/// Past the test runner, which keeps what tests print.
fn print(text: &str) {
    let mut err = std::io::stderr();
    writeln!(err, "leadership: {text}").unwrap();
}

async fn start(name: &str) -> Story {
    let mut story = stage(name).await;
    story.operator = Some(replica(&mut story).await);
    story.wait_ready("DatabricksAuth", AUTH).await;
    story
}

/// The stage, with the right to hold a lease in its namespace: the chart grants it in the release's alone.
async fn stage(name: &str) -> Story {
    let story = Story::without_operator(name).await;
    let role =
        ["create", "role", "lease", "--verb=get,create,update", "--resource=leases.coordination.k8s.io"];
    story.kubectl(&role).await.unwrap();
    let bind = ["create", "rolebinding", "lease", "--role=lease", "--user", SERVICE_ACCOUNT];
    story.kubectl(&bind).await.unwrap();
    story
}

async fn replica(story: &mut Story) -> Operator {
    replica_through(story, kubeconfig()).await
}

async fn replica_through(story: &mut Story, kubeconfig: &Path) -> Operator {
    let namespace = story.namespace.clone();
    story.replica(kubeconfig, &[&[("lease-namespace", &*namespace)], ELECTED].concat()).await
}

fn office(story: &Story, octet: u32) -> Value {
    let spec =
        json!({"label": "office", "listType": "ALLOW", "ipAddresses": [format!("203.0.113.{octet}/32")]});
    story.managed(LIST, "office", spec)
}

/// The record of the lease.
async fn lease(story: &Story) -> Option<LeaseSpec> {
    let api: Api<Lease> = Api::namespaced(story.client.clone(), &story.namespace);
    api.get_opt("databricks-operator").await.unwrap()?.spec
}

/// Who holds the lease.
async fn holder(story: &Story) -> Option<String> {
    lease(story).await?.holder_identity.filter(|holder| !holder.is_empty())
}

/// Waits until somebody holds the lease: a replica is ready before it leads.
async fn somebody_leads(story: &Story) -> String {
    let held = async || holder(story).await.ok_or("nobody".into());
    eventually("somebody leads", SOON, held).await.unwrap()
}

/// Waits until the account has the address.
async fn reaches(story: &Story, octet: u32) {
    let address = format!("203.0.113.{octet}/32");
    let there = eventually(format!("{address} is in the account"), SOON, async || {
        let lists = story.account.objects("ip-access-lists");
        let known = lists.iter().any(|list| list["ip_addresses"] == json!([address]));
        if known { Ok(()) } else { Err(format!("{lists:?}")) }
    });
    there.await.unwrap();
}

/// Whether an operator has logged anything about an object of the story `shards`.
fn told(operator: &Operator, kind: &str, name: &str) -> bool {
    operator.text().contains(&format!("kind={kind:?} namespace=\"shards\" name={name:?}"))
}

/// Covers HA-01. With two replicas a killed one is replaced within the lease and 5 s, one that is told to end within 3 s;
/// the account sees one list all the time. On a busy machine all takes longer: as much as ten edits take without a fail-over.
#[tokio::test]
async fn a_replica_that_dies_or_ends_is_replaced_by_the_other() {
    let mut story = start("leader-fails").await;
    story.apply(&office(&story, 1)).await;
    reaches(&story, 1).await;
    let mut octet = 1;
    for round in 0..2 * rounds() {
        let killed = round % 2 == 0;
        let standby = replica(&mut story).await;
        let before = holder(&story).await;
        let leader = story.operator.replace(standby).unwrap();
        // Nothing is under way then.
        story.wait_ready(LIST, "office").await;
        octet += 1;
        let since = Instant::now();
        story.apply(&office(&story, octet)).await;
        reaches(&story, octet).await;
        let busy = since.elapsed() * 10;
        story.wait_ready(LIST, "office").await;
        octet += 1;
        let since = Instant::now();
        if killed {
            leader.kill().unwrap();
            story.apply(&office(&story, octet)).await;
        } else {
            let next = office(&story, octet);
            let status = tokio::join!(leader.terminate(), story.apply(&next)).0.unwrap();
            assert!(status.success(), "{status}");
        }
        reaches(&story, octet).await;
        let took = since.elapsed();
        let (how, limit) = if killed {
            ("SIGKILL", DURATION + Duration::from_secs(5) + busy)
        } else {
            ("SIGTERM", Duration::from_secs(3) + busy)
        };
        print(&format!("fail-over after {how}: {took:.1?} (lease {DURATION:?})"));
        assert!(took < limit, "fail-over after {how} took {took:?}");
        assert_ne!(holder(&story).await, before);
    }
    assert_eq!(story.account.objects("ip-access-lists").len(), 1);
    assert_eq!(story.account.writes().iter().filter(|call| call.method == "POST").count(), 1);
    story.end().await;
}

/// Covers HA-03. A replica that is told to end while a create is under way records what was made, and gives the lease back
/// only then: the other finds it done.
#[tokio::test]
async fn a_create_under_way_is_recorded_before_the_lease_is_given_back() {
    let mut story = start("leader-ends").await;
    let hold = Fault {
        method: Some("POST".into()),
        path: "*/ip-access-lists".into(),
        hold: true,
        when: When::After,
        ..Fault::default()
    };
    let hold = story.account.fault(hold);
    let standby = replica(&mut story).await;
    story.apply(&office(&story, 1)).await;
    let held = story.account.held(hold).await;
    let before = holder(&story).await.unwrap();
    let leader = story.operator.replace(standby).unwrap();
    leader.signal("TERM").unwrap();
    assert_eq!(holder(&story).await.as_ref(), Some(&before), "given back while a call was under way");
    story.account.release(held.n);
    let status = leader.terminate().await.unwrap();
    assert!(status.success(), "{status}");
    story.wait_ready(LIST, "office").await;
    let posts = story.account.writes().into_iter().filter(|call| call.method == "POST").count();
    assert_eq!((posts, story.account.objects("ip-access-lists").len()), (1, 1));
    story.end().await;
}

/// Covers HA-01. What the record says of times is for people: whoever waits is not moved by a renewal that looks old, or
/// yet to come.
#[tokio::test]
async fn the_clocks_of_others_do_not_matter() {
    let mut story = start("leader-clocks").await;
    let before = somebody_leads(&story).await;
    let standby = replica(&mut story).await;
    let api: Api<Lease> = Api::namespaced(story.client.clone(), &story.namespace);
    for time in ["2001-01-01T00:00:00.000000Z", "2101-01-01T00:00:00.000000Z"] {
        let since = Instant::now();
        while since.elapsed() < DURATION + Duration::from_secs(1) {
            let patch = json!({"spec": {"renewTime": time}});
            api.patch("databricks-operator", &Default::default(), &kube::api::Patch::Merge(patch))
                .await
                .unwrap();
            assert_eq!(holder(&story).await.as_ref(), Some(&before), "moved by {time}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    standby.terminate().await.unwrap();
    story.end().await;
}

/// Covers HA-01. A replica that has waited acts on what is there when it begins to lead, not on what was there when it began
/// to wait.
#[tokio::test]
async fn a_replica_that_waited_knows_what_happened_meanwhile() {
    let mut story = start("leader-waited").await;
    story.apply(&office(&story, 1)).await;
    story.wait_ready(LIST, "office").await;
    let standby = replica(&mut story).await;
    story.apply(&office(&story, 2)).await;
    story.wait_ready(LIST, "office").await;
    story.apply(&office(&story, 1)).await;
    story.delete(LIST, "office").await;
    story.wait_gone(LIST, "office").await;
    story.apply(&office(&story, 3)).await;
    story.wait_ready(LIST, "office").await;
    story.account.clear_journal();
    let before = holder(&story).await;
    story.operator.replace(standby).unwrap().kill().unwrap();
    let taken = eventually("the other leads", SOON, async || {
        let now = holder(&story).await;
        if now != before { Ok(()) } else { Err(format!("{now:?}")) }
    });
    taken.await.unwrap();
    story.pass(LIST, "office").await;
    story.wait_ready(LIST, "office").await;
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    let events = story.events(LIST, "office").await;
    assert!(events.iter().all(|(reason, _)| reason != "DriftCorrected"), "{events:?}");
    story.end().await;
}

/// Covers HA-01, HA-02. A replica that is frozen in the middle of its work for longer than the lease, and then goes on,
/// sends no create again and ends by itself.
#[tokio::test]
async fn a_frozen_replica_finds_that_it_no_longer_leads() {
    let mut story = start("leader-frozen").await;
    let mut late = 0;
    for round in 0..rounds() {
        let standby = replica(&mut story).await;
        let frozen = story.operator.replace(standby).unwrap();
        let objects: Vec<Value> = (0..12)
            .map(|n| {
                let label = format!("list-{round}-{n}");
                let spec =
                    json!({"label": label, "listType": "ALLOW", "ipAddresses": [format!("198.51.100.{n}")]});
                story.managed(LIST, &label, spec)
            })
            .collect();
        let made = |story: &Story| story.account.writes().iter().filter(|call| call.method == "POST").count();
        let before = made(&story);
        for object in &objects {
            story.apply(object).await;
            if made(&story) >= before + 2 + usize::try_from(round).unwrap() {
                break;
            }
        }
        frozen.signal("STOP").unwrap();
        for object in &objects {
            story.apply(object).await;
        }
        for object in &objects {
            story.wait_ready(LIST, object["metadata"]["name"].as_str().unwrap()).await;
        }
        let known = story.account.journal().len();
        frozen.signal("CONT").unwrap();
        let status = frozen.wait().await.unwrap();
        assert!(!status.success(), "a replica that lost the lease ended well");
        let after = story.account.journal();
        late += after[known..].iter().filter(|call| call.method == "PUT" || call.method == "PATCH").count();
        let mut labels: BTreeMap<String, usize> = BTreeMap::new();
        for list in story.account.objects("ip-access-lists") {
            *labels.entry(list["label"].to_string()).or_default() += 1;
        }
        assert!(labels.values().all(|count| *count == 1), "made twice: {labels:?}");
        assert_eq!(labels.len(), 12 * (usize::try_from(round).unwrap() + 1));
    }
    print(&format!(
        "frozen for longer than the lease {} times: 0 created twice, {late} late changes",
        rounds()
    ));
    story.end().await;
}

/// Covers HA-02. A change that was on its way while its sender was frozen, and has its effect only after the other replica
/// has made a newer one, is corrected by that.
#[tokio::test]
async fn a_change_that_comes_late_is_corrected() {
    let mut story = start("leader-late").await;
    story.apply(&office(&story, 1)).await;
    story.wait_ready(LIST, "office").await;
    let change = Fault {
        method: Some("PATCH".into()),
        path: "*/ip-access-lists/*".into(),
        hold: true,
        times: Some(1),
        ..Fault::default()
    };
    let hold = story.account.fault(change);
    let standby = replica(&mut story).await;
    let frozen = story.operator.replace(standby).unwrap();
    story.apply(&office(&story, 2)).await;
    let on_its_way = story.account.held(hold).await;
    // Before it gives up the call, which would be the end of that.
    frozen.signal("STOP").unwrap();
    story.apply(&office(&story, 3)).await;
    story.wait_ready(LIST, "office").await;
    reaches(&story, 3).await;

    assert!(story.account.release(on_its_way.n), "it was given up");
    story.wait_event(LIST, "office", "DriftCorrected").await;
    reaches(&story, 3).await;
    story.wait_ready(LIST, "office").await;
    frozen.signal("CONT").unwrap();
    assert!(!frozen.wait().await.unwrap().success(), "a replica that lost the lease ended well");
    assert_eq!(story.account.objects("ip-access-lists").len(), 1);
    story.end().await;
}

/// Covers HA-02. A leader that is cut off from the API server, and still reaches the account, corrects what drifts there only
/// as long as each change would be over before the lease is; the other begins after that, and never do both write.
#[tokio::test]
async fn a_leader_that_is_cut_off_stops_before_the_other_begins() {
    let mut story = stage("leader-cut-off").await;
    // A pass that cannot write its status is stuck, so there is one for each moment.
    let names: Vec<String> = (0..60).map(|n| format!("list-{n}")).collect();
    for name in &names {
        let spec = json!({"label": name, "listType": "ALLOW", "ipAddresses": ["203.0.113.1"]});
        story.apply(&story.managed(LIST, name, spec)).await;
    }
    // On a busy machine a leader can be too slow to write anything after the cut: such a round proves nothing and is repeated.
    let mut proved = 0;
    for round in 0..4 * rounds() {
        let mut cable = Cable::lay(&format!("leader-cut-off-{round}")).await;
        story.operator = Some(replica_through(&mut story, &cable.kubeconfig).await);
        let before = somebody_leads(&story).await;
        let mut ids = vec![];
        for name in &names {
            let ready = story.wait_ready(LIST, name).await;
            ids.push(ready["status"]["externalId"].as_str().unwrap().to_owned());
        }
        // From the second round on they are Ready from before: it has read the Secret once it has handled a request.
        story.pass(LIST, &names[0]).await;
        let standby = replica(&mut story).await;
        assert_eq!(holder(&story).await.as_ref(), Some(&before));
        let leader = story.operator.replace(standby).unwrap();
        cable.cut().await;
        let (since, cut) = (Instant::now(), story.account.now_ms());

        // Somebody keeps changing them in the account, so that there is always something to correct.
        let (mut drift, mut stood_still) = (ids.iter(), Duration::ZERO);
        while holder(&story).await.as_ref() == Some(&before) {
            assert!(since.elapsed() < DURATION + SOON, "nobody took over: {}", leader.tail(20));
            if let Some(id) = drift.next() {
                let change = json!({"ip_addresses": ["192.0.2.1/32"]});
                story.account.edit("ip-access-lists", id, change).unwrap();
            }
            let (moment, slept) = (Duration::from_millis(100), Instant::now());
            tokio::time::sleep(moment).await;
            stood_still = stood_still.max(slept.elapsed().saturating_sub(moment));
        }
        // One machine, one clock: before this moment the other did not even ask for the lease.
        let record = lease(&story).await.unwrap();
        let taken = u64::try_from(record.acquire_time.unwrap().0.as_millisecond()).unwrap();
        let writes: Vec<Call> = story.account.writes();
        let by_the_cut_off: Vec<u64> =
            writes.iter().map(|call| call.at_ms).filter(|at| (cut..taken).contains(at)).collect();
        // The last renewal was sent before the cut, and a change is to be over a second before the lease is. It may be on its
        // way for a while: half of its own time limit. The account, which is in this process, notes it later if the process stands still.
        let time = DURATION - WRITE_TIMEOUT - Duration::from_secs(1) + WRITE_TIMEOUT / 2 + stood_still;
        let last = cut + u64::try_from(time.as_millis()).unwrap();
        assert!(
            by_the_cut_off.iter().all(|at| *at <= last),
            "cut at {cut}, taken at {taken}: {by_the_cut_off:?}"
        );
        proved += u32::from(!by_the_cut_off.is_empty());
        print(&format!(
            "cut off: {} changes after the cut, the last {} ms after it, {} ms before the other took over",
            by_the_cut_off.len(),
            by_the_cut_off.last().map_or(0, |at| at - cut),
            by_the_cut_off.last().map_or(0, |at| taken - at),
        ));
        let status = leader.wait().await.unwrap();
        assert!(!status.success(), "a leader that was cut off ended well");
        let corrected = eventually("all is as it should be", SOON, async || {
            let lists = story.account.objects("ip-access-lists");
            let off = lists.iter().filter(|list| list["ip_addresses"] != json!(["203.0.113.1/32"])).count();
            if off == 0 { Ok(()) } else { Err(format!("{off} differ")) }
        });
        corrected.await.unwrap();
        story.operator.take().unwrap().terminate().await.unwrap();
        if proved == rounds() {
            break;
        }
    }
    assert_eq!(proved, rounds(), "too few leaders wrote anything after the cut: there was nothing to stop");
    assert_eq!(story.account.objects("ip-access-lists").len(), names.len());
    story.end().await;
}

/// Covers HA-05. Two operators that divide objects by a label see each only its own; one that is moved to the other goes on
/// there, as the same object in the account, and what has no label is nobody's.
#[tokio::test]
async fn operators_with_different_selectors_share_no_object() {
    let mut story = Story::without_operator("shards").await;
    for shard in ["a", "b"] {
        let mut auth = story.auth(&format!("auth-{shard}"));
        auth["metadata"]["labels"] = json!({"shard": shard});
        story.apply(&auth).await;
    }
    let list = |story: &Story, name: &str, shard: &str| {
        let spec = json!({"authRef": {"name": format!("auth-{shard}")}, "label": name, "listType": "ALLOW",
            "ipAddresses": ["203.0.113.1"]});
        let mut list = story.object(LIST, name, spec);
        list["metadata"]["labels"] = json!({"shard": shard});
        list
    };
    for (name, shard) in [("one", "a"), ("two", "b"), ("three", "c")] {
        story.apply(&list(&story, name, shard)).await;
    }
    let a = story.replica(kubeconfig(), &[("selector", "shard=a"), ("leader-elect", "false")]).await;
    let b = story.replica(kubeconfig(), &[("selector", "shard in (b)"), ("leader-elect", "false")]).await;
    let id = story.wait_ready(LIST, "one").await["status"]["externalId"].clone();
    story.wait_ready(LIST, "two").await;

    story.apply(&list(&story, "one", "b")).await;
    let moved = story
        .wait(LIST, "one", "it is Ready at the other", |object| {
            let wide = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            (wide && told(&b, LIST, "one")).then(|| object.clone())
        })
        .await;
    assert_eq!(moved["status"]["externalId"], id);
    story.patch(LIST, "one", json!({"spec": {"ipAddresses": ["203.0.113.2"]}})).await;
    story.wait_ready(LIST, "one").await;
    let puts = story.account.writes();
    assert_eq!(story.account.objects("ip-access-lists").len(), 2, "{puts:?}");
    assert!(told(&a, LIST, "one") && !told(&a, LIST, "two"), "{}", a.text());
    assert!(told(&b, LIST, "two"), "{}", b.text());
    for operator in [&a, &b] {
        let nobodys = told(operator, LIST, "three") || told(operator, "DatabricksAuth", AUTH);
        assert!(!nobodys, "{}", operator.text());
    }
    let nobodys = story.get(LIST, "three").await;
    assert_eq!(nobodys["status"]["observedGeneration"], -1);
    for operator in [a, b] {
        assert!(operator.terminate().await.unwrap().success());
    }
    story.end().await;
}

/// A way to the API server that can be cut.
struct Cable {
    kubeconfig: PathBuf,
    cut: CancellationToken,
    /// Closed once nothing can go through any more.
    whole: mpsc::Receiver<()>,
}

impl Cable {
    async fn lay(name: &str) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = listener.local_addr().unwrap();
        let text = std::fs::read_to_string(kubeconfig()).unwrap();
        let (_, rest) = text.split_once("https://").unwrap();
        let theirs = rest.split(['"', '\n']).next().unwrap().trim().to_owned();
        let path = cluster().dir.join(format!("kubeconfig-{name}"));
        std::fs::write(&path, text.replace(&theirs, &ours.to_string())).unwrap();
        let (strand, whole) = mpsc::channel(1);
        let cut = CancellationToken::new();
        let is_cut = cut.clone();
        tokio::spawn(async move {
            let connected = async {
                loop {
                    let (near, _) = listener.accept().await.unwrap();
                    tokio::spawn(connect(near, theirs.clone(), is_cut.clone(), strand.clone()));
                }
            };
            tokio::select! {
                biased;
                () = is_cut.cancelled() => {}
                () = connected => {}
            }
            drop(strand);
            // Who knocks is not turned away either.
            std::future::pending::<()>().await;
            drop(listener);
        });
        Cable { kubeconfig: path, cut, whole }
    }

    /// When it returns, not a byte goes through any more.
    async fn cut(&mut self) {
        self.cut.cancel();
        assert_eq!(self.whole.recv().await, None);
    }
}

async fn connect(mut near: TcpStream, to: String, is_cut: CancellationToken, strand: mpsc::Sender<()>) {
    let Ok(mut far) = TcpStream::connect(&to).await else { return };
    tokio::select! {
        biased;
        () = is_cut.cancelled() => {}
        _ = copy_bidirectional(&mut near, &mut far) => return,
    }
    drop(strand);
    // Half-open: neither side is told.
    std::future::pending::<()>().await;
}
