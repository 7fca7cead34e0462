//! The hosts of workspaces: what each serves besides the account's. The host of a workspace is `<deployment>.localhost` on the port of
//! the account, whose name in DNS no test needs, or `<deployment>.cloud.databricks.com` for a client that has a proxy in between.
//!
//! Documented: paths and bodies, the token endpoint, the switch as text, null where it was never set. Assumed: while a workspace does not
//! run, a gateway responds for it (there, its name may be missing in DNS); keys of `workspace-conf` that are not simulated are refused.
//! Stricter than the API is thought to be: a token of the account is not taken here.

use serde_json::{Map, Value, json};

use crate::ip_access_lists::{self, Lists, SWITCH, SWITCHES};
use crate::tokens;
use crate::wire::{Answer, Reply, Request};
use crate::world::{WORKSPACE_IP_ACCESS_LISTS, World};

const LISTS: &str = "/api/2.0/ip-access-lists";
const CONF: &str = "/api/2.0/workspace-conf";

/// The class of endpoint a path of a workspace belongs to.
pub(crate) fn class(path: &str) -> &'static str {
    if lists(path).is_some() {
        return WORKSPACE_IP_ACCESS_LISTS;
    }
    if path == CONF { SWITCHES } else { "other" }
}

/// The segments after the collection of lists, if it is a path of that.
fn lists(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix(LISTS)?;
    if rest.is_empty() {
        return Some(vec![]);
    }
    rest.strip_prefix('/').map(|rest| rest.split('/').collect())
}

/// Answers a call to the host of a deployment.
pub(crate) fn serve(world: &mut World, request: &Request, deployment: &str) -> Answer {
    let workspaces = world.store.list("workspaces").into_iter();
    let mut running = workspaces.filter(|(_, found)| {
        found["deployment_name"] == deployment && found["workspace_status"] == "RUNNING"
    });
    let Some(id) = running.next().map(|(id, _)| id.to_owned()) else {
        return Err(Reply::html(404, "Not Found"));
    };
    let base = request.base_url();
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/.well-known/databricks-config") => {
            return Ok(Reply::json(
                200,
                json!({"oidc_endpoint": format!("{base}/oidc"), "account_id": world.account_id, "workspace_id": id,
                       "cloud": world.settings.cloud, "host_type": "workspace"}),
            ));
        }
        ("GET", "/oidc/.well-known/oauth-authorization-server") => {
            return Ok(Reply::json(
                200,
                json!({"issuer": format!("{base}/oidc"), "authorization_endpoint": format!("{base}/oidc/v1/authorize"),
                       "token_endpoint": format!("{base}/oidc/v1/token")}),
            ));
        }
        ("POST", "/oidc/v1/token") => {
            ip_access_lists::admit_to_tokens(world, Some(&id))?;
            return tokens::token(world, request);
        }
        _ => {}
    }
    tokens::authenticate(world, request)?;
    ip_access_lists::admit(world, Some(&id))?;
    match (request.path.as_str(), lists(&request.path)) {
        (_, Some(rest)) => ip_access_lists::serve(world, request, Lists(Some(&id)), &rest),
        (CONF, None) => conf(world, request, &id),
        _ => Err(Reply::no_endpoint(request)),
    }
}

fn conf(world: &mut World, request: &Request, id: &str) -> Answer {
    let known = |key: &str| {
        let refusal = || Reply::invalid(format!("unknown key '{key}'"));
        if key == SWITCH { Ok(()) } else { Err(refusal()) }
    };
    match request.method.as_str() {
        "GET" => {
            request.only_queries(&["keys"])?;
            request.no_body()?;
            let keys: Vec<&str> = request.query("keys").unwrap_or_default().split(',').collect();
            keys.iter().try_for_each(|key| known(key))?;
            let set = world.read(SWITCHES, id).unwrap_or_default();
            let shown = keys.into_iter().map(|key| (key.to_owned(), set[key].clone()));
            Ok(Reply::json(200, Value::Object(shown.collect::<Map<_, _>>())))
        }
        "PATCH" => {
            request.only_queries(&[])?;
            let body = request.object()?;
            body.keys().try_for_each(|key| known(key))?;
            match body.get(SWITCH).and_then(Value::as_str) {
                Some("true") => ip_access_lists::guard_switch(world, id)?,
                Some("false") => {}
                _ => return Err(Reply::invalid("values are the texts true and false")),
            }
            world.put(SWITCHES, id, Value::Object(body));
            Ok(Reply::empty(204))
        }
        _ => Err(Reply::no_endpoint(request)),
    }
}
