//! From a path to the code that responds to it. Paths are taken literally: nothing is decoded or normalised.

use crate::ip_access_lists::Lists;
use crate::schema::is_uuid;
use crate::wire::{Answer, NETWORKING, PREVIEW, Reply, Request, V20, V21};
use crate::world::World;
use crate::{
    account_settings, assignments, collections, google, ip_access_lists, rule_sets, scim, settings_v2,
    tokens, usage_dashboards, workspace_hosts, workspaces,
};

/// The base of a path, and its segments from the id of the account on.
fn split(path: &str) -> Option<(&'static str, Vec<&str>)> {
    let bases = [V20, V21, PREVIEW, NETWORKING];
    bases.iter().find_map(|base| Some((*base, path.strip_prefix(base)?.split('/').collect())))
}

/// The class of endpoint a path belongs to.
pub(crate) fn class(path: &str) -> &'static str {
    if path == google::TOKEN
        || path.starts_with(google::METADATA)
        || (path.starts_with("/oidc/") && path.ends_with("/v1/token"))
    {
        return "token";
    }
    if path.starts_with("/oidc/") || path.starts_with("/.well-known/") {
        return "metadata";
    }
    let Some((base, segments)) = split(path) else { return workspace_hosts::class(path) };
    match (base, &segments[1..]) {
        (V20, ["workspaces", _, "permissionassignments", ..]) => "permissionassignments",
        (V20, ["workspaces", _, "network"]) => workspaces::NETWORK_OPTIONS,
        (
            V20,
            ["workspaces", _, "metastore"]
            | ["workspaces", _, "metastores", _]
            | ["metastores", _, "workspaces"],
        ) => workspaces::METASTORE_ASSIGNMENTS,
        (V20, ["workspaces", ..]) => "workspaces",
        (V20, ["settings", ..]) => account_settings::STORE,
        (V21, ["settings" | "settings-metadata", ..]) => settings_v2::STORE,
        (V20, ["dashboard"]) => usage_dashboards::STORE,
        (PREVIEW, ["access-control", ..]) => rule_sets::STORE,
        (V20, ["ip-access-lists", ..]) => "ip-access-lists",
        (V20, ["scim", ..]) => "scim",
        (base, segments) => collections::route(base, segments).map_or("other", |to| to.collection.store),
    }
}

/// Answers a call, or refuses it.
pub(crate) fn serve(world: &mut World, request: &Request) -> Answer {
    let class = class(&request.path);
    if let Some(name) = request.path.strip_prefix(google::METADATA) {
        world.count(class)?;
        return google::metadata(world, request, name);
    }
    if let Some(deployment) = request.deployment() {
        world.count(class)?;
        google::check_access(world, request, &[])?;
        return workspace_hosts::serve(world, request, deployment);
    }
    if request.path == "/.well-known/databricks-config" {
        return tokens::metadata(world, request);
    }
    if request.path == google::TOKEN {
        world.count(class)?;
        return google::token(world, request);
    }
    if let Some(rest) = request.path.strip_prefix("/oidc/accounts/") {
        world.count(class)?;
        return tokens::oidc(world, request, &rest.split('/').collect::<Vec<_>>());
    }
    let Some((base, segments)) = split(&request.path) else { return Err(Reply::no_endpoint(request)) };
    // Observed by others: without the account id the path is no API at all.
    if !is_uuid(segments[0]) {
        return Err(Reply::html(405, "HTTP method is not supported by this URL"));
    }
    // Assumed: the token is checked before the rest of the path, and limits count refused callers as well.
    world.count(class)?;
    tokens::authenticate(world, request)?;
    tokens::check_account(world, segments[0])?;
    ip_access_lists::admit(world, None)?;
    // Assumed: an escaped, empty or relative segment is no path of the API, even where its decoded form is one.
    if segments.iter().any(|segment| segment.is_empty() || segment.contains('%') || segment.starts_with('.'))
    {
        return Err(Reply::no_endpoint(request));
    }
    google::check_access(world, request, &segments[1..])?;
    match (base, &segments[1..]) {
        (V20, ["workspaces", id, "permissionassignments", rest @ ..]) => {
            assignments::serve(world, request, id, rest)
        }
        (V20, ["workspaces", rest @ ..]) => workspaces::serve(world, request, rest),
        (V20, ["metastores", id, "workspaces"]) => workspaces::of_metastore(world, request, id),
        (V20, ["ip-access-lists", rest @ ..]) => ip_access_lists::serve(world, request, Lists(None), rest),
        (V20, ["settings", "types", rest @ ..]) => account_settings::serve(world, request, rest),
        (V21, ["settings" | "settings-metadata", ..]) => settings_v2::serve(world, request, &segments[1..]),
        (V20, ["dashboard"]) => usage_dashboards::serve(world, request),
        (PREVIEW, ["access-control", rest @ ..]) => rule_sets::serve(world, request, rest),
        (V20, ["scim", "v2", rest @ ..]) => scim::serve(world, request, rest),
        (base, segments) => match collections::route(base, segments) {
            Some(route) => collections::serve(world, request, &route),
            None => Err(Reply::no_endpoint(request)),
        },
    }
}
