//! Transient refusals that the API words in several ways: a client must know all of them.
//!
//! Observed by others: each of the forms, and that they are not bound to a cause. Assumed: the code of the 409 with a body.

use serde_json::json;

use crate::settings::InUse;
use crate::wire::Reply;
use crate::world::World;

/// Refuses a role that was created a moment ago, as often as the settings say, in all wordings by turns.
pub(crate) fn check_role(world: &mut World) -> Result<(), Reply> {
    if world.settings.fail_next_credentials == 0 {
        return Ok(());
    }
    world.settings.fail_next_credentials -= 1;
    let missing = "Failed credentials validation checks: Spot Cancellation, Create Placement Group, \
                   Delete Tags, Describe Availability Zones, Describe Instances";
    let role = "Failed credential validation checks: please use a valid cross account IAM role with permissions \
                setup correctly";
    Err(match world.next_turn() % 4 {
        0 => Reply::text(400, format!("MALFORMED_REQUEST: {missing}")),
        1 => Reply::malformed(missing),
        2 => Reply::text(400, format!("MALFORMED_REQUEST: {role}")),
        _ => Reply::text(400, missing),
    })
}

/// Refuses the deletion of an object that is in use, or was until a moment ago; `user` says how, and by which object.
pub(crate) fn in_use(world: &mut World, what: &str, id: &str, user: &str) -> Reply {
    const FORMS: [InUse; 4] =
        [InUse::InvalidState, InUse::MalformedText, InUse::Conflict, InUse::EmptyConflict];
    let form = match world.settings.in_use {
        InUse::Rotate => FORMS[world.next_turn() % FORMS.len()],
        form => form,
    };
    let message = format!("Unable to delete, {what} {id} {user}");
    match form {
        InUse::InvalidState | InUse::Rotate => Reply::state(message),
        InUse::MalformedText => {
            let message = format!("Cannot delete, {what} {id} {user}");
            Reply::text(400, format!("MALFORMED_REQUEST: {message}"))
        }
        InUse::Conflict => Reply::json(409, json!({"error_code": "RESOURCE_CONFLICT", "message": message})),
        InUse::EmptyConflict => Reply::empty(409),
    }
}
