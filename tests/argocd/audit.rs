//! Who asked the API server for what, and when, read from its audit log.

use serde_json::Value;
use world::Cluster;

/// One request that was carried out.
pub struct Request {
    /// When it came, such that texts compare as times.
    pub at: String,
    pub user: String,
    /// `patch`, `delete` and the like; a `PUT` is `update`.
    pub verb: String,
    /// Kind in lower case and plural, and name, such as `workspaces/analytics`.
    pub object: String,
    /// Such as `status`; empty for the object itself.
    pub subresource: String,
}

/// All successful requests so far for objects of our kinds in a namespace, oldest first.
pub fn requests(cluster: &Cluster, namespace: &str) -> Vec<Request> {
    let log = std::fs::read_to_string(cluster.control_plane.audit_log()).unwrap();
    // The last line may be half written.
    let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let mut all: Vec<Request> = lines
        .filter(|line| line.contains("databricks-operator.io") && line.contains(namespace))
        .filter_map(|line| request(&serde_json::from_str(line).unwrap(), namespace))
        .collect();
    all.sort_by(|a, b| a.at.cmp(&b.at));
    all
}

fn request(event: &Value, namespace: &str) -> Option<Request> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let about = &event["objectRef"];
    let ours = about["apiGroup"] == "databricks-operator.io" && about["namespace"] == namespace;
    let done = event["stage"] == "ResponseComplete" && event["responseStatus"]["code"].as_u64()? < 300;
    (ours && done).then(|| Request {
        at: text(&event["requestReceivedTimestamp"]),
        user: text(&event["user"]["username"]),
        verb: text(&event["verb"]),
        object: format!("{}/{}", text(&about["resource"]), text(&about["name"])),
        subresource: text(&about["subresource"]),
    })
}
