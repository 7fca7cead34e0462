//! The life of a call in the account: what is decided when it arrives, and its effect.

use crate::faults::Fault;
use crate::ip_access_lists::SWITCHES;
use crate::wire::{Content, Reply, Request, add_unknown_fields};
use crate::world::World;
use crate::{api, objects, tokens};

/// What is decided when a call comes in, before it is carried out.
pub(crate) struct Arrival {
    pub n: u64,
    pub fault: Option<(u64, Fault)>,
    pub latency_ms: u64,
}

pub(crate) fn arrive(world: &mut World, request: &Request) -> Arrival {
    let fault = world.faults.hit(&request.method, &request.path);
    let name = fault.as_ref().map(|(id, fault)| fault.name.clone().unwrap_or(format!("fault-{id}")));
    let now = world.now();
    let n = world.journal.arrived(request, api::class(&request.path).to_owned(), now, name);
    Arrival { n, fault, latency_ms: world.settings.latency_ms }
}

/// Carries out call `n`.
pub(crate) fn serve(world: &mut World, request: &Request, n: u64) -> Reply {
    objects::settle(world);
    let caller = tokens::caller(world, request);
    let mut reply = match api::serve(world, request) {
        Ok(reply) | Err(reply) => reply,
    };
    if let Some(call) = world.journal.call(n) {
        call.client_id = caller;
        call.applied = reply.ok();
    }
    // Switches come as a map of those that were asked for: clients read each of its values as one.
    let unknown_fields = world.settings.unknown_fields && api::class(&request.path) != SWITCHES;
    if let (true, true, Content::Json(value)) = (unknown_fields, reply.ok(), &mut reply.content) {
        add_unknown_fields(value);
    }
    reply
}
