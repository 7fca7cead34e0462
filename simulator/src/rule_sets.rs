//! Rule sets: who has which role on the account, a service principal, a group. A set is always there while its target is.
//!
//! Documented: paths, names, roles, that both query parameters of a read must be there, that a write replaces all rules and
//! names the freshest etag. Observed by others: the refusal of a principal without a name. Assumed: the code for a principal
//! that does not exist, which is checked for new grants only; that targets of budget and tag policies exist; that a refused
//! write does not return the etag; that a write keeps fields of a set or of a rule that are not known here, as a client must send
//! back what it does not understand.

use serde_json::{Map, Value, json};

use crate::etags;
use crate::schema::{Field, Kind, TEXT, TEXTS, check_full};
use crate::wire::{Answer, Reply, Request, UNKNOWN};
use crate::world::World;

/// The name in the store; the key is the name of the set.
pub(crate) const STORE: &str = "rule-sets";

const RULE_FIELDS: &[Field] = &[Field::new("role", TEXT).required(), Field::new("principals", TEXTS)];

const RULE: Kind = Kind::Object(RULE_FIELDS);

const RULE_SET: &[Field] = &[
    Field::new("name", TEXT).required(),
    Field::new("etag", Kind::Text(1, 1000)).required(),
    Field::new("grant_rules", Kind::List(0, usize::MAX, &RULE)),
];

const BODY: &[Field] =
    &[Field::new("name", TEXT).required(), Field::new("rule_set", Kind::Object(RULE_SET)).required()];

/// Answers calls under `access-control`.
pub(crate) fn serve(world: &mut World, request: &Request, rest: &[&str]) -> Answer {
    match (request.method.as_str(), rest) {
        ("GET", ["assignable-roles"]) => {
            request.only_queries(&["resource"])?;
            request.no_body()?;
            let resource = required(request, "resource")?;
            let roles = roles(world, resource)?;
            let roles: Vec<Value> =
                roles.iter().map(|role| json!({"name": format!("roles/{role}")})).collect();
            Ok(Reply::json(200, json!({"roles": roles})))
        }
        ("GET", ["rule-sets"]) => {
            request.only_queries(&["name", "etag"])?;
            request.no_body()?;
            let name = required(request, "name")?;
            required(request, "etag")?;
            roles(world, target(name)?)?;
            let etag = etags::shown(world, STORE, name);
            Ok(Reply::json(200, whole(name, world.read(STORE, name), &etag)))
        }
        ("PUT", ["rule-sets"]) => {
            request.only_queries(&[])?;
            put(world, request.object()?)
        }
        _ => Err(Reply::no_endpoint(request)),
    }
}

fn required<'a>(request: &'a Request, query: &str) -> Result<&'a str, Reply> {
    request.query(query).ok_or_else(|| Reply::invalid(format!("Missing required query parameter: {query}")))
}

/// A set in full. Assumed: one without rules has no field for them.
fn whole(name: &str, found: Option<Value>, etag: &str) -> Value {
    let mut whole = found.unwrap_or_else(|| json!({}));
    whole["name"] = json!(name);
    whole["etag"] = json!(etag);
    whole
}

/// What a set is about: its name without the end that all of them have.
fn target(name: &str) -> Result<&str, Reply> {
    let target = name.strip_suffix("/ruleSets/default");
    target.ok_or_else(|| Reply::invalid(format!("'{name}' is not the name of a rule set")))
}

/// The roles that can be granted on a target, which must exist.
fn roles(world: &World, resource: &str) -> Result<&'static [&'static str], Reply> {
    let unknown = || Reply::missing(format!("{resource} does not exist"));
    let segments: Vec<&str> = resource.split('/').collect();
    let ["accounts", account, rest @ ..] = segments.as_slice() else {
        return Err(Reply::invalid(format!("'{resource}' is not the name of a resource")));
    };
    let principals = || world.store.list("ServicePrincipals").into_iter();
    let (exists, roles): (bool, &[&str]) = match rest {
        [] => (
            true,
            &[
                "marketplace.admin",
                "billing.admin",
                "tagPolicy.creator",
                "tagPolicy.manager",
                "tagPolicy.assigner",
            ],
        ),
        ["servicePrincipals", id] => (
            principals().any(|(_, found)| found["applicationId"] == *id),
            &["servicePrincipal.manager", "servicePrincipal.user"],
        ),
        ["groups", id] => (world.store.get("Groups", id).is_some(), &["group.manager", "group.assumer"]),
        ["budgetPolicies", _] => (true, &["budgetPolicy.manager", "budgetPolicy.user"]),
        ["tagPolicies", _] => (true, &["tagPolicy.manager", "tagPolicy.assigner"]),
        _ => return Err(Reply::invalid(format!("'{resource}' is not the name of a resource"))),
    };
    if exists && *account == world.account_id { Ok(roles) } else { Err(unknown()) }
}

fn put(world: &mut World, body: Map<String, Value>) -> Answer {
    check_full(&known(&body), BODY)?;
    let (name, set) = (&body["name"], &body["rule_set"]);
    let (Some(name), true) = (name.as_str(), *name == set["name"]) else {
        return Err(Reply::invalid("name and rule_set.name must be the same"));
    };
    let roles = roles(world, target(name)?)?;
    let before = world.store.get(STORE, name).cloned().unwrap_or_default();
    if set["etag"] != etags::current(world, STORE, name) {
        let message = format!("The etag of rule set {name} is not the latest one");
        return Err(Reply::error(409, "RESOURCE_CONFLICT", message));
    }
    let mut rules = Vec::new();
    for rule in set["grant_rules"].as_array().into_iter().flatten() {
        let role = rule["role"].as_str().and_then(|role| role.strip_prefix("roles/")).unwrap_or_default();
        if !roles.contains(&role) {
            return Err(Reply::invalid(format!("Role {} cannot be granted on {name}", rule["role"])));
        }
        let principals = rule["principals"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for principal in principals.clone() {
            check_principal(world, principal, had(&before, &rule["role"], principal))?;
        }
        // Assumed: a rule without principals is dropped.
        rules.extend((principals.count() > 0).then(|| without(rule, &[UNKNOWN])));
    }
    let mut after = without(set, &["name", "etag", "grant_rules", UNKNOWN]);
    if !rules.is_empty() {
        after["grant_rules"] = json!(rules);
    }
    world.put(STORE, name, after.clone());
    let etag = etags::renew(world, STORE, name);
    Ok(Reply::json(200, whole(name, Some(after), &etag)))
}

/// A body without the fields of the set and of its rules that are not known here.
fn known(body: &Map<String, Value>) -> Map<String, Value> {
    fn only(value: &mut Value, fields: &[Field]) {
        let known = |name: &String| fields.iter().any(|field| field.name == name);
        value.as_object_mut().into_iter().for_each(|object| object.retain(|name, _| known(name)));
    }
    let mut body = body.clone();
    if let Some(set) = body.get_mut("rule_set") {
        only(set, RULE_SET);
        let rules = set.get_mut("grant_rules").and_then(Value::as_array_mut);
        rules.into_iter().flatten().for_each(|rule| only(rule, RULE_FIELDS));
    }
    body
}

/// An object without some of its fields.
fn without(object: &Value, fields: &[&str]) -> Value {
    let kept = object.as_object().into_iter().flatten().filter(|(name, _)| !fields.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Whether a set has a grant already.
fn had(before: &Value, role: &Value, principal: &str) -> bool {
    let mut rules = before["grant_rules"].as_array().into_iter().flatten();
    rules.any(|rule| {
        let principals = rule["principals"].as_array();
        rule["role"] == *role && principals.is_some_and(|all| all.iter().any(|one| one == principal))
    })
}

fn check_principal(world: &World, principal: &str, had: bool) -> Result<(), Reply> {
    let unsupported = || Reply::invalid(format!("Unsupported principal: {principal}"));
    let (kind, name) = principal.split_once('/').ok_or_else(unsupported)?;
    let (collection, field) = match kind {
        "users" => ("Users", "userName"),
        "groups" => ("Groups", "displayName"),
        "servicePrincipals" => ("ServicePrincipals", "applicationId"),
        _ => return Err(unsupported()),
    };
    if name.is_empty() {
        return Err(unsupported());
    }
    let mut all = world.store.list(collection).into_iter();
    let exists = had || all.any(|(_, found)| found[field] == name);
    if exists { Ok(()) } else { Err(Reply::invalid(format!("Principal {principal} does not exist"))) }
}
