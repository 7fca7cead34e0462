//! The control API, `/_simulator/...`: the same as the Rust handle, for other processes. No authentication: any client that
//! reaches the simulator may do anything.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::objects;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

pub(crate) fn answer(shared: &Arc<Shared>, request: &Request, path: &str) -> Answer {
    let mut world = shared.world();
    let world = &mut *world;
    match (request.method.as_str(), path) {
        ("GET", "journal") => Ok(Reply::json(200, json!(world.journal.calls()))),
        ("DELETE", "journal") => {
            world.journal.clear();
            Ok(done())
        }
        ("GET", "faults") => {
            let faults = world.faults.list().into_iter();
            let faults =
                faults.map(|(id, fault, struck)| json!({"id": id, "fault": fault, "struck": struck}));
            Ok(Reply::json(200, faults.collect()))
        }
        ("POST", "faults") => {
            let fault: Fault = body(request)?;
            Ok(Reply::json(200, json!({"id": world.faults.arm(fault)})))
        }
        ("DELETE", "faults") => {
            world.faults.clear();
            Ok(done())
        }
        ("GET", "held") => Ok(Reply::json(200, json!(world.faults.held()))),
        ("POST", "release") => {
            let n = if request.body.is_empty() { None } else { body::<Value>(request)?["n"].as_u64() };
            Ok(Reply::json(200, json!({"released": world.faults.release(n)})))
        }
        ("GET", "collections") => Ok(Reply::json(200, json!(objects::served()))),
        ("GET", "settings") => Ok(Reply::json(200, json!(world.settings))),
        ("POST", "settings") => {
            set(world, body(request)?).map_err(Reply::invalid)?;
            Ok(Reply::json(200, json!(world.settings)))
        }
        ("GET", "clock") => Ok(Reply::json(200, json!({"now_ms": world.now()}))),
        ("POST", "clock") => {
            let ms = body::<Value>(request)?["advance_ms"].as_u64();
            world
                .clock
                .advance(ms.ok_or_else(|| Reply::invalid("advance_ms must be a number, not negative"))?);
            Ok(Reply::json(200, json!({"now_ms": world.now()})))
        }
        ("POST", "secret") => {
            let body: Value = body(request)?;
            let secret = body["client_secret"].as_str();
            let secret = secret.ok_or_else(|| Reply::invalid("client_secret must be a string"))?;
            let until_ms = world.now() + body["grace_ms"].as_u64().unwrap_or(0);
            world.tokens.rotate(secret.to_owned(), until_ms);
            Ok(done())
        }
        ("DELETE", "tokens") => {
            world.tokens.revoke_all();
            Ok(done())
        }
        (_, path) if path == "objects" || path.starts_with("objects/") => {
            change_objects(world, request, path)
        }
        _ => Err(Reply::no_endpoint(request)),
    }
}

fn change_objects(world: &mut World, request: &Request, path: &str) -> Answer {
    let segments: Vec<&str> = path.splitn(3, '/').skip(1).collect();
    let value = match (request.method.as_str(), segments.as_slice()) {
        ("GET", []) => Ok(objects::all(world)),
        ("GET", [collection]) => Ok(json!(objects::list(world, collection))),
        ("POST", [collection]) => objects::insert(world, collection, body(request)?),
        ("PATCH", [collection, id]) => objects::edit(world, collection, id, body(request)?),
        ("DELETE", [collection, id]) => Ok(json!({"removed": objects::remove(world, collection, id)})),
        _ => return Err(Reply::no_endpoint(request)),
    };
    value.map(|value| Reply::json(200, value)).map_err(Reply::invalid)
}

/// Changes the settings named; the others stay.
pub(crate) fn set(world: &mut World, changes: Value) -> Result<(), String> {
    let Value::Object(changes) = changes else { return Err("settings must be a JSON object".to_owned()) };
    let mut whole = serde_json::to_value(&world.settings).map_err(|error| error.to_string())?;
    for (name, value) in changes {
        whole[name] = value;
    }
    world.settings = serde_json::from_value::<Settings>(whole).map_err(|error| error.to_string())?;
    Ok(())
}

fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Reply> {
    serde_json::from_slice(&request.body).map_err(|error| Reply::malformed(format!("control call: {error}")))
}

fn done() -> Reply {
    Reply::json(200, json!({}))
}
