//! What a ServiceAccount may do, as the API server has it, and what it did, as the audit log has it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::site::Site;

/// One thing that may be done: a verb on a resource.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Debug)]
pub struct Right {
    /// `None`: in all namespaces.
    pub namespace: Option<String>,
    pub group: String,
    /// With its subresource, such as `workspaces/status`.
    pub resource: String,
    pub verb: String,
    /// `None`: whatever its name.
    pub name: Option<String>,
}

/// One request.
#[derive(Debug)]
pub struct Request {
    pub namespace: String,
    pub group: String,
    pub resource: String,
    pub verb: String,
    pub name: String,
    /// The API server's decision was `forbid`.
    pub forbidden: bool,
}

impl Right {
    fn is_used_by(&self, request: &Request) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == request.namespace)
            && self.name.as_ref().is_none_or(|name| *name == request.name)
            && (&self.group, &self.resource, &self.verb) == (&request.group, &request.resource, &request.verb)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// The rights that roles give to a ServiceAccount by its name.
pub async fn granted(site: &Site, namespace: &str, account: &str) -> BTreeSet<Right> {
    let roles = site.list(&["roles,clusterroles", "--all-namespaces"]).await;
    let bindings = site.list(&["rolebindings,clusterrolebindings", "--all-namespaces"]).await;
    let ours = |subject: &Value| subject["name"] == account && subject["namespace"] == namespace;
    let mut rights = BTreeSet::new();
    for binding in bindings.iter().filter(|b| b["subjects"].as_array().into_iter().flatten().any(ours)) {
        let place = binding["metadata"]["namespace"].as_str();
        let (kind, name) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
        let named = |role: &&Value| {
            let here = role["metadata"]["namespace"].as_str() == place || kind == "ClusterRole";
            role["kind"] == *kind && role["metadata"]["name"] == *name && here
        };
        let role = roles.iter().find(named).unwrap_or_else(|| panic!("there is no {kind} {name}"));
        role["rules"].as_array().unwrap().iter().for_each(|rule| add(&mut rights, place, rule));
    }
    assert!(!rights.is_empty(), "{namespace}/{account} has no rights");
    rights
}

fn add(rights: &mut BTreeSet<Right>, namespace: Option<&str>, rule: &Value) {
    let mut names: Vec<Option<String>> = texts(&rule["resourceNames"]).into_iter().map(Some).collect();
    if names.is_empty() {
        names.push(None);
    }
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                for name in &names {
                    let (group, resource, verb) = (group.clone(), resource.clone(), verb.clone());
                    let namespace = namespace.map(str::to_owned);
                    rights.insert(Right { namespace, group, resource, verb, name: name.clone() });
                }
            }
        }
    }
}

/// What a ServiceAccount has asked for so far. A request shows up shortly after it was answered.
pub fn requests(site: &Site, namespace: &str, account: &str) -> Vec<Request> {
    let log = std::fs::read_to_string(site.cluster.control_plane.audit_log()).unwrap();
    let user = format!("system:serviceaccount:{namespace}:{account}");
    // The last line may be half written.
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let request = |event: Value| {
        let of = &event["objectRef"];
        let sub = of["subresource"].as_str().map_or(String::new(), |sub| format!("/{sub}"));
        Request {
            namespace: text(&of["namespace"]),
            group: text(&of["apiGroup"]),
            resource: text(&of["resource"]) + &sub,
            verb: text(&event["verb"]),
            name: text(&of["name"]),
            forbidden: event["annotations"]["authorization.k8s.io/decision"] == "forbid",
        }
    };
    events.filter(|event| event["user"]["username"] == *user).map(request).collect()
}

/// The rights that none of the requests needed.
pub fn unused(granted: &BTreeSet<Right>, requests: &[Request]) -> Vec<Right> {
    let idle = |right: &&Right| !requests.iter().any(|request| right.is_used_by(request));
    granted.iter().filter(idle).cloned().collect()
}

/// Fails if something was asked for and refused.
pub fn nothing_was_forbidden(requests: &[Request]) {
    assert!(requests.len() > 20, "only {} requests", requests.len());
    let forbidden: Vec<&Request> = requests.iter().filter(|request| request.forbidden).collect();
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}
