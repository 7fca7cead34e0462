//! From a path to the code that responds to it. Paths are taken literally: nothing is decoded or normalised.

use crate::schema::is_uuid;
use crate::wire::{Answer, Reply, Request};
use crate::world::World;
use crate::{assignments, collections, ip_access_lists, scim, tokens, workspaces};

const ACCOUNTS: &str = "/api/2.0/accounts/";

/// The class of endpoint a path belongs to.
pub(crate) fn class(path: &str) -> &'static str {
    if path.starts_with("/oidc/") && path.ends_with("/v1/token") {
        return "token";
    }
    if path.starts_with("/oidc/") || path.starts_with("/.well-known/") {
        return "metadata";
    }
    let segments: Vec<&str> = path.strip_prefix(ACCOUNTS).unwrap_or_default().split('/').collect();
    match segments.as_slice() {
        [_, "workspaces", _, "permissionassignments", ..] => "permissionassignments",
        [_, "workspaces", ..] => "workspaces",
        [_, "ip-access-lists", ..] => "ip-access-lists",
        [_, "scim", ..] => "scim",
        [_, name, ..] => collections::find(name).map_or("other", |collection| collection.path),
        _ => "other",
    }
}

/// Answers a call, or refuses it.
pub(crate) fn serve(world: &mut World, request: &Request) -> Answer {
    let class = class(&request.path);
    if request.path == "/.well-known/databricks-config" {
        return tokens::metadata(world, request);
    }
    if let Some(rest) = request.path.strip_prefix("/oidc/accounts/") {
        world.count(class)?;
        return tokens::oidc(world, request, &rest.split('/').collect::<Vec<_>>());
    }
    let Some(rest) = request.path.strip_prefix(ACCOUNTS) else { return Err(Reply::no_endpoint(request)) };
    let segments: Vec<&str> = rest.split('/').collect();
    // Observed by others: without the account id the path is no API at all.
    if !is_uuid(segments[0]) {
        return Err(Reply::html(405, "HTTP method is not supported by this URL"));
    }
    // Assumed: the token is checked before the rest of the path, and limits count refused callers as well.
    world.count(class)?;
    tokens::authenticate(world, request)?;
    tokens::check_account(world, segments[0])?;
    ip_access_lists::admit(world)?;
    // Assumed: an escaped, empty or relative segment is no path of the API, even where its decoded form is one.
    if segments.iter().any(|segment| segment.is_empty() || segment.contains('%') || segment.starts_with('.'))
    {
        return Err(Reply::no_endpoint(request));
    }
    match &segments[1..] {
        ["workspaces", id, "permissionassignments", rest @ ..] => {
            assignments::serve(world, request, id, rest)
        }
        ["workspaces", rest @ ..] => workspaces::serve(world, request, rest),
        ["ip-access-lists", rest @ ..] => ip_access_lists::serve(world, request, rest),
        ["scim", "v2", rest @ ..] => scim::serve(world, request, rest),
        [name, rest @ ..] => match collections::find(name) {
            Some(collection) => collections::serve(world, collection, request, rest),
            None => Err(Reply::no_endpoint(request)),
        },
        [] => Err(Reply::no_endpoint(request)),
    }
}
