//! For each alert, series on which it fires and series on which it stays silent.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::files::{RULES, alerts};
use crate::promtool;

/// What happens to an operator, as series. Each has the labels of one target, `namespace="ops"`, `job="dbx"` and
/// `instance="a"`, unless it says otherwise; values are one a minute, in the words of promtool: `0x9 1+2x3` is ten times 0,
/// then 1, 3, 5, 7. Beside them there is a replica that leads, unless a series says otherwise.
struct Story {
    alert: &'static str,
    name: &'static str,
    series: &'static [(&'static str, &'static str)],
    /// With labels: at this minute this alert fires with them, and no other. Without: until this minute none fires at all.
    minute: u32,
    fires: Option<&'static str>,
}

const fn fires(
    alert: &'static str,
    name: &'static str,
    series: &'static [(&'static str, &'static str)],
    minute: u32,
    labels: &'static str,
) -> Story {
    Story { alert, name, series, minute, fires: Some(labels) }
}

const fn silent(
    alert: &'static str,
    name: &'static str,
    series: &'static [(&'static str, &'static str)],
    minute: u32,
) -> Story {
    Story { alert, name, series, minute, fires: None }
}

const OPERATOR: &str = r#"namespace="ops",job="dbx""#;
const OF_KIND: &str = r#"namespace="ops",job="dbx",kind="Workspace""#;

const STORIES: &[Story] = &[
    fires("Down", "it is gone", &[("build_info", "1x10 _x30")], 25, OPERATOR),
    fires("Down", "it was never there", &[("build_info", "_x30"), ("leader", "_x30")], 10, ""),
    fires(
        "Down",
        "one of two is gone",
        &[("build_info", "1x10 _x30"), (r#"build_info{job="other"}"#, "1x40")],
        25,
        OPERATOR,
    ),
    silent(
        "Down",
        "another pod takes its place",
        &[("build_info", "1x10 _x50"), (r#"build_info{instance="b"}"#, "_x17 1x50")],
        60,
    ),
    fires(
        "NoLeader",
        "both wait",
        &[("leader", "1x5 0x30"), (r#"leader{instance="b"}"#, "0x35")],
        12,
        OPERATOR,
    ),
    silent("NoLeader", "one waits", &[("leader", "1x60"), (r#"leader{instance="b"}"#, "0x60")], 60),
    silent(
        "NoLeader",
        "another takes over, slowly",
        &[("leader", "1x10 0x50"), (r#"leader{instance="b"}"#, "0x14 1x50")],
        60,
    ),
    fires(
        "WatchFailing",
        "it does not come back",
        &[(r#"watch_failing_seconds{kind="Workspace"}"#, "0+60x20")],
        12,
        OF_KIND,
    ),
    silent(
        "WatchFailing",
        "both are cut off for a while",
        &[
            (r#"watch_failing_seconds{kind="Workspace"}"#, "0+60x8 0x20"),
            (r#"watch_failing_seconds{kind="Workspace",instance="b"}"#, "0+60x8 0x20"),
        ],
        28,
    ),
    silent(
        "WatchFailing",
        "the API server is upgraded",
        &[(r#"watch_failing_seconds{kind="Workspace"}"#, "0+60x9 0x20")],
        30,
    ),
    fires(
        "QueueStuck",
        "nothing is taken",
        &[(r#"workqueue_oldest_seconds{kind="Workspace"}"#, "0+60x30")],
        22,
        OF_KIND,
    ),
    silent(
        "QueueStuck",
        "a start with very many objects",
        &[(r#"workqueue_oldest_seconds{kind="Workspace"}"#, "0+60x18 0x30")],
        40,
    ),
    fires("Panicked", "a pass panics", &[("panics_total", "0x10 1x20")], 15, OPERATOR),
    silent("Panicked", "long ago, and a restart since", &[("panics_total", "3x30 0x40")], 65),
    fires(
        "ReconcileErrors",
        "two of three passes fail",
        &[
            (r#"reconcile_total{kind="Workspace",result="transient"}"#, "0+2x60"),
            (r#"reconcile_total{kind="Workspace",result="done"}"#, "0+1x60"),
        ],
        40,
        OF_KIND,
    ),
    silent(
        "ReconcileErrors",
        "a minute of failures among much that works",
        &[
            (r#"reconcile_total{kind="Workspace",result="transient"}"#, "0x10 20x60"),
            (r#"reconcile_total{kind="Workspace",result="done"}"#, "0+1x70"),
        ],
        70,
    ),
    silent(
        "ReconcileErrors",
        "one object alone fails, ever more rarely",
        &[
            (r#"reconcile_total{kind="Workspace",result="transient"}"#, "0+0.25x120"),
            (r#"reconcile_total{kind="Workspace",result="done"}"#, "0x120"),
        ],
        120,
    ),
    silent(
        "ReconcileErrors",
        "all wait for another object",
        &[(r#"reconcile_total{kind="Workspace",result="waiting"}"#, "0+5x60")],
        60,
    ),
    fires(
        "NotReady",
        "one does not get there",
        &[(r#"not_ready_oldest_seconds{kind="Workspace"}"#, "0+60x40")],
        33,
        OF_KIND,
    ),
    fires(
        "NotReady",
        "a restart does not end it",
        &[(r#"not_ready_oldest_seconds{kind="Workspace"}"#, "0+60x35 0x2 2280+60x30")],
        38,
        OF_KIND,
    ),
    silent(
        "NotReady",
        "it is young, and both replicas say so",
        &[
            (r#"not_ready_oldest_seconds{kind="Workspace"}"#, "0+60x25 0x30"),
            (r#"not_ready_oldest_seconds{kind="Workspace",instance="b"}"#, "0+60x25 0x30"),
        ],
        50,
    ),
    silent(
        "NotReady",
        "it is credentials, which have an alert of their own",
        &[(r#"not_ready_oldest_seconds{kind="DatabricksAuth"}"#, "0+60x60")],
        60,
    ),
    silent(
        "NotReady",
        "objects are made all the time",
        &[(r#"not_ready_oldest_seconds{kind="Workspace"}"#, "0+60x20 300+60x20 120+60x25")],
        65,
    ),
    fires(
        "Stalled",
        "it stays so",
        &[(r#"resources{kind="Workspace",condition="Stalled",status="True"}"#, "0x5 1x20")],
        22,
        OF_KIND,
    ),
    fires(
        "Stalled",
        "a restart does not end it",
        &[(r#"resources{kind="Workspace",condition="Stalled",status="True"}"#, "0x5 1x20 0x1 1x20")],
        28,
        OF_KIND,
    ),
    silent(
        "Stalled",
        "it is mended",
        &[(r#"resources{kind="Workspace",condition="Stalled",status="True"}"#, "0x5 1x10 0x30")],
        40,
    ),
    silent(
        "Stalled",
        "it belongs to credentials",
        &[(r#"resources{kind="DatabricksAuth",condition="Stalled",status="True"}"#, "1x40")],
        40,
    ),
    fires(
        "DeletionBlocked",
        "it stays so",
        &[(r#"resources{kind="Workspace",condition="DeletionBlocked",status="True"}"#, "1x70")],
        65,
        OF_KIND,
    ),
    fires(
        "DeletionBlocked",
        "a restart does not end it",
        &[(r#"resources{kind="Workspace",condition="DeletionBlocked",status="True"}"#, "1x70 0x1 1x20")],
        74,
        OF_KIND,
    ),
    silent(
        "DeletionBlocked",
        "what uses it goes too",
        &[(r#"resources{kind="Workspace",condition="DeletionBlocked",status="True"}"#, "1x50 0x30")],
        80,
    ),
    fires(
        "MassDeletionStopped",
        "the leader has stopped, the other has nothing to stop",
        &[("mass_deletion_stopped", "0x5 1x10"), (r#"mass_deletion_stopped{instance="b"}"#, "0x15")],
        7,
        OPERATOR,
    ),
    silent("MassDeletionStopped", "nothing is stopped", &[("mass_deletion_stopped", "0x60")], 60),
    fires(
        "CredentialsInvalid",
        "two are not Ready, one of them suspended",
        &[
            (r#"resources{kind="DatabricksAuth",condition="Ready",status="False"}"#, "0x5 2x20"),
            (r#"resources{kind="DatabricksAuth",condition="Suspended",status="True"}"#, "0x5 1x20"),
            (r#"resources{kind="DatabricksAuth",condition="DeletionBlocked",status="True"}"#, "0x25"),
        ],
        12,
        OPERATOR,
    ),
    fires(
        "CredentialsInvalid",
        "a restart does not end it",
        &[
            (r#"resources{kind="DatabricksAuth",condition="Ready",status="False"}"#, "1x20 0x1 1x20"),
            (r#"resources{kind="DatabricksAuth",condition="Suspended",status="True"}"#, "0x41"),
            (r#"resources{kind="DatabricksAuth",condition="DeletionBlocked",status="True"}"#, "0x41"),
        ],
        23,
        OPERATOR,
    ),
    silent(
        "CredentialsInvalid",
        "a Secret is written again, key by key",
        &[
            (r#"resources{kind="DatabricksAuth",condition="Ready",status="False"}"#, "0x5 1x3 0x30"),
            (r#"resources{kind="DatabricksAuth",condition="Suspended",status="True"}"#, "0x38"),
            (r#"resources{kind="DatabricksAuth",condition="DeletionBlocked",status="True"}"#, "0x38"),
        ],
        38,
    ),
    silent(
        "CredentialsInvalid",
        "one is suspended, one is leaving",
        &[
            (r#"resources{kind="DatabricksAuth",condition="Ready",status="False"}"#, "2x50"),
            (r#"resources{kind="DatabricksAuth",condition="Suspended",status="True"}"#, "1x50"),
            (r#"resources{kind="DatabricksAuth",condition="DeletionBlocked",status="True"}"#, "1x50"),
        ],
        50,
    ),
    fires(
        "TokenExpiring",
        "it cannot be renewed",
        &[
            ("auth_token_expiry_timestamp_seconds", "3600x70"),
            (r#"auth_token_refresh_total{result="failure"}"#, "0x40 0+1x30"),
        ],
        54,
        OPERATOR,
    ),
    silent(
        "TokenExpiring",
        "nobody needs a new one",
        &[
            ("auth_token_expiry_timestamp_seconds", "3600x90"),
            (r#"auth_token_refresh_total{result="failure"}"#, "0x90"),
        ],
        90,
    ),
    silent(
        "TokenExpiring",
        "it is renewed at the second attempt",
        &[
            ("auth_token_expiry_timestamp_seconds", "3600x41 7200x50"),
            (r#"auth_token_refresh_total{result="failure"}"#, "0x40 1x50"),
        ],
        90,
    ),
    fires(
        "Throttled",
        "again and again",
        &[(r#"api_throttled_total{api="scim"}"#, "0x5 0+1x60")],
        50,
        r#"namespace="ops",job="dbx",api="scim""#,
    ),
    silent("Throttled", "once, twice", &[(r#"api_throttled_total{api="scim"}"#, "0x5 1x10 2x80")], 90),
    fires(
        "DriftReturns",
        "at every look",
        &[(
            r#"drift_corrected_total{kind="Workspace"}"#,
            "0x11 1x11 2x11 3x11 4x11 5x11 6x11 7x11 8x11 9x11 10x11 11x11 12x11",
        )],
        150,
        OF_KIND,
    ),
    silent(
        "DriftReturns",
        "two changes by hand",
        &[(r#"drift_corrected_total{kind="Workspace"}"#, "0x11 1x50 2x180")],
        240,
    ),
    fires(
        "DriftRemains",
        "it is left",
        &[(r#"drift_oldest_seconds{kind="Workspace"}"#, "0+60x130")],
        124,
        OF_KIND,
    ),
    fires(
        "DriftRemains",
        "a restart does not end it",
        &[(r#"drift_oldest_seconds{kind="Workspace"}"#, "0+60x125 0x2 7740+60x9")],
        127,
        OF_KIND,
    ),
    silent(
        "DriftRemains",
        "it is young, and both replicas say so",
        &[
            (r#"drift_oldest_seconds{kind="Workspace"}"#, "0+60x110 0x9"),
            (r#"drift_oldest_seconds{kind="Workspace",instance="b"}"#, "0+60x110 0x9"),
        ],
        119,
    ),
    silent(
        "DriftRemains",
        "it is dealt with",
        &[(r#"drift_oldest_seconds{kind="Workspace"}"#, "0+60x110 0x30")],
        140,
    ),
];

impl Story {
    fn series(&self) -> Vec<(String, String)> {
        let name = |series: &str| series.split('{').next().unwrap().to_owned();
        let own: BTreeSet<String> = self.series.iter().map(|(series, _)| name(series)).collect();
        let usual = [("build_info", "1x300"), ("leader", "1x300")];
        let usual = usual.iter().filter(|(series, _)| !own.contains(*series));
        usual.chain(self.series).map(|(series, values)| (targeted(series), (*values).to_owned())).collect()
    }

    fn test(&self, severity: &str) -> Value {
        let alert = format!("DatabricksOperator{}", self.alert);
        let firing = r#"ALERTS{alertstate="firing"}"#;
        let title = format!("{alert}: {}", self.name);
        let questions = match self.fires {
            None => vec![(format!("max_over_time({firing}[{}m])", self.minute), self.minute, vec![])],
            Some(labels) => {
                let labels = if labels.is_empty() { String::new() } else { format!(",{labels}") };
                let labels = format!(
                    r#"ALERTS{{alertname="{alert}",alertstate="firing",severity="{severity}"{labels}}}"#
                );
                vec![(firing.to_owned(), self.minute, vec![(labels, 1.0)])]
            }
        };
        promtool::story(&title, &self.series(), questions)
    }
}

/// A series as Prometheus stores it, with the labels of its target.
pub fn targeted(series: &str) -> String {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut labels: Vec<String> =
        labels.trim_end_matches('}').split(',').filter(|l| !l.is_empty()).map(str::to_owned).collect();
    for (label, value) in [("namespace", "ops"), ("job", "dbx"), ("instance", "a")] {
        if !labels.iter().any(|own| own.starts_with(&format!("{label}="))) {
            labels.push(format!("{label}=\"{value}\""));
        }
    }
    format!("databricks_operator_{name}{{{}}}", labels.join(","))
}

#[test]
fn every_alert_fires_when_it_should_and_is_silent_when_it_should() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
    promtool::run(&["check", "rules", "--lint=all", "--lint-fatal", rules.to_str().unwrap()]).unwrap();
    let alerts = alerts();
    let severity = |name: &str| {
        let alert = alerts.iter().find(|alert| alert["alert"] == format!("DatabricksOperator{name}"));
        alert.unwrap_or_else(|| panic!("no alert {name}"))["labels"]["severity"].as_str().unwrap()
    };
    let tests: Vec<Value> = STORIES.iter().map(|story| story.test(severity(story.alert))).collect();
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap().trim_start_matches("DatabricksOperator");
        let of = |fires: bool| STORIES.iter().any(|s| s.alert == name && s.fires.is_some() == fires);
        assert!(of(true), "no story in which {name} fires");
        assert!(of(false), "no story in which {name} stays silent");
    }
    promtool::test(&tests).unwrap_or_else(|e| panic!("{e}"));
}

/// What an alert counts is in its text, and each replica counts all objects.
#[test]
fn metrics_of_two_replicas_are_counted_once() {
    let series: Vec<(String, String)> = [
        r#"resources{kind="Workspace",condition="Stalled",status="True""#,
        r#"resources{kind="Workspace",condition="DeletionBlocked",status="True""#,
        r#"resources{kind="DatabricksAuth",condition="Ready",status="False""#,
        r#"resources{kind="DatabricksAuth",condition="Suspended",status="True""#,
        r#"resources{kind="DatabricksAuth",condition="DeletionBlocked",status="True""#,
        r#"mass_deletion_stopped{x="y""#,
    ]
    .iter()
    .flat_map(|start| ["a", "b"].map(|instance| format!(r#"{start},instance="{instance}"}}"#)))
    .map(|series| {
        let value = if series.contains("DatabricksAuth") && !series.contains("Ready") { 0 } else { 3 };
        (targeted(&series), format!("{value}x9"))
    })
    .collect();
    let questions = ["Stalled", "DeletionBlocked", "MassDeletionStopped", "CredentialsInvalid"].map(|name| {
        let alerts = alerts();
        let alert =
            alerts.iter().find(|alert| alert["alert"] == format!("DatabricksOperator{name}")).unwrap();
        let of_kind = ["Stalled", "DeletionBlocked"].contains(&name);
        let labels = format!("{{{}}}", if of_kind { OF_KIND } else { OPERATOR });
        (alert["expr"].as_str().unwrap().to_owned(), 5, vec![(labels, 3.0)])
    });
    promtool::test(&[promtool::story("two replicas", &series, questions.into())])
        .unwrap_or_else(|e| panic!("{e}"));
}

/// Where nobody is known there are no labels, and no text may have a hole in their place.
#[test]
fn the_text_of_down_fits_whether_an_operator_is_known_or_not() {
    let alerts = alerts();
    let alert = alerts.iter().find(|alert| alert["alert"] == "DatabricksOperatorDown").unwrap();
    let test = |name: &str, values: &str, labels: Value, begins: &str| {
        let mut story = promtool::story(name, &[(targeted("build_info"), values.to_owned())], vec![]);
        let mut annotations = alert["annotations"].clone();
        let rest = "Changes to objects wait, and drift is not corrected. First check whether its pods run, then whether \
                    Prometheus reaches them.";
        annotations["description"] = json!(format!("{begins} {rest}"));
        let mut all = labels;
        all["severity"] = alert["labels"]["severity"].clone();
        story["alert_rule_test"] = json!([{
            "eval_time": "25m", "alertname": alert["alert"],
            "exp_alerts": [{"exp_labels": all, "exp_annotations": annotations}],
        }]);
        story
    };
    let gone = "Prometheus has had no metrics of the operator ops/dbx for five minutes.";
    let never = "Prometheus has had no metrics of any operator within six hours.";
    let stories = [
        test("it is gone", "1x10 _x30", json!({"namespace": "ops", "job": "dbx"}), gone),
        test("it was never there", "_x30", json!({}), never),
    ];
    promtool::test(&stories).unwrap_or_else(|e| panic!("{e}"));
}

/// The alert begins before the token expires, and continues after that.
#[test]
fn the_text_of_an_expiring_token_fits_before_and_after_its_end() {
    let alerts = alerts();
    let alert = alerts.iter().find(|alert| alert["alert"] == "DatabricksOperatorTokenExpiring").unwrap();
    let series = [
        (targeted("auth_token_expiry_timestamp_seconds"), "3600x70".to_owned()),
        (targeted(r#"auth_token_refresh_total{result="failure"}"#), "0x40 0+1x30".to_owned()),
    ];
    let text = alert["annotations"]["description"].as_str().unwrap();
    let rest = text.rsplit_once("{{ end }}").unwrap().1;
    let at = |time: &str, token: &str| {
        let mut annotations = alert["annotations"].clone();
        annotations["description"] = json!(format!("ops/dbx has a token {token}{rest}"));
        let labels = json!({"namespace": "ops", "job": "dbx", "severity": alert["labels"]["severity"]});
        json!({
            "eval_time": time, "alertname": alert["alert"],
            "exp_alerts": [{"exp_labels": labels, "exp_annotations": annotations}],
        })
    };
    let mut story = promtool::story("an expiring token", &series, vec![]);
    story["alert_rule_test"] = json!([at("54m", "with 6m 0s left"), at("65m", "that has expired")]);
    promtool::test(&[story]).unwrap_or_else(|e| panic!("{e}"));
}
