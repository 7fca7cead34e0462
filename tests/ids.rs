//! The table of promises and the tests that show them, `tests/README.md`.
//!
//! A test says what it shows in its doc comment, `/// Covers LC-03, LC-04.` (the list ends with a full stop or a colon). The
//! table is made of these and must be in step: `UPDATE=1 cargo test --test ids` writes it. A promise that no test
//! shows is a failure, and so is a test that covers an unknown promise, or an id with two promises.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// What has to be shown by a test.
const PROMISES: &[(&str, &str)] = &[
    ("ST-01", "`status.observedGeneration` is that of the spec only after that spec was carried out"),
    ("ST-02", "a new object does not look finished before it was reconciled"),
    ("ST-03", "`Ready`, `Synced` and `ReferencesResolved` are present from the first write of the status on"),
    ("ST-04", "each condition says which generation it is about, and all agree when `Ready` is True"),
    ("ST-05", "`Ready`, `Reconciling` and `Stalled` exclude each other"),
    ("ST-07", "where nothing changed, no status is written"),
    ("ST-08", "`lastTransitionTime` moves only when the status of the condition does"),
    ("ST-09", "reasons are documented words; messages have no secret, request id, time or counter"),
    (
        "ST-10",
        "`kubectl wait` for Ready and for the deletion returns as soon as the state is reached, and not before",
    ),
    ("ST-12", "the status says which object it is and which policies apply, and holds no secret"),
    ("ST-14", "`kubectl get` has the same columns for all kinds, `kubectl explain` a text for each field"),
    ("ST-15", "`Synced` is True only for a generation that was compared with the account"),
    (
        "ST-16",
        "what the account has of a list is shown up to a limit, whatever its length, and compared whole",
    ),
    ("GO-01", "server-side apply shows no difference after the operator has worked"),
    ("GO-02", "client-side apply shows none either"),
    (
        "GO-03",
        "the operator owns no field of the spec, and of the metadata only its finalizer and its annotations",
    ),
    ("GO-04", "applying the same manifest again changes nothing"),
    ("GO-05", "a field that is removed from the manifest is no longer managed"),
    ("GO-06", "lists without order are compared as sets"),
    (
        "GO-07",
        "Argo CD shows each status as what it is, whatever the order of the conditions, and Flux agrees",
    ),
    ("GO-08", "all manifests applied at once, in any order, converge"),
    ("GO-09", "all objects deleted at once, in any order, converge"),
    ("GO-10", "with waves, what comes later begins when all before it is Healthy, and goes before that goes"),
    ("GO-11", "what a GitOps tool marks an object with is on nothing else, in the cluster or in the account"),
    ("GO-12", "each action for Argo CD patches one field"),
    ("HA-01", "of two replicas one acts; when it dies or ends, the other soon replaces it"),
    ("HA-02", "a replica that cannot renew its lease stops writing before another can begin"),
    ("HA-03", "the end of a process waits for the calls under way, and loses no id"),
    ("HA-04", "a start with thousands of objects writes nothing, and serves users at once"),
    ("HA-05", "operators that divide the objects among them never share one"),
    ("HA-07", "an API server that restarts or forgets the past is recovered from, and nothing is missed"),
    (
        "HA-08",
        "operators of two clusters never share an object in the account, unless one is given the other's name",
    ),
    ("LC-01", "one object in the account for each Kubernetes object, whatever crashes"),
    ("LC-02", "of two Kubernetes objects that mean one object, one manages it and the other says so"),
    ("LC-03", "what is in the account already is left alone, unless the spec says otherwise"),
    ("LC-04", "what is proven to be ours is adopted again, without an id in the manifest"),
    ("LC-06", "`Observe` only reads; `Managed` without a difference writes nothing either"),
    ("LC-07", "`Observe` reports the difference by field"),
    ("LC-08", "a difference is corrected within the resync interval: the fields that differ, and no others"),
    ("LC-09", "`suspend` stops all calls within a second, and resuming acts at once"),
    ("LC-10", "`reconcile-requested-at` triggers one reconcile, and its value is copied to the status"),
    ("LC-12", "what disappeared in the account is created again, unless it holds data"),
    ("LC-13", "objects that are restored without their status find what they had created"),
    (
        "LC-14",
        "a long operation survives a restart, blocks no other object, shows its progress and has a limit",
    ),
    (
        "LC-15",
        "reads that lag behind writes lead to no second object and to no loss, for as long as a kind says that they may",
    ),
    (
        "LC-16",
        "what an object created is its own after a restore; a copied record adopts, and that is reported",
    ),
    (
        "LC-17",
        "an object can replace another one, or name the same thing in another form, and nothing changes in the account",
    ),
    ("LC-18", "an object that is only observed is not adopted, and a missing one is a plan, not a failure"),
    ("LC-19", "what failed is retried when a user requests it, and the message names ways that work"),
    (
        "LC-25",
        "a write that replaces a whole keeps all in it that others wrote, also what the operator does not know",
    ),
    (
        "LC-29",
        "what the API cannot remove is disabled, which the event says, and is enabled again when it is applied again",
    ),
    (
        "LC-27",
        "IP access lists come into force only if they allow the operator, and stay in force when the object is deleted",
    ),
    ("LC-24", "what would cut off the users of workspaces is done only if the spec allows it"),
    (
        "LC-20",
        "what is always in the account is managed by changing it, is left alone if others set it, and is put back when it is deleted",
    ),
    ("LC-21", "a change does not overwrite one that another client made meanwhile: the object is read again"),
    (
        "LC-22",
        "an object that waits for an approval says what to do and where, has no time limit, and can be changed and deleted",
    ),
    (
        "LC-28",
        "what is in a workspace is managed at its host, and waits while the workspace does not run or cannot be reached",
    ),
    (
        "LC-26",
        "an object that is in the account and has no effect is Ready, and says what to write so that it has one",
    ),
    (
        "LC-30",
        "a secret is replaced with a valid one in its Kubernetes Secret at every moment, and none is left behind",
    ),
    (
        "LC-31",
        "the ids and facts of a status are in the ConfigMap that a spec names, as they are, and in no other",
    ),
    (
        "LC-32",
        "a secret that comes once with its object is kept before the object counts as created; a lost one is reported, and the object stays",
    ),
    (
        "LC-33",
        "what the API cannot unset is set back to what it was, if the spec says so and the status has it",
    ),
    (
        "LC-34",
        "access that is not listed is reported, or removed after its delay, a few at once, and never what another object manages",
    ),
    ("DL-01", "`Retain` releases an object without a call"),
    ("DL-02", "an object that created nothing is released at once, without credentials"),
    ("DL-03", "a deletion without credentials says so, and `Retain` is the way out"),
    ("DL-04", "once the credentials are back, the deletion continues automatically"),
    (
        "DL-05",
        "to delete what is gone succeeds; an object in use is reported and the deletion is retried, and so it is after an outage",
    ),
    ("DL-06", "a failed read is never taken for absence"),
    ("DL-07", "a namespace with everything in it can be deleted"),
    ("DL-08", "a DatabricksAuth stays while objects need it"),
    ("DL-09", "`deletionProtection` keeps the object in the account and says how to lift it"),
    ("DL-10", "a deletion during a creation leaves nothing in the account"),
    ("DL-11", "finalizers of others are kept and waited for"),
    ("DL-13", "a deletion that the account holds up for days says why, and `Retain` is the way out"),
    (
        "DL-14",
        "what is in a workspace is gone with it, once the account says so; until then a deletion says what it waits for",
    ),
    ("CR-01", "a changed Secret is used at once"),
    ("CR-03", "each mistake in credentials has a reason of its own"),
    ("CR-07", "an account is pinned: nothing is written once it would be another"),
    ("CR-08", "a rejected token is replaced once, and its rejection is not taken for a refusal of the call"),
    ("CR-09", "an address that the account blocks has a reason of its own, and recovery is noticed"),
    ("RF-01", "a missing reference is named, and nothing is written"),
    ("RF-02", "what becomes ready triggers what waits for it, without polling"),
    ("RF-03", "a refused reference to another namespace does not reveal whether the target exists"),
    ("RF-04", "a grant and its removal take effect at once; what is in the account stays"),
    (
        "RF-05",
        "no object of a namespace makes the operator call the account with credentials that are not granted to that namespace",
    ),
    ("RF-06", "what others refer to is not deleted before them"),
    (
        "RF-07",
        "what refers to an object needs it to be usable in the account, not its spec to be carried out",
    ),
    ("RF-08", "an id in the spec that the account does not know is named with its field"),
    (
        "RF-11",
        "an object refers to others by id or by name, alone or in a list, and moves from one to another by one call",
    ),
    (
        "RF-12",
        "an entry of a list that the account does not have keeps no other entry in that should be removed",
    ),
    (
        "RF-13",
        "an optional reference triggers its object, and the other object is deleted without waiting for it",
    ),
    ("RF-14", "a reference means the name of the other object where the account knows it by name"),
    ("ER-01", "what is refused for good is retried only by a slow re-check"),
    ("ER-02", "a change of spec, credentials, referent or trigger ends Stalled at once"),
    ("ER-03", "a 429 stops its class of calls for as long as the account asks, and nothing else"),
    ("ER-04", "outages are retried with growing delays up to a limit"),
    ("ER-10", "a refusal by Databricks is shown at once, and called Stalled only once it is confirmed"),
    ("ER-11", "a failed read leaves a settled object Ready; one that lasts is shown"),
    ("ER-12", "names that move from one object to another in one commit arrive without a person"),
    (
        "ER-13",
        "the operator waits for the end of a refusal that is known to be transient, in each of its wordings",
    ),
    (
        "IM-01",
        "a field that cannot change is refused by the API server, with the way out, and free before the object exists",
    ),
    ("IM-02", "an optional field that cannot change is not added, removed or cycled either"),
    ("IM-03", "rules over several fields are checked by the API server, the oldest and the newest"),
    ("IM-07", "the committed CRDs are the generated ones, and all kinds keep one form"),
    ("IM-09", "a message about a field that cannot change says the value that the account has"),
    ("OB-01", "events report transitions and writes to the account; a repeated failure is one series"),
    (
        "OB-02",
        "metrics count what happened, with as many series for a thousand objects as for ten, and no name",
    ),
    (
        "OB-03",
        "alerts, dashboard and runbooks query what a running operator exposes, and all of that is documented",
    ),
    ("OB-04", "log lines name the object; each write to the account is one, with its outcome and no secret"),
    (
        "OB-05",
        "with a collector, a reconcile is a span with a span for each call; without one, or with a slow one, there is no cost",
    ),
    (
        "OB-06",
        "what the account has and no object names is counted if a DatabricksAuth asks for it, by the LISTs that the objects share",
    ),
    ("SE-01", "the operator is refused nothing, and needs each right that the chart gives it"),
    ("SE-02", "where namespaces are chosen, nothing of the operator reaches beyond them"),
    ("SE-03", "a namespace that enforces Pod Security `restricted` takes its pods"),
    ("SE-04", "credentials are sent to allowed hosts only"),
    ("SE-05", "what gives control of the account is allowed only by a grant that names its kind"),
    ("SE-06", "the operator does not take away its own way into the account"),
    ("SE-07", "the operator keeps its own service principal active, and an administrator of the account"),
    ("SE-08", "the role of an administrator of the account is given only where a grant says so explicitly"),
    (
        "SE-09",
        "the operator writes Secrets and ConfigMaps only where the chart was asked for it, and none that it did not create",
    ),
    ("SE-10", "access that others gave is removed only where a grant says so explicitly"),
    ("UX-04", "an upgrade writes no object and calls nothing in the account"),
    ("UX-05", "`helm upgrade` changes the CRDs, `helm rollback` too, `helm uninstall` keeps them"),
    ("UX-06", "each reason of a condition or an event is documented, with a cause and a remedy"),
    ("UX-07", "five commands lead from a cluster to the first Ready object, with kubectl and with Helm"),
    (
        "UX-09",
        "a runbook's commands show what they are for, and following it to the letter has the promised result",
    ),
    (
        "UX-08",
        "what `make up` starts has an account of its own, starts again what ends in it, and can be used as it says",
    ),
    ("UX-10", "each kind is documented with its deletion, its adoption, its sample and its dangers"),
];

/// What may be shown by a test, and is in the table if it is.
const MORE: &[(&str, &str)] = &[
    ("ST-06", "an edited object is not Ready for its new generation before the account has it"),
    ("ST-11", "messages say what, why and what to do, in at most 1,024 bytes"),
    ("ST-13", "no edit of a user is lost"),
    ("LC-05", "several objects that match are for a person to choose from"),
    ("LC-11", "the resync interval is the object's, else the DatabricksAuth's, else the operator's"),
    ("DL-12", "what is suspended or only observed stays in the account when it is deleted, with a warning"),
    ("DL-15", "users and service principals are deactivated, and erased only with `purge: true`"),
    ("CR-02", "a rotation does not set off all objects at once"),
    ("CR-04", "Secrets are watched by name and never listed"),
    ("CR-05", "tokens are renewed in time, one renewal at a time"),
    ("CR-06", "a rotation is never seen by half"),
    ("ER-05", "an object that cannot be worked on delays no other"),
    ("ER-06", "a user's change overtakes a backlog of routine"),
    ("ER-08", "fields and words that are new in the API break nothing"),
    ("ER-09", "at rest, objects of one kind share their reads"),
    ("IM-04", "a mistake in a manifest is refused"),
    ("IM-08", "a CRD is not too large to be applied"),
];

/// A test that shows something.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Test {
    file: String,
    name: String,
}

/// The ids after `Covers`, up to a full stop or a colon.
fn covered(doc: &str) -> Vec<String> {
    let Some((_, list)) = doc.split_once("Covers ") else { return vec![] };
    let list = &list[..list.find(['.', ':']).unwrap_or(list.len())];
    let id = |word: &str| {
        let form = |(letters, digits): (&str, &str)| {
            letters.len() == 2
                && letters.chars().all(|c| c.is_ascii_uppercase())
                && digits.len() == 2
                && digits.chars().all(|c| c.is_ascii_digit())
        };
        word.split_once('-').is_some_and(form)
    };
    let words: Vec<&str> = list.split(',').map(str::trim).collect();
    if words.iter().any(|word| id(word)) {
        assert!(words.iter().all(|word| id(word)), "not only ids, up to a full stop or a colon: {doc:?}");
        return words.into_iter().map(str::to_owned).collect();
    }
    vec![]
}

/// The tests of a file that say what they cover, and what is wrong with them.
fn tests(file: &str, text: &str, shown: &mut BTreeMap<String, Vec<Test>>, wrong: &mut Vec<String>) {
    let (mut doc, mut attributes) = (String::new(), String::new());
    for line in text.lines().map(str::trim) {
        if let Some(more) = line.strip_prefix("///") {
            doc = doc + more + " ";
        } else if line.starts_with("#[") {
            attributes += line;
        } else {
            let ids = covered(&doc);
            if !ids.is_empty() {
                let name = line.split_once("fn ").and_then(|(_, rest)| rest.split(['(', '<']).next());
                let name = name.unwrap_or_default().to_owned();
                let runs = attributes.contains("test]") || attributes.contains("test(");
                if name.is_empty() || !runs || attributes.contains("#[ignore") {
                    wrong
                        .push(format!("{file}: what covers {} is no test that runs: {line}", ids.join(", ")));
                }
                for id in ids {
                    let test = Test { file: file.to_owned(), name: name.clone() };
                    shown.entry(id).or_default().push(test);
                }
            }
            doc.clear();
            attributes.clear();
        }
    }
}

fn scan(folder: &Path, shown: &mut BTreeMap<String, Vec<Test>>, wrong: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            scan(&path, shown, wrong);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests/ids.rs") {
            let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap();
            tests(name, &std::fs::read_to_string(&path).unwrap(), shown, wrong);
        }
    }
}

fn table(shown: &mut BTreeMap<String, Vec<Test>>) -> String {
    let mut text = String::from(
        "# Promises and tests\n\nWritten by `UPDATE=1 cargo test --test ids` from the doc comments of the tests. Do not edit.\n\n\
         | id | promise | tests |\n|---|---|---|\n",
    );
    for (id, promise) in PROMISES.iter().chain(MORE) {
        let Some(tests) = shown.get_mut(*id) else { continue };
        tests.sort();
        let cells: Vec<String> = tests.iter().map(|t| format!("`{}` `{}`", t.file, t.name)).collect();
        writeln!(text, "| {id} | {promise} | {} |", cells.join("<br>")).unwrap();
    }
    text
}

#[test]
fn every_promise_has_a_test_and_the_table_is_in_step() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut shown, mut wrong) = (BTreeMap::new(), vec![]);
    for folder in ["src", "tests", "simulator", "hack"] {
        scan(&root.join(folder), &mut shown, &mut wrong);
    }
    let known = |id: &str| PROMISES.iter().chain(MORE).any(|(known, _)| *known == id);
    for (id, tests) in shown.iter().filter(|(id, _)| !known(id)) {
        wrong.push(format!("{id} is promised nowhere; add it to tests/ids.rs, or correct {tests:?}"));
    }
    for (id, promise) in PROMISES.iter().filter(|(id, _)| !shown.contains_key(*id)) {
        wrong.push(format!("no test covers {id}: {promise}"));
    }
    let ids: Vec<&str> = PROMISES.iter().chain(MORE).map(|(id, _)| *id).collect();
    for (_, id) in ids.iter().enumerate().filter(|(at, id)| ids[..*at].contains(*id)) {
        wrong.push(format!("{id} is promised twice: give the second promise an id of its own"));
    }
    let path = root.join("tests/README.md");
    let table = table(&mut shown);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &table).unwrap();
    } else if std::fs::read_to_string(&path).ok().as_ref() != Some(&table) {
        wrong.push("tests/README.md is not in step: UPDATE=1 cargo test --test ids".into());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn ids_are_read_from_the_doc_comments_of_tests_alone() {
    let read = |text: &str| {
        let (mut shown, mut wrong) = (BTreeMap::new(), vec![]);
        tests("f.rs", text, &mut shown, &mut wrong);
        (shown.into_keys().collect::<Vec<_>>(), wrong.len())
    };
    let both = (vec!["AB-01".to_owned(), "AB-02".to_owned()], 0);
    assert_eq!(read("/// Covers AB-01,\n/// AB-02. More of CD-03.\n#[test]\nfn a() {}"), both);
    assert_eq!(read("/// Covers AB-01, AB-02: what.\n#[tokio::test(flavor = \"x\")]\nasync fn a() {}"), both);
    assert_eq!(read("/// Covers AB-01.\nfn no_test() {}").1, 1);
    assert_eq!(read("/// Covers AB-01.\n#[test]\n#[ignore]\nfn never() {}").1, 1);
    assert_eq!(read("/// Covers much.\n#[test]\nfn a() {}"), (vec![], 0));
    assert_eq!(read("// AB-01\n#[test]\nfn a() {}"), (vec![], 0));
}
