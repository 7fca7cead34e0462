//! The steps in the life of an application. Each begins and ends with everything Synced and Healthy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};
use world::eventually;

use crate::application::{Application, View};
use crate::audit::{self, Request};
use crate::parts;
use crate::resource::resource;
use crate::stage::{IDLE, OPERATOR, Story};

const OFFICE: &str = "IpAccessList/office";
const FINALIZER: &str = "databricks-operator.io/finalizer";
const EXTERNAL_ID: &str = "databricks-operator.io/external-id";

/// An application with all samples.
pub struct Day {
    story: Story,
    application: Application,
    /// What is in Git, by kind.
    manifests: BTreeMap<String, Value>,
}

impl Day {
    /// All samples are put into Git, and become Synced and Healthy.
    pub async fn begin(story: Story) -> Day {
        let mut manifests = BTreeMap::new();
        for mut sample in story.samples() {
            sample["metadata"]["labels"] = json!({"app.kubernetes.io/instance": "samples"});
            manifests.insert(sample["kind"].as_str().unwrap().to_owned(), sample);
        }
        let revision = commit(&story, &manifests, "All samples");
        let application = story.application().await;
        let view = application.wait_synced(&revision).await;
        for kind in manifests.keys() {
            let seen = view.objects.iter().find(|(name, _)| name.starts_with(kind.as_str()));
            let (_, (sync, health, _)) = seen.unwrap();
            assert_eq!((sync.as_str(), health.as_str()), ("Synced", "Healthy"), "{kind}: {view:#?}");
        }
        story.tell("all samples are Synced and Healthy");
        Day { story, application, manifests }
    }

    fn spec(&mut self, kind: &str) -> &mut Value {
        &mut self.manifests.get_mut(kind).unwrap()["spec"]
    }

    /// Commits, and waits until that is in the cluster and Healthy.
    async fn merge(&self, message: &str) -> View {
        let revision = commit(&self.story, &self.manifests, message);
        self.application.refresh().await;
        self.application.wait_synced(&revision).await
    }

    /// Commits, and waits until an object has this health with this in its message, and the application has the health too.
    async fn merge_to(&self, message: &str, object: &str, health: &str, says: &str) {
        let revision = commit(&self.story, &self.manifests, message);
        self.application.refresh().await;
        let so = |view: &View| {
            let (_, now, said) = view.objects.get(object)?;
            Some(view.revision == revision && view.health == health && now == health && said.contains(says))
        };
        self.application.wait(&format!("{object} is {health}: {says}"), |view| so(view) == Some(true)).await;
    }

    /// Fails if Argo CD has seen a difference since.
    async fn never_out_of_sync(&self, since: usize) {
        self.application.looked().await;
        for view in self.application.since(since) {
            let synced = |(_, (sync, ..)): (&String, &(String, _, _))| sync == "Synced";
            assert!(view.sync == "Synced" && view.objects.iter().all(synced), "{view:#?}");
        }
    }

    /// Nothing of a wave was there before all of the one before was Ready.
    pub async fn came_in_waves(&self) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut times = vec![];
        for (kind, manifest) in &self.manifests {
            let object = self.story.get(kind, manifest["metadata"]["name"].as_str().unwrap()).await;
            let conditions = object["status"]["conditions"].as_array().unwrap();
            let ready = conditions.iter().find(|c| c["type"] == "Ready").unwrap();
            assert_eq!(ready["status"], "True", "{kind} was called Healthy: {ready}");
            let (since, made) = (&ready["lastTransitionTime"], &object["metadata"]["creationTimestamp"]);
            times.push((wave(manifest), kind, text(made), text(since)));
        }
        for (wave, kind, _, ready) in &times {
            for (_, later, made, _) in times.iter().filter(|(other, ..)| other > wave) {
                assert!(ready <= made, "{kind} was Ready at {ready}, and {later} was there at {made}");
            }
        }
        // The same as the account saw it.
        let writes = self.story.account.writes();
        let at = |part: &str| writes.iter().position(|call| call.path.contains(part));
        // A workspace's own path is in that of its assignments.
        let of = |method: &str, part: &str| {
            writes.iter().position(|c| c.method == method && c.path.contains(part))
        };
        let workspace = of("POST", "/workspaces");
        let later = [at("/ip-access-lists"), at("/permissionassignments")];
        assert!(workspace.is_some() && later.iter().all(|it| *it > workspace), "{writes:#?}");
        self.story.tell("they came in waves: each before what refers to it");
    }

    pub async fn a_commit_is_carried_out(&mut self) {
        let addresses = json!(["192.0.2.0/24", "203.0.113.0/24"]);
        self.spec("IpAccessList")["ipAddresses"] = addresses.clone();
        self.merge("Another office").await;
        self.story.wait_list("ip_addresses", addresses).await;
        self.story.tell("a commit that changes an IP access list is carried out");
    }

    pub async fn a_manual_edit_is_healed(&mut self) {
        let wanted = self.spec("IpAccessList")["ipAddresses"].clone();
        let mark = self.application.now();
        let more = json!(["192.0.2.0/24", "198.51.100.9", "203.0.113.0/24"]);
        self.story.edit("IpAccessList", "office", json!({"spec": {"ipAddresses": more}})).await;
        self.story
            .wait("the edit is healed", async || {
                let object = self.story.get("IpAccessList", "office").await;
                let generations =
                    (&object["metadata"]["generation"], &object["status"]["observedGeneration"]);
                let healed = object["spec"]["ipAddresses"] == wanted && generations.0 == generations.1;
                if healed { Ok(()) } else { Err(object["spec"].to_string()) }
            })
            .await;
        self.application.wait("a difference was seen and healed", |view| view.sync == "Synced").await;
        assert!(self.application.since(mark).iter().any(|view| view.sync == "OutOfSync"));
        self.story.wait_list("ip_addresses", wanted).await;
        self.story.tell("a manual edit in the cluster is healed");
    }

    pub async fn drift_in_the_account_is_no_difference(&mut self) {
        let wanted = self.spec("IpAccessList")["ipAddresses"].clone();
        let mark = self.application.now();
        let list = self.story.list();
        let id = list["list_id"].as_str().unwrap();
        let other = json!({"ip_addresses": ["203.0.113.0/24", "198.51.100.77"]});
        self.story.account.clear_journal();
        self.story.account.edit("ip-access-lists", id, other).unwrap();
        self.story.wait_list("ip_addresses", wanted).await;
        assert_eq!(self.story.account.writes().len(), 1);
        self.never_out_of_sync(mark).await;
        self.story.tell("a change in the account is corrected, and Argo CD never shows a difference");
    }

    /// Of the fields that may be left out, `customTags` is nobody's then, and `enabled` is documented to be true.
    pub async fn what_leaves_the_manifest_is_left_alone(&mut self) {
        let tags = self.spec("Workspace").as_object_mut().unwrap().remove("customTags").unwrap();
        self.spec("IpAccessList")["enabled"] = json!(false);
        self.merge("Tags are given elsewhere").await;
        self.story.wait_list("enabled", json!(false)).await;
        let mark = self.application.now();
        let workspace = self.story.account.objects("workspaces").remove(0);
        let with_ours = |tags: &Value| {
            let mut all = tags.clone();
            all["databricks-operator"] = workspace["custom_tags"]["databricks-operator"].clone();
            all
        };
        assert_eq!(workspace["custom_tags"], with_ours(&tags), "they stay as they were");
        self.story.account.clear_journal();
        let others = with_ours(&json!({"team": "somebody else's"}));
        let id = workspace["workspace_id"].to_string();
        self.story.account.edit("workspaces", &id, json!({"custom_tags": others})).unwrap();
        self.story.wait_compared("*/workspaces").await;
        assert_eq!(self.story.account.writes().len(), 0, "{:?}", self.story.account.writes());
        self.never_out_of_sync(mark).await;
        self.story.tell("a field that leaves the manifest is left alone, whoever changes it");

        self.spec("IpAccessList").as_object_mut().unwrap().remove("enabled").unwrap();
        self.spec("Workspace")["customTags"] = tags.clone();
        self.merge("Tags are given here after all").await;
        self.story.wait_list("enabled", json!(true)).await;
        assert_eq!(self.story.account.objects("workspaces")[0]["custom_tags"], with_ours(&tags));
        self.story.tell("it is managed again when it comes back; `enabled`, left out, is true");
    }

    pub async fn a_spec_that_cannot_be_carried_out_is_degraded(&mut self) {
        let (before, good) = (self.story.list(), self.spec("IpAccessList")["ipAddresses"].clone());
        self.spec("IpAccessList")["ipAddresses"] = json!(["198.51.100.7"]);
        let says = "WouldLockOut: this would shut the operator out: it calls from 203.0.113.7/32";
        self.merge_to("Shut out by mistake", OFFICE, "Degraded", says).await;
        assert_eq!(self.story.list(), before);
        self.story.tell("a spec that would shut the operator out is Degraded, with our message");
        self.spec("IpAccessList")["ipAddresses"] = good;
        self.merge("Revert").await;
        self.story.tell("the next commit is Healthy");
    }

    pub async fn nonsense_is_refused_and_holds_up_nothing_else(&mut self) {
        self.spec("IpAccessList")["listType"] = json!("MAYBE");
        let addresses = json!(["203.0.113.0/24"]);
        commit(&self.story, &self.manifests, "Nonsense");
        self.application.refresh().await;
        // Met when it is applied, or earlier, by the server-side diff.
        let failed = |view: &View| {
            let said = view.errors.iter().chain([&view.operation.1]);
            said.into_iter().any(|said| said.contains("spec.listType: Unsupported value: \"MAYBE\""))
        };
        self.application.wait("the API server's refusal is shown", failed).await;
        assert_eq!(self.story.list()["list_type"], "ALLOW");
        self.story.wait_compared("*/ip-access-lists").await;
        self.spec("IpAccessList")["listType"] = json!("ALLOW");
        self.spec("IpAccessList")["ipAddresses"] = addresses.clone();
        self.merge("Sense").await;
        self.story.wait_list("ip_addresses", addresses).await;
        self.story
            .tell("a nonsense manifest is refused, all else goes on, and the next commit is carried out");

        let addresses = json!(["192.0.2.0/24", "203.0.113.0/24"]);
        self.spec("IpAccessList")["ipAddresses"] = addresses.clone();
        // Of a file that does not look like a manifest Argo CD says nothing.
        self.story.git.put_text("notes", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes\n");
        commit(&self.story, &self.manifests, "Not even YAML");
        self.application.refresh().await;
        let failed = |view: &View| view.errors.iter().any(|said| said.contains("notes.yaml"));
        self.application.wait("the file is named", failed).await;
        self.story.wait_compared("*/ip-access-lists").await;
        assert_ne!(self.story.list()["ip_addresses"], addresses, "nothing of that commit is carried out");
        self.story.git.remove("notes");
        self.merge("Without it").await;
        self.story.wait_list("ip_addresses", addresses).await;
        self.story
            .tell("a file that is no YAML is named, all else goes on, and the next commit is carried out");
    }

    /// The sync waits, as it would for anything that is not Healthy. What is there is kept all the same.
    pub async fn a_broken_check_is_named_and_ours_are_kept(&mut self) {
        let kind = self.story.users_check(Some("hs = {")).await;
        let meta = json!({"name": "notes", "namespace": self.story.namespace});
        self.story.git.put("notes", &json!({"apiVersion": "v1", "kind": kind, "metadata": meta}));
        let addresses = json!(["203.0.113.0/24"]);
        self.spec("IpAccessList")["ipAddresses"] = addresses.clone();
        let revision = commit(&self.story, &self.manifests, "Notes");
        self.application.refresh().await;
        let notes = format!("{kind}/notes");
        let as_it_is = |view: &View| {
            let says = |said: &str| said.contains("syntax error");
            let named = view.errors.iter().any(|said| said.contains(kind) && says(said));
            let mut objects = view.objects.clone();
            let unknown =
                objects.remove(&notes).is_some_and(|(_, health, said)| health == "Unknown" && says(&said));
            let healthy = objects.values().all(|(_, health, _)| health == "Healthy");
            view.revision == revision && named && unknown && healthy && objects.len() == self.manifests.len()
        };
        self.application.wait("the check is named, and ours are Healthy", as_it_is).await;
        let list = self.story.list();
        let id = list["list_id"].as_str().unwrap();
        self.story.account.edit("ip-access-lists", id, json!({"enabled": false})).unwrap();
        self.story.wait_list("enabled", json!(true)).await;
        self.story.tell("a broken check of the user's own is named; our objects are Healthy, and kept");

        self.story.users_check(None).await;
        self.story.wait_list("ip_addresses", addresses).await;
        self.application.wait_synced(&revision).await;
        self.story.git.remove("notes");
        self.merge("No notes").await;
        self.story.tell("once it is mended, what waited for it is carried out");
    }

    pub async fn suspend_is_suspended(&mut self) {
        self.spec("IpAccessList")["suspend"] = json!(true);
        self.merge_to("Hands off", OFFICE, "Suspended", "").await;
        self.spec("IpAccessList").as_object_mut().unwrap().remove("suspend");
        self.merge("Hands on").await;
        self.story.tell("suspend is Suspended, and Healthy again without it");
    }

    /// With the actions as people run them, through Argo CD's server.
    pub async fn actions_change_one_field_each(&self) {
        let mark = self.application.now();
        for (kind, manifest) in &self.manifests {
            let name = manifest["metadata"]["name"].as_str().unwrap();
            for (action, field) in [
                ("reconcile", "/metadata/annotations/databricks-operator.io~1reconcile-requested-at"),
                ("suspend", "/spec/suspend"),
                ("resume", "/spec/suspend"),
            ] {
                let before = self.settled(kind, name).await;
                let run = ["app", "actions", "run", &self.application.name, action, "--kind", kind];
                self.story.site.argo.cli(&[&run[..], &["--resource-name", name]].concat()).unwrap();
                let after = self.settled(kind, name).await;
                assert_eq!(changed(&before, &after), [field], "{action} of {kind}");
                if action == "suspend" {
                    let suspended = |view: &View| view.objects[&format!("{kind}/{name}")].1 == "Suspended";
                    self.application.wait(&format!("{kind} is Suspended"), suspended).await;
                }
            }
        }
        self.application.wait("Healthy again", |view| view.health == "Healthy").await;
        self.never_out_of_sync(mark).await;
        self.story.tell("reconcile, suspend and resume change one field each, of all kinds, and make no difference to Git");
    }

    /// An object once the operator is done with it.
    async fn settled(&self, kind: &str, name: &str) -> Value {
        self.story
            .wait(&format!("{kind} is settled"), async || {
                let object = self.story.get(kind, name).await;
                let (meta, status) = (&object["metadata"], &object["status"]);
                let asked = &meta["annotations"]["databricks-operator.io/reconcile-requested-at"];
                let heeded = asked.is_null() || *asked == status["lastHandledReconcileAt"];
                let done = heeded && meta["generation"] == status["observedGeneration"];
                if done { Ok(object) } else { Err(object.to_string()) }
            })
            .await
    }

    /// What the operator makes of an object has nothing of how Argo CD marks that.
    pub async fn argo_cds_marks_stay_where_they_are(&self) {
        let cluster = &self.story.site.cluster;
        let list = ["api-resources", "--namespaced", "--verbs=list", "-o", "name"];
        let kinds =
            cluster.kubectl(&list, "").await.unwrap().split_whitespace().collect::<Vec<_>>().join(",");
        let mut marked = BTreeSet::new();
        for object in cluster.list(&[&kinds, "--namespace", &self.story.namespace]).await.unwrap() {
            let meta = &object["metadata"];
            if [&meta["annotations"], &meta["labels"]].iter().any(|marks| marks.to_string().contains("argo"))
            {
                marked.insert(object["kind"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(marked, self.manifests.keys().cloned().collect());
        let account = &self.story.account;
        let all = ["workspaces", "credentials", "ip-access-lists", "permissionassignments"];
        let text = json!([all.map(|collection| account.objects(collection)), account.journal()]).to_string();
        assert!(!text.contains("argo") && !text.contains("app.kubernetes.io"), "{text}");
        self.story.tell("Argo CD's marks are on what is in Git, and on nothing else, here or in the account");
    }

    /// The one place where a story only waits: for what must not happen.
    pub async fn nothing_happens_at_rest(&self) {
        let versions = async || {
            let mut all = vec![];
            for (kind, manifest) in &self.manifests {
                let object = self.story.get(kind, manifest["metadata"]["name"].as_str().unwrap()).await;
                all.push(object["metadata"]["resourceVersion"].clone());
            }
            all
        };
        let (mark, before, began) = (self.application.now(), versions().await, Instant::now());
        self.story.account.clear_journal();
        let happened = eventually("something happens", IDLE, async || {
            let views = self.application.since(mark);
            let quiet = views.iter().all(|view| view.sync == "Synced" && view.health == "Healthy");
            if quiet { Err(()) } else { Ok(views) }.map_err(|()| String::new())
        });
        if let Ok(views) = happened.await {
            panic!("after {:?}: {views:#?}", began.elapsed());
        }
        assert_eq!(versions().await, before, "an object was written");
        assert_eq!(self.story.account.writes().len(), 0, "{:?}", self.story.account.writes());
        assert!(self.story.account.calls("GET", "*/ip-access-lists") > 10, "the account is compared");
        self.application.looked().await;
        let views = self.application.since(mark);
        assert!(views.windows(2).all(|pair| pair[0].objects == pair[1].objects), "{views:#?}");
        self.story.tell(&format!("{} s of rest: no difference, no write, no flap", IDLE.as_secs()));
    }

    pub async fn replace_makes_no_second_object(&mut self) {
        let before = self.story.list();
        let uid = self.story.get("IpAccessList", "office").await["metadata"]["uid"].clone();
        self.story.account.clear_journal();
        let requests = audit::requests(&self.story.site.cluster, &self.story.namespace).len();
        let marks = &mut self.manifests.get_mut("IpAccessList").unwrap()["metadata"]["annotations"];
        marks["argocd.argoproj.io/sync-options"] = json!("Replace=true");
        self.spec("IpAccessList")["label"] = json!("head office");
        self.merge("Replaced as a whole").await;
        self.story.wait_list("label", json!("head office")).await;
        self.story
            .wait("finalizer and id are back", async || {
                let object = self.story.get("IpAccessList", "office").await;
                let meta = &object["metadata"];
                assert_eq!(meta["uid"], uid);
                let back = meta["finalizers"] == json!([FINALIZER])
                    && meta["annotations"][EXTERNAL_ID] == before["list_id"];
                if back { Ok(()) } else { Err(meta.to_string()) }
            })
            .await;
        let requests = &audit::requests(&self.story.site.cluster, &self.story.namespace)[requests..];
        let wiped =
            |r: &Request| r.verb == "update" && r.user == parts::USER && r.object == "ipaccesslists/office";
        let at = requests.iter().position(wiped).expect("Argo CD replaced the object");
        let repaired =
            |r: &Request| r.verb == "patch" && r.user.contains(OPERATOR) && r.subresource.is_empty();
        assert!(requests[at..].iter().any(repaired), "what Argo CD wiped was repaired");
        assert_eq!(self.story.list()["list_id"], before["list_id"]);
        assert_eq!(self.story.account.calls("POST", "*/ip-access-lists"), 0);
        self.story.tell("Replace=true wipes finalizer and id: they come back, and there is no second list");
    }

    /// With the annotation that users are told to give what must not go by mistake.
    pub async fn what_leaves_git_waits_for_a_person(&mut self) {
        let marks = &mut self.manifests.get_mut("Workspace").unwrap()["metadata"]["annotations"];
        marks["argocd.argoproj.io/sync-options"] = json!("Prune=confirm,Delete=confirm");
        self.merge("A person has to confirm").await;
        for kind in self.manifests.keys() {
            self.story.git.remove(&kind.to_lowercase());
        }
        self.story.git.commit("The end");
        self.application.refresh().await;
        let asks = "Waiting for pruning confirmation of databricks-operator.io/v1alpha1/Workspace/analytics";
        self.application.wait("somebody has to confirm", |view| view.operation.1.contains(asks)).await;
        self.story.wait_compared("*/workspaces").await;
        let first = wave(&self.manifests["Workspace"]);
        for (kind, manifest) in self.manifests.iter().filter(|(_, manifest)| wave(manifest) <= first) {
            let object = self.story.get(kind, manifest["metadata"]["name"].as_str().unwrap()).await;
            assert!(object["metadata"]["deletionTimestamp"].is_null(), "{object}");
        }
        self.story
            .tell("removed from Git, the workspace stays until somebody confirms, and so does what it needs");
    }

    /// After [`Day::what_leaves_git_waits_for_a_person`].
    pub async fn everything_goes_in_reverse_order(&self) {
        self.story.site.argo.cli(&["app", "confirm-deletion", &self.application.name]).unwrap();
        self.application
            .wait("nothing is left", |view| view.objects.is_empty() && view.sync == "Synced")
            .await;
        let mut steps = vec![];
        for (kind, manifest) in &self.manifests {
            let left = self.story.api(kind).list(&Default::default()).await.unwrap().items;
            assert!(left.is_empty(), "{left:?}");
            steps.push((wave(manifest), kind, self.last_days(kind)));
        }
        for (wave, kind, (deleted, _)) in &steps {
            for (_, other, (_, gone)) in steps.iter().filter(|(other, ..)| other > wave) {
                assert!(gone <= deleted, "{kind} was deleted at {deleted}, {other} was gone at {gone}");
            }
        }
        let account = &self.story.account;
        let count = |collection: &str| account.objects(collection).len();
        // The credential of the retained workspace was there before, its creator is its administrator, and a WorkspaceAccess takes no
        // access away when it goes.
        let left = ["workspaces", "credentials", "ip-access-lists"].map(count);
        assert_eq!(left, [1, 1, 0]);
        let rows = account.objects("permissionassignments");
        let mut access: Vec<_> = rows
            .iter()
            .map(|row| (row["permissions"].to_string(), row["principal_id"].to_string()))
            .collect();
        access.sort();
        let groups = account.objects("Groups");
        let analysts = groups.iter().find(|group| group["displayName"] == "analysts").unwrap();
        assert_eq!(access.len(), 2, "{rows:?}");
        assert_eq!(access[0].0, r#"["ADMIN"]"#);
        assert_eq!(access[1], (r#"["USER"]"#.to_owned(), analysts["id"].as_str().unwrap().to_owned()));
        self.story
            .tell("confirmed, all is pruned in reverse order; in the account the retained workspace is left");
    }

    /// When Argo CD deleted the object of a kind, and when its last finalizer went.
    fn last_days(&self, kind: &str) -> (String, String) {
        let requests = audit::requests(&self.story.site.cluster, &self.story.namespace);
        let plural = resource(kind).plural;
        let object = format!("{plural}/");
        let about = |r: &&Request| r.object.starts_with(&object) && r.subresource.is_empty();
        let about: Vec<&Request> = requests.iter().filter(about).collect();
        let deleted = about.iter().find(|r| r.verb == "delete" && r.user == parts::USER);
        let gone = about.iter().rfind(|r| ["patch", "update", "delete"].contains(&r.verb.as_str()));
        (deleted.expect("Argo CD deletes it").at.clone(), gone.expect("it was deleted").at.clone())
    }
}

/// The wave that a manifest is in.
fn wave(manifest: &Value) -> u8 {
    manifest["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"].as_str().unwrap().parse().unwrap()
}

fn commit(story: &Story, manifests: &BTreeMap<String, Value>, message: &str) -> String {
    for (kind, manifest) in manifests {
        story.git.put(&kind.to_lowercase(), manifest);
    }
    story.git.commit(message)
}

/// The fields that differ between two versions of what users write: annotations, labels, finalizers and the spec.
fn changed(before: &Value, after: &Value) -> Vec<String> {
    let mut found = vec![];
    for part in ["/metadata/annotations", "/metadata/labels", "/metadata/finalizers", "/spec"] {
        let none = Value::Null;
        differ(part, before.pointer(part).unwrap_or(&none), after.pointer(part).unwrap_or(&none), &mut found);
    }
    found
}

fn differ(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    if let (Value::Object(a), Value::Object(b)) = (before, after) {
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
            differ(&path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), found);
        }
    } else if before != after {
        found.push(path.to_owned());
    }
}
