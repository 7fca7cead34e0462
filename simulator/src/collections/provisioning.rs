//! What workspaces are built from.
//!
//! Documented: fields, verbs, that names are unique where it says so, that an object in use cannot be deleted.

use super::table::{Collection, Use, Write};
use crate::refusals;
use crate::schema::{Field, Kind, ROLE_ARN, TEXTS};
use crate::wire::Reply;
use crate::world::World;

const AWS_ROLE: &[Field] =
    &[Field::new("sts_role", Kind::Object(&[Field::new("role_arn", ROLE_ARN).required()])).required()];

const ROOT_BUCKET: &[Field] = &[Field::new("bucket_name", Kind::Text(3, 63)).required()];

const VPC_ENDPOINTS: &[Field] = &[Field::new("rest_api", TEXTS), Field::new("dataplane_relay", TEXTS)];

pub(super) const COLLECTIONS: &[Collection] = &[
    // `external_id` of the role is not shown: newest versions of the API leave it out.
    Collection {
        name: "credentials_name",
        unique: &["credentials_name"],
        fields: &[
            Field::new("credentials_name", Kind::Text(4, 256)).required().immutable(),
            Field::new("aws_credentials", Kind::Object(AWS_ROLE)).required().immutable(),
        ],
        used_by: &[Use::of_workspace("credentials_id")],
        rule: usable_role,
        ..Collection::at("credentials", "credentials_id")
    },
    Collection {
        name: "storage_configuration_name",
        unique: &["storage_configuration_name"],
        fields: &[
            Field::new("storage_configuration_name", Kind::Text(4, 256)).required().immutable(),
            Field::new("root_bucket_info", Kind::Object(ROOT_BUCKET)).required().immutable(),
            Field::new("role_arn", ROLE_ARN).immutable(),
        ],
        used_by: &[Use::of_workspace("storage_configuration_id")],
        ..Collection::at("storage-configurations", "storage_configuration_id")
    },
    Collection {
        name: "network_name",
        unique: &["network_name"],
        fields: &[
            Field::new("network_name", Kind::Text(4, 256)).required().immutable(),
            Field::new("vpc_id", Kind::Text(4, 64)).required().immutable(),
            Field::new("subnet_ids", TEXTS).required().immutable(),
            Field::new("security_group_ids", TEXTS).required().immutable(),
            Field::new("vpc_endpoints", Kind::Object(VPC_ENDPOINTS)).immutable(),
        ],
        ignored: &["workspace_id", "vpc_status", "error_messages", "warning_messages"],
        used_by: &[Use::of_workspace("network_id")],
        ..Collection::at("networks", "network_id")
    },
];

fn usable_role(world: &mut World, _: &mut Write) -> Result<(), Reply> {
    refusals::check_role(world)
}
