"""What a program that uses Databricks' SDK does with an account: one function for each collection, named after it, and stories of
what concerns them all. Each creates, lists in pages, reads, changes and deletes as far as the API of the collection can.

`account` is the SDK's client, `sim` the simulated account behind it (see run.py). A list has at most two items on a page.
"""

import threading
import time
from datetime import timedelta

from databricks.sdk import errors
from databricks.sdk.common.types.fieldmask import FieldMask
from databricks.sdk.service import billing, catalog, compute, iam, networking, oauth2, provisioning, settings, settingsv2

ROLE = "arn:aws:iam::123456789012:role/databricks"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/one"
PATCH = [iam.PatchSchema.URN_IETF_PARAMS_SCIM_API_MESSAGES_2_0_PATCH_OP]
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def refused(error, call, *arguments, **named):
    """The refusal of a call, which must be of this class."""
    try:
        answer = call(*arguments, **named)
        # A list is read only when its items are wanted.
        answer = list(answer) if hasattr(answer, "__next__") else answer
    except error as refusal:
        return refusal
    raise AssertionError(f"{call.__qualname__} was not refused: {answer}")


def in_pages(sim, collection, items):
    """All items of a list that does not fit on one page."""
    before = len(sim.calls(collection))
    found = list(items)
    assert len(sim.calls(collection)) > before + 1, f"{collection}: one page"
    return found


# What workspaces consist of.


def create_credentials(account, name="credentials"):
    role = provisioning.CreateCredentialStsRole(role_arn=ROLE)
    return account.credentials.create(name, provisioning.CreateCredentialAwsCredentials(sts_role=role))


def create_storage(account, name="storage"):
    return account.storage.create(name, provisioning.RootBucketInfo(bucket_name="root"))


def create_network(account, name="network", **other):
    return account.networks.create(
        network_name=name, vpc_id="vpc-1", subnet_ids=[f"{name}-1", f"{name}-2"], security_group_ids=[f"{name}-sg"], **other
    )


def create_workspace(account, name="workspace", **other):
    return account.workspaces.create_and_wait(
        workspace_name=name,
        aws_region="eu-west-1",
        credentials_id=create_credentials(account, f"{name}-credentials").credentials_id,
        storage_configuration_id=create_storage(account, f"{name}-storage").storage_configuration_id,
        **other,
    )


def credentials(account, sim):
    first = create_credentials(account)
    assert first.aws_credentials.sts_role.role_arn == ROLE and first.account_id == account.config.account_id
    others = [create_credentials(account, name).credentials_id for name in ("second", "third")]
    assert [one.credentials_id for one in account.credentials.list()] == [first.credentials_id, *others]
    assert account.credentials.get(first.credentials_id) == first
    refused(errors.AlreadyExists, create_credentials, account)
    refused(errors.InvalidParameterValue, create_credentials, account, "abc")
    account.credentials.delete(first.credentials_id)
    refused(errors.NotFound, account.credentials.get, first.credentials_id)


def storage_configurations(account, sim):
    first = create_storage(account)
    shared = account.storage.create("shared", provisioning.RootBucketInfo(bucket_name="root"), role_arn=ROLE)
    assert shared.role_arn == ROLE
    assert [one.storage_configuration_name for one in account.storage.list()] == ["storage", "shared"]
    assert account.storage.get(first.storage_configuration_id) == first
    account.storage.delete(first.storage_configuration_id)
    refused(errors.NotFound, account.storage.delete, first.storage_configuration_id)


def networks(account, sim):
    door = create_endpoint(account)
    endpoints = provisioning.NetworkVpcEndpoints(rest_api=[door.vpc_endpoint_id], dataplane_relay=[door.vpc_endpoint_id])
    first = create_network(account, vpc_endpoints=endpoints)
    second = create_network(account, "second")
    assert [one.network_name for one in account.networks.list()] == ["network", "second"]
    read = account.networks.get(first.network_id)
    assert read.vpc_status == provisioning.VpcStatus.UNATTACHED and read.vpc_endpoints == endpoints
    refused(errors.InvalidState, account.vpc_endpoints.delete, door.vpc_endpoint_id)

    workspace = create_workspace(account, network_id=first.network_id)
    used = account.networks.get(first.network_id)
    assert (used.vpc_status, used.workspace_id) == (provisioning.VpcStatus.VALID, workspace.workspace_id)
    refused(errors.InvalidState, account.networks.delete, first.network_id)
    account.networks.delete(second.network_id)
    refused(errors.NotFound, account.networks.get, second.network_id)


def create_endpoint(account, number="0a"):
    return account.vpc_endpoints.create(vpc_endpoint_name=f"door-{number}", aws_vpc_endpoint_id=f"vpce-{number}", region="eu-west-1")


def vpc_endpoints(account, sim):
    sim.set(vpc_endpoint_ms=60_000)
    first = create_endpoint(account)
    create_endpoint(account, "0b")
    assert first.state == "pendingAcceptance"
    sim.control("POST", "clock", {"advance_ms": 60_000})
    assert account.vpc_endpoints.get(first.vpc_endpoint_id).state == "available"
    assert [one.aws_vpc_endpoint_id for one in account.vpc_endpoints.list()] == ["vpce-0a", "vpce-0b"]
    refused(errors.AlreadyExists, create_endpoint, account)
    account.vpc_endpoints.delete(first.vpc_endpoint_id)
    refused(errors.NotFound, account.vpc_endpoints.get, first.vpc_endpoint_id)


def private_access_settings(account, sim):
    first = account.private_access.create(private_access_settings_name="access", region="eu-west-1", public_access_enabled=True)
    assert first.private_access_level == provisioning.PrivateAccessLevel.ACCOUNT
    account.private_access.create(private_access_settings_name="second", region="eu-west-1")
    assert [one.private_access_settings_name for one in account.private_access.list()] == ["access", "second"]
    door = create_endpoint(account).vpc_endpoint_id
    whole = provisioning.PrivateAccessSettings(
        private_access_settings_name="renamed",
        region="eu-west-1",
        private_access_level=provisioning.PrivateAccessLevel.ENDPOINT,
        allowed_vpc_endpoint_ids=[door],
    )
    account.private_access.replace(first.private_access_settings_id, whole)
    replaced = account.private_access.get(first.private_access_settings_id)
    assert (replaced.private_access_settings_name, replaced.allowed_vpc_endpoint_ids) == ("renamed", [door])
    assert replaced.public_access_enabled is False, "what is left out is dropped"
    account.private_access.delete(first.private_access_settings_id)
    refused(errors.NotFound, account.private_access.get, first.private_access_settings_id)


def customer_managed_keys(account, sim):
    cases = [provisioning.KeyUseCase.STORAGE, provisioning.KeyUseCase.MANAGED_SERVICES]
    key = account.encryption_keys.create(cases, aws_key_info=provisioning.CreateAwsKeyInfo(key_arn=KEY, key_alias="alias/one"))
    assert (key.aws_key_info.key_region, key.use_cases) == ("eu-west-1", cases)
    assert list(account.encryption_keys.list()) == [key]
    assert account.encryption_keys.get(key.customer_managed_key_id) == key
    account.encryption_keys.delete(key.customer_managed_key_id)
    refused(errors.NotFound, account.encryption_keys.get, key.customer_managed_key_id)


def workspaces(account, sim):
    network = create_network(account).network_id
    first = create_workspace(account, network_id=network, custom_tags={"team": "data"})
    assert first.workspace_status == provisioning.WorkspaceStatus.RUNNING
    assert [one.workspace_id for one in account.workspaces.list()] == [first.workspace_id]
    other = create_network(account, "other").network_id
    updated = account.workspaces.update_and_wait(first.workspace_id, provisioning.Workspace(network_id=other), update_mask="network_id")
    assert (updated.network_id, updated.custom_tags) == (other, {"team": "data"})
    refused(errors.InvalidState, account.credentials.delete, first.credentials_id)
    renamed = provisioning.Workspace(workspace_name="renamed")
    refused(errors.InvalidParameterValue, account.workspaces.update, first.workspace_id, renamed)
    account.workspaces.delete(first.workspace_id)
    refused(errors.NotFound, account.workspaces.get, first.workspace_id)


# Networking of serverless compute.


def create_connectivity(account, name="ncc"):
    config = settings.CreateNetworkConnectivityConfiguration(name=name, region="eu-west-1")
    return account.network_connectivity.create_network_connectivity_configuration(config)


def network_connectivity_configs(account, sim):
    api = account.network_connectivity
    first, second, _ = [create_connectivity(account, name) for name in ("first", "second", "third")]
    listed = in_pages(sim, "network-connectivity-configs", api.list_network_connectivity_configurations())
    assert [one.name for one in listed] == ["first", "second", "third"]
    assert listed[0].egress_config.default_rules.aws_stable_ip_rule.cidr_blocks

    renamed = settings.NetworkConnectivityConfiguration(name="renamed")
    api.update_network_connectivity_config(first.network_connectivity_config_id, renamed, FieldMask(["name"]))
    read = api.get_network_connectivity_configuration(first.network_connectivity_config_id)
    assert (read.name, read.region) == ("renamed", "eu-west-1")
    workspace = create_workspace(account, network_connectivity_config_id=first.network_connectivity_config_id)
    refusal = refused(errors.BadRequest, api.delete_network_connectivity_configuration, first.network_connectivity_config_id)
    assert str(workspace.workspace_id) in str(refusal)
    refused(errors.AlreadyExists, create_connectivity, account, "second")
    api.delete_network_connectivity_configuration(second.network_connectivity_config_id)
    refused(errors.NotFound, api.get_network_connectivity_configuration, second.network_connectivity_config_id)


def private_endpoint_rules(account, sim):
    api, parent = account.network_connectivity, create_connectivity(account).network_connectivity_config_id

    def create(bucket):
        rule = settings.CreatePrivateEndpointRule(endpoint_service="com.amazonaws.eu-west-1.s3", resource_names=[bucket])
        return api.create_private_endpoint_rule(parent, rule)

    first, second, third = [create(bucket) for bucket in ("one", "two", "three")]
    listed = in_pages(sim, "private-endpoint-rules", api.list_private_endpoint_rules(parent))
    assert [one.rule_id for one in listed] == [first.rule_id, second.rule_id, third.rule_id]
    change = settings.UpdatePrivateEndpointRule(enabled=True, resource_names=["four"])
    updated = api.update_private_endpoint_rule(parent, first.rule_id, change, "enabled,resource_names")
    assert (updated.enabled, updated.resource_names) == (True, ["four"])

    # The owner of its target approves a rule; a rule that was in use is deactivated, not gone.
    state = settings.NccPrivateEndpointRulePrivateLinkConnectionState
    assert api.get_private_endpoint_rule(parent, first.rule_id).connection_state == state.PENDING
    sim.control("PATCH", f"objects/private-endpoint-rules/{parent}/{first.rule_id}", {"connection_state": "ESTABLISHED"})
    assert api.get_private_endpoint_rule(parent, first.rule_id).connection_state == state.ESTABLISHED
    assert api.delete_private_endpoint_rule(parent, first.rule_id).deactivated
    assert api.get_private_endpoint_rule(parent, first.rule_id).deactivated
    api.delete_private_endpoint_rule(parent, second.rule_id)
    refused(errors.NotFound, api.get_private_endpoint_rule, parent, second.rule_id)
    refused(errors.BadRequest, account.network_connectivity.delete_network_connectivity_configuration, parent)


def network_policy(name, mode="RESTRICTED_ACCESS"):
    mode = settings.EgressNetworkPolicyNetworkAccessPolicyRestrictionMode(mode)
    access = settings.EgressNetworkPolicyNetworkAccessPolicy(restriction_mode=mode)
    return settings.AccountNetworkPolicy(network_policy_id=name, egress=settings.NetworkPolicyEgress(network_access=access))


def network_policies(account, sim):
    api = account.network_policies
    for name in ("first", "second"):
        api.create_network_policy_rpc(network_policy(name))
    listed = [one.network_policy_id for one in in_pages(sim, "network-policies", api.list_network_policies_rpc())]
    assert listed[0] == "default-policy" and listed[-2:] == ["first", "second"]
    api.update_network_policy_rpc("first", network_policy("first", "FULL_ACCESS"))
    assert api.get_network_policy_rpc("first").egress.network_access.restriction_mode.value == "FULL_ACCESS"
    refused(errors.AlreadyExists, api.create_network_policy_rpc, network_policy("first"))
    refused(errors.BadRequest, api.delete_network_policy_rpc, "default-policy")
    api.delete_network_policy_rpc("first")
    refused(errors.NotFound, api.get_network_policy_rpc, "first")


def workspace_network_options(account, sim):
    api, workspace = account.workspace_network_configuration, create_workspace(account).workspace_id
    assert api.get_workspace_network_option_rpc(workspace).network_policy_id == "default-policy"
    account.network_policies.create_network_policy_rpc(network_policy("strict"))
    strict = settings.WorkspaceNetworkOption(network_policy_id="strict", workspace_id=workspace)
    api.update_workspace_network_option_rpc(workspace, strict)
    assert api.get_workspace_network_option_rpc(workspace) == strict
    refused(errors.BadRequest, account.network_policies.delete_network_policy_rpc, "strict")


def create_network_endpoint(account, number="0a"):
    parent = f"accounts/{account.config.account_id}"
    info = networking.AwsVpcEndpointInfo(aws_vpc_endpoint_id=f"vpce-{number}")
    endpoint = networking.Endpoint(display_name="office", region="eu-west-1", aws_vpc_endpoint_info=info)
    return account.endpoints.create_endpoint(parent, endpoint)


def network_endpoints(account, sim):
    api, parent = account.endpoints, f"accounts/{account.config.account_id}"
    sim.set(vpc_endpoint_ms=60_000)
    first = create_network_endpoint(account)
    create_network_endpoint(account, "0b"), create_network_endpoint(account, "0c")
    assert (first.state, first.name) == (networking.EndpointState.PENDING, f"{parent}/endpoints/{first.endpoint_id}")
    sim.control("POST", "clock", {"advance_ms": 60_000})
    assert api.get_endpoint(first.name).state == networking.EndpointState.APPROVED
    listed = in_pages(sim, "network-endpoints", api.list_endpoints(parent))
    assert [one.aws_vpc_endpoint_info.aws_vpc_endpoint_id for one in listed] == ["vpce-0a", "vpce-0b", "vpce-0c"]
    assert len(in_pages(sim, "network-endpoints", api.list_endpoints(parent, page_size=1))) == 3
    refused(errors.AlreadyExists, create_network_endpoint, account)
    api.delete_endpoint(first.name)
    refused(errors.NotFound, api.get_endpoint, first.name)


# Unity Catalog.


def create_metastore(account, name="metastore", region="eu-west-1", **other):
    info = catalog.CreateAccountsMetastore(name=name, region=region, **other)
    return account.metastores.create(metastore_info=info).metastore_info


def create_lake(account, metastore, name="lake"):
    role = catalog.AwsIamRoleRequest(role_arn=ROLE)
    info = catalog.CreateAccountsStorageCredential(name=name, aws_iam_role=role)
    return account.storage_credentials.create(metastore, credential_info=info, skip_validation=True).credential_info


def metastores(account, sim):
    api = account.metastores
    first, second = create_metastore(account, storage_root="s3://lake/"), create_metastore(account, "second", "eu-central-1")
    assert first.storage_root == f"s3://lake/{first.metastore_id}"
    assert [one.name for one in api.list()] == ["metastore", "second"]
    refused(errors.BadRequest, create_metastore, account, "third")
    refused(errors.BadRequest, create_metastore, account, "SECOND", "us-east-1")
    api.update(first.metastore_id, metastore_info=catalog.UpdateAccountsMetastore(external_access_enabled=True))
    read = api.get(first.metastore_id).metastore_info
    assert (read.external_access_enabled, read.storage_root) == (True, first.storage_root), "what is left out stays"
    create_lake(account, second.metastore_id)
    refused(errors.BadRequest, api.delete, second.metastore_id)
    api.delete(first.metastore_id)
    refused(errors.NotFound, api.get, first.metastore_id)


def storage_credentials(account, sim):
    api, parent = account.storage_credentials, create_metastore(account).metastore_id
    lake = create_lake(account, parent)
    assert lake.aws_iam_role.external_id and lake.aws_iam_role.unity_catalog_iam_arn
    create_lake(account, parent, "second")
    assert [one.name for one in api.list(parent)] == ["lake", "second"]
    refused(errors.BadRequest, create_lake, account, parent, "LAKE")

    change = catalog.UpdateAccountsStorageCredential(aws_iam_role=catalog.AwsIamRoleRequest(role_arn=f"{ROLE}-2"), comment="moved")
    sim.set(fail_next_storage_tests=1)
    refused(errors.BadRequest, api.update, parent, "lake", credential_info=change)
    api.update(parent, "lake", credential_info=change)
    read = api.get(parent, "lake").credential_info
    assert (read.aws_iam_role.role_arn, read.comment) == (f"{ROLE}-2", "moved")
    assert read.aws_iam_role.external_id == lake.aws_iam_role.external_id
    sim.control("PATCH", f"objects/storage-credentials/{parent}/lake", {"_external_tables": 1})
    refused(errors.BadRequest, api.delete, parent, "lake")
    api.delete(parent, "second")
    refused(errors.NotFound, api.get, parent, "second")


def metastore_assignments(account, sim):
    api, parent = account.metastore_assignments, create_metastore(account).metastore_id
    workspace = create_workspace(account).workspace_id
    refused(errors.NotFound, api.get, workspace)
    new = catalog.CreateMetastoreAssignment(workspace_id=workspace, metastore_id=parent, default_catalog_name="")
    api.create(workspace, parent, metastore_assignment=new)
    assert api.get(workspace).metastore_assignment.metastore_id == parent
    assert list(api.list(parent)) == [workspace]
    change = catalog.UpdateMetastoreAssignment(workspace_id=workspace, default_catalog_name="main")
    api.update(workspace, parent, metastore_assignment=change)
    assert api.get(workspace).metastore_assignment.default_catalog_name == "main"
    refused(errors.BadRequest, account.metastores.delete, parent)
    api.delete(workspace, parent)
    refused(errors.NotFound, api.get, workspace)


# Access.


def ip_access_lists(account, sim):
    api = account.ip_access_lists
    office = api.create("office", settings.ListType.ALLOW, ip_addresses=["203.0.113.0/24"]).ip_access_list
    api.create("abuse", settings.ListType.BLOCK, ip_addresses=["198.51.100.7"])
    assert [(one.label, one.address_count) for one in api.list()] == [("office", 1), ("abuse", 1)]
    api.update(office.list_id, ip_addresses=["203.0.113.0/24", "192.0.2.1"])
    assert api.get(office.list_id).ip_access_list.address_count == 2
    api.replace(office.list_id, "offices", settings.ListType.ALLOW, False, ip_addresses=["203.0.113.0/24"])
    replaced = api.get(office.list_id).ip_access_list
    assert (replaced.label, replaced.enabled, replaced.ip_addresses) == ("offices", False, ["203.0.113.0/24"])
    refused(errors.BadRequest, api.create, "wrong", settings.ListType.ALLOW, ip_addresses=["everywhere"])
    api.delete(office.list_id)
    refused(errors.NotFound, api.get, office.list_id)


def workspace_ip_access_lists(account, sim):
    api = sim.workspace(create_workspace(account).deployment_name).ip_access_lists
    office = api.create("office", settings.ListType.ALLOW, ip_addresses=["203.0.113.0/24"]).ip_access_list
    api.create("abuse", settings.ListType.BLOCK, ip_addresses=["198.51.100.7"])
    assert [(one.label, one.address_count) for one in api.list()] == [("office", 1), ("abuse", 1)]
    assert list(account.ip_access_lists.list()) == [], "the account has lists of its own"
    api.update(office.list_id, ip_addresses=["203.0.113.0/24", "192.0.2.1"])
    assert api.get(office.list_id).ip_access_list.address_count == 2
    api.replace(office.list_id, "offices", settings.ListType.ALLOW, False, ip_addresses=["203.0.113.0/24"])
    api.delete(office.list_id)
    refused(errors.NotFound, api.get, office.list_id)


def workspace_conf(account, sim):
    workspace = sim.workspace(create_workspace(account).deployment_name)
    key = "enableIpAccessLists"
    assert workspace.workspace_conf.get_status(key)[key] is None
    workspace.workspace_conf.set_status({key: "true"})
    assert workspace.workspace_conf.get_status(key)[key] == "true"
    sim.set(caller_ip="192.0.2.1")
    refused(errors.BadRequest, workspace.ip_access_lists.create, "office", settings.ListType.ALLOW, ip_addresses=["203.0.113.0/24"])


def permissionassignments(account, sim):
    api, workspace = account.workspace_assignment, create_workspace(account).workspace_id
    group = int(account.groups_v2.create(display_name="people").id)
    assigned = api.update(workspace, group, permissions=[iam.WorkspacePermission.USER])
    assert (assigned.principal.group_name, assigned.permissions) == ("people", [iam.WorkspacePermission.USER])
    assert group in [one.principal.principal_id for one in api.list(workspace)]
    assert {one.permission_level.value for one in api.get(workspace).permissions} == {"USER", "ADMIN"}
    refused(errors.NotFound, api.update, workspace, 17, permissions=[iam.WorkspacePermission.USER])
    api.delete(workspace, group)
    assert group not in [one.principal.principal_id for one in api.list(workspace)]


def groups(account, sim):
    for api in (account.groups, account.groups_v2):
        robot = account.service_principals_v2.create(display_name="robot").id
        before = len(list(api.list()))
        made = api.create(display_name="ops", members=[iam.ComplexValue(value=robot)])
        assert [one.value for one in api.get(made.id).members] == [robot]
        add = iam.Patch(op=iam.PatchOp.ADD, path="members", value=[{"value": "17"}])
        drop = iam.Patch(op=iam.PatchOp.REMOVE, path=f'members[value eq "{robot}"]')
        api.patch(made.id, operations=[add, drop], schemas=PATCH)
        assert not api.get(made.id).members, "17 does not exist, and that is no error"
        api.update(made.id, display_name="operations")
        assert [one.id for one in api.list(filter='displayName sw "oper"')] == [made.id]
        assert len(in_pages(sim, "Groups", api.list(count=1))) == before + 1
        refused(errors.ResourceConflict, api.create, display_name="operations")
        api.delete(made.id)
        refused(errors.NotFound, api.get, made.id)


def users(account, sim):
    for api in (account.users, account.users_v2):
        before = len(list(api.list()))
        made = api.create(user_name="Bob@example.com", display_name="Bob", name=iam.Name(given_name="Bob"))
        assert made.user_name == "bob@example.com" and made.active
        # The SDK does not send `False`.
        off = iam.Patch(op=iam.PatchOp.REPLACE, path="active", value="false")
        api.patch(made.id, operations=[off], schemas=PATCH)
        assert not api.get(made.id).active
        refused(errors.ResourceConflict, api.create, user_name="bob@example.com")
        api.update(made.id, user_name="bob@example.com", display_name="Robert", active=True)
        assert [one.display_name for one in api.list(filter='userName eq "bob@example.com"')] == ["Robert"]
        assert len(in_pages(sim, "Users", api.list(count=2))) == before + 1
        assert {one.display_name for one in api.list(attributes="userName", filter="active eq true")} == {None}
        api.delete(made.id)
        refused(errors.NotFound, api.get, made.id)


def serviceprincipals(account, sim):
    for api in (account.service_principals, account.service_principals_v2):
        before = len(list(api.list()))
        made = api.create(display_name="robot")
        assert made.application_id and made.active
        admin = iam.Patch(op=iam.PatchOp.ADD, path="roles", value=[{"value": "account_admin"}])
        api.patch(made.id, operations=[admin], schemas=PATCH)
        assert [one.value for one in api.get(made.id).roles] == ["account_admin"]
        api.update(made.id, display_name="robots", active=True)
        assert [one.display_name for one in api.list(filter=f'applicationId eq "{made.application_id}"')] == ["robots"]
        assert len(in_pages(sim, "ServicePrincipals", api.list(count=1))) == before + 1
        refused(errors.BadRequest, api.list, filter="displayName")
        api.delete(made.id)
        refused(errors.NotFound, api.delete, made.id)


def rule_sets(account, sim):
    api, robot = account.access_control, account.service_principals_v2.create(display_name="robot")
    resource = f"accounts/{account.config.account_id}/servicePrincipals/{robot.application_id}"
    name = f"{resource}/ruleSets/default"
    before = api.get_rule_set(name, "")
    assert not before.grant_rules
    roles = [one.name for one in api.get_assignable_roles_for_resource(resource).roles]
    rules = [iam.GrantRule(role=roles[0], principals=["groups/data-eng"])]
    after = api.update_rule_set(name, iam.RuleSetUpdateRequest(name=name, etag=before.etag, grant_rules=rules))
    assert after.grant_rules == rules == api.get_rule_set(name, after.etag).grant_rules
    refused(errors.ResourceConflict, api.update_rule_set, name, iam.RuleSetUpdateRequest(name=name, etag=before.etag))
    refused(errors.BadRequest, api.update_rule_set, name, iam.RuleSetUpdateRequest(name=name, etag=""))
    gone = f"accounts/{account.config.account_id}/servicePrincipals/{UNKNOWN}/ruleSets/default"
    refused(errors.NotFound, api.get_rule_set, gone, "")


# Identities of programs.


def federation_policy(**oidc):
    oidc = oauth2.OidcFederationPolicy(issuer="https://issuer.example.com", audiences=["databricks"], **oidc)
    return oauth2.FederationPolicy(oidc_policy=oidc)


def federation_policies(account, sim):
    api = account.federation_policy
    for name in ("first", "second", "third"):
        api.create(federation_policy(), policy_id=name)
    assert [one.policy_id for one in in_pages(sim, "federation-policies", api.list())] == ["first", "second", "third"]
    assert len(in_pages(sim, "federation-policies", api.list(page_size=1))) == 3
    api.update("first", oauth2.FederationPolicy(description="of CI"), update_mask="description")
    updated = api.get("first")
    assert (updated.description, updated.oidc_policy.audiences) == ("of CI", ["databricks"])
    assert api.create(federation_policy()).policy_id, "an id of the account's choice"
    refused(errors.AlreadyExists, api.create, federation_policy(), policy_id="first")
    refused(errors.InvalidParameterValue, api.create, federation_policy(), policy_id="Not_This")
    api.delete("first")
    refused(errors.NotFound, api.get, "first")


def service_principal_federation_policies(account, sim):
    api, robot = account.service_principal_federation_policy, int(account.service_principals_v2.create(display_name="robot").id)
    for name in ("first", "second", "third"):
        made = api.create(robot, federation_policy(subject=name), policy_id=name)
        assert made.service_principal_id == robot
    found = in_pages(sim, "service-principal-federation-policies", api.list(robot))
    assert [one.oidc_policy.subject for one in found] == ["first", "second", "third"]
    api.update(robot, "first", federation_policy(subject="other"), update_mask="oidc_policy")
    assert api.get(robot, "first").oidc_policy.subject == "other"
    refused(errors.InvalidParameterValue, api.create, robot, federation_policy())
    api.delete(robot, "first")
    refused(errors.NotFound, api.get, robot, "first")
    refused(errors.NotFound, api.list, 17)


def service_principal_secrets(account, sim):
    api, robot = account.service_principal_secrets, account.service_principals_v2.create(display_name="robot")
    secrets = [api.create(robot.id, lifetime="3600s") for _ in range(5)]
    assert secrets[0].secret and secrets[0].expire_time
    listed = in_pages(sim, "service-principal-secrets", api.list(robot.id))
    assert [one.id for one in listed] == [one.id for one in secrets]
    assert not any(hasattr(one, "secret") for one in listed) and {one.status for one in listed} == {"ACTIVE"}
    refused(errors.BadRequest, api.create, robot.id)
    # It logs its owner in, who is no account admin, until it is deleted.
    login = {"client_id": robot.application_id, "client_secret": secrets[0].secret}
    refused(errors.PermissionDenied, sim.client(**login).credentials.list)
    api.delete(robot.id, secrets[0].id)
    refused(ValueError, sim.client(**login).credentials.list)
    refused(errors.NotFound, api.delete, robot.id, secrets[0].id)


# Apps with which users sign in.


def published_app_integrations(account, sim):
    api = account.published_app_integration
    tokens = oauth2.TokenAccessPolicy(access_token_ttl_in_minutes=30)
    first, _, _ = [api.create(app_id=name, token_access_policy=tokens) for name in ("dbt", "power-bi", "tableau")]
    listed = in_pages(sim, "published-app-integrations", api.list())
    assert [one.app_id for one in listed] == ["dbt", "power-bi", "tableau"]
    assert len(in_pages(sim, "published-app-integrations", api.list(page_size=1))) == 3
    change = oauth2.TokenAccessPolicy(enable_single_use_refresh_tokens=True)
    api.update(first.integration_id, token_access_policy=change)
    read = api.get(first.integration_id).token_access_policy
    assert read.enable_single_use_refresh_tokens and read.absolute_session_lifetime_in_minutes
    refused(errors.AlreadyExists, api.create, app_id="dbt")
    api.delete(first.integration_id)
    refused(errors.NotFound, api.get, first.integration_id)


def custom_app_integrations(account, sim):
    api = account.custom_app_integration

    def create(name, **other):
        return api.create(name=name, redirect_urls=["https://example.com/cb"], scopes=["sql", "openid"], **other)

    first, second, _ = create("first", confidential=True), create("second"), create("third")
    assert first.client_secret and second.client_id and not second.client_secret
    listed = in_pages(sim, "custom-app-integrations", api.list())
    assert [(one.name, one.confidential) for one in listed] == [("first", True), ("second", False), ("third", False)]
    assert len(in_pages(sim, "custom-app-integrations", api.list(page_size=1))) == 3
    api.update(first.integration_id, redirect_urls=["https://example.com/other"])
    read = api.get(first.integration_id)
    assert (read.client_id, read.redirect_urls, read.scopes) == (first.client_id, ["https://example.com/other"], ["sql", "openid"])
    refused(errors.BadRequest, api.create, name="none", redirect_urls=["https://example.com/cb"])
    api.delete(first.integration_id)
    refused(errors.NotFound, api.get, first.integration_id)


# Settings of the account: always there, each change names the latest etag.


def set_setting(api, setting, mask):
    """Changes a setting with the etag of the refusal of a first try, as clients do."""
    change = {"allow_missing": True, "setting": setting, "field_mask": mask}
    refusal = refused(errors.DatabricksError, api.update, **change)
    assert isinstance(refusal, (errors.NotFound, errors.ResourceConflict)), refusal
    setting.etag = refusal.get_error_details().error_info.metadata["etag"]
    changed = api.update(**change)
    assert changed.etag and changed.etag != setting.etag
    refused(errors.ResourceConflict, api.update, **change)
    return changed


def reset_setting(api, etag):
    refused(errors.ResourceConflict, api.delete, etag="old")
    assert api.delete(etag=etag).etag
    refused(errors.NotFound, api.get)


def settings_disable_legacy_features(account, sim):
    api = account.settings.disable_legacy_features
    refused(errors.NotFound, api.get)
    value = settings.BooleanMessage(value=True)
    changed = set_setting(api, settings.DisableLegacyFeatures(disable_legacy_features=value), "disable_legacy_features.value")
    assert api.get(etag=changed.etag).disable_legacy_features == value
    reset_setting(api, changed.etag)


def settings_shield_csp_enablement_ac(account, sim):
    api = account.settings.csp_enablement_account
    value = settings.CspEnablementAccount(is_enforced=True, compliance_standards=[settings.ComplianceStandard.HIPAA])
    mask = "csp_enablement_account.is_enforced,csp_enablement_account.compliance_standards"
    set_setting(api, settings.CspEnablementAccountSetting(csp_enablement_account=value), mask)
    assert api.get().csp_enablement_account == value


def settings_shield_esm_enablement_ac(account, sim):
    api, value = account.settings.esm_enablement_account, settings.EsmEnablementAccount(is_enforced=True)
    set_setting(api, settings.EsmEnablementAccountSetting(esm_enablement_account=value), "esm_enablement_account.is_enforced")
    assert api.get().esm_enablement_account == value


def settings_dcp_acct_enable(account, sim):
    api, value = account.settings.personal_compute, settings.PersonalComputeMessage(value=settings.PersonalComputeMessageEnum.DELEGATE)
    changed = set_setting(api, settings.PersonalComputeSetting(personal_compute=value), "personal_compute.value")
    assert api.get().personal_compute == value
    reset_setting(api, changed.etag)


def settings_acct_ip_acl_enable(account, sim):
    api, value = account.settings.enable_ip_access_lists, settings.BooleanMessage(value=False)
    changed = set_setting(api, settings.AccountIpAccessEnable(acct_ip_acl_enable=value), "acct_ip_acl_enable.value")
    assert api.get().acct_ip_acl_enable == value
    reset_setting(api, changed.etag)


def settings_llm_proxy_partner_powered(account, sim):
    api, value = account.settings.llm_proxy_partner_powered_account, settings.BooleanMessage(value=False)
    set_setting(api, settings.LlmProxyPartnerPoweredAccount(boolean_val=value), "boolean_val.value")
    assert api.get().boolean_val == value


def settings_llm_proxy_partner_powered_enforce(account, sim):
    api, value = account.settings.llm_proxy_partner_powered_enforce, settings.BooleanMessage(value=True)
    set_setting(api, settings.LlmProxyPartnerPoweredEnforce(boolean_val=value), "boolean_val.value")
    assert api.get().boolean_val == value


def settings_v2(account, sim):
    api, name = account.settings_v2, "example_feature_preview"
    listed = {one.name: one.preview_phase for one in api.list_account_settings_metadata()}
    assert len(listed) > 2 and listed[name] == settingsv2.PreviewPhase.BETA
    off, on = settingsv2.BooleanMessage(value=False), settingsv2.BooleanMessage(value=True)
    unset = api.get_public_account_setting(name)
    assert (unset.boolean_val, unset.effective_boolean_val) == (None, off)
    changed = api.patch_public_account_setting(name, settingsv2.Setting(name=name, boolean_val=on))
    assert (changed.boolean_val, changed.effective_boolean_val) == (on, on)
    assert api.get_public_account_setting(name) == changed
    text = settingsv2.Setting(string_val=settingsv2.StringMessage(value="on"))
    refused(errors.BadRequest, api.patch_public_account_setting, name, text)
    refused(errors.NotFound, api.get_public_account_setting, "colour")


# Costs and logs.


def log_delivery(account, sim):
    api = account.log_delivery
    role, bucket = create_credentials(account).credentials_id, create_storage(account).storage_configuration_id

    def create(prefix):
        params = billing.CreateLogDeliveryConfigurationParams(
            log_type=billing.LogType.AUDIT_LOGS,
            output_format=billing.OutputFormat.JSON,
            credentials_id=role,
            storage_configuration_id=bucket,
            delivery_path_prefix=prefix,
        )
        return api.create(log_delivery_configuration=params).log_delivery_configuration

    first = create("first")
    api.patch_status(first.config_id, status=billing.LogDeliveryConfigStatus.DISABLED)
    create("second"), create("third")
    refusal = refused(errors.BadRequest, create, "fourth")
    assert refusal.error_code == "QUOTA_EXCEEDED"
    assert len(in_pages(sim, "log-delivery", api.list())) == 3
    disabled = api.list(status=billing.LogDeliveryConfigStatus.DISABLED)
    assert [one.delivery_path_prefix for one in disabled] == ["first"]
    read = api.get(first.config_id).log_delivery_configuration
    assert read.status == billing.LogDeliveryConfigStatus.DISABLED
    assert read.log_delivery_status.status == billing.DeliveryStatus.CREATED


def budgets(account, sim):
    api = account.budgets
    mail = billing.ActionConfigurationType.EMAIL_NOTIFICATION
    alert = billing.CreateBudgetConfigurationBudgetAlertConfigurations(
        time_period=billing.AlertConfigurationTimePeriod.MONTH,
        trigger_type=billing.AlertConfigurationTriggerType.CUMULATIVE_SPENDING_EXCEEDED,
        quantity_type=billing.AlertConfigurationQuantityType.LIST_PRICE_DOLLARS_USD,
        quantity_threshold="840",
        action_configurations=[billing.CreateBudgetConfigurationBudgetActionConfigurations(action_type=mail, target="a@example.com")],
    )

    def create(name):
        return api.create(billing.CreateBudgetConfigurationBudget(display_name=name, alert_configurations=[alert])).budget

    first, _, _ = [create(name) for name in ("first", "second", "third")]
    assert [one.display_name for one in in_pages(sim, "budgets", api.list())] == ["first", "second", "third"]
    change = billing.UpdateBudgetConfigurationBudget(
        account_id=first.account_id,
        budget_configuration_id=first.budget_configuration_id,
        display_name="renamed",
        alert_configurations=first.alert_configurations,
    )
    api.update(first.budget_configuration_id, change)
    read = api.get(first.budget_configuration_id).budget
    assert (read.display_name, read.alert_configurations) == ("renamed", first.alert_configurations)
    api.delete(first.budget_configuration_id)
    refused(errors.NotFound, api.get, first.budget_configuration_id)


def budget_policies(account, sim):
    api, tags = account.budget_policy, [compute.CustomPolicyTag(key="team", value="a")]

    def create(name, **other):
        return api.create(policy=billing.BudgetPolicy(policy_name=name, custom_tags=tags), **other)

    first, _, _ = [create(name) for name in ("first", "second", "third")]
    assert [one.policy_name for one in in_pages(sim, "budget-policies", api.list())] == ["first", "second", "third"]
    assert len(in_pages(sim, "budget-policies", api.list(page_size=1))) == 3
    change = billing.BudgetPolicy(policy_name="renamed", binding_workspace_ids=[17])
    assert api.update(first.policy_id, change).policy_name == "renamed"
    read = api.get(first.policy_id)
    assert (read.binding_workspace_ids, read.custom_tags) == ([17], []), "what is left out is dropped"
    once = [create("once", request_id="0c4f").policy_id for _ in range(2)]
    assert once[0] == once[1]
    refused(errors.AlreadyExists, create, "once")
    api.delete(first.policy_id)
    refused(errors.NotFound, api.get, first.policy_id)


def usage_dashboards(account, sim):
    api, workspace = account.usage_dashboards, create_workspace(account).workspace_id
    kind = billing.UsageDashboardType.USAGE_DASHBOARD_TYPE_GLOBAL
    version = billing.UsageDashboardMajorVersion.USAGE_DASHBOARD_MAJOR_VERSION_2
    refused(errors.NotFound, api.get, dashboard_type=kind, workspace_id=workspace)
    sim.set(missing_dashboard_status=200)
    assert not api.get(dashboard_type=kind, workspace_id=workspace).dashboard_id
    made = api.create(dashboard_type=kind, major_version=version, workspace_id=workspace)
    read = api.get(dashboard_type=kind, workspace_id=workspace)
    assert read.dashboard_id == made.dashboard_id and read.dashboard_url
    refused(errors.NotFound, api.create, dashboard_type=kind, workspace_id=17)


# What concerns all of them.


def story_a_waiter_waits_until_a_workspace_runs(account, sim):
    sim.set(start_ms=500, provisioning_ms=60_000)
    role, bucket = create_credentials(account).credentials_id, create_storage(account).storage_configuration_id
    parts = {"aws_region": "eu-west-1", "credentials_id": role, "storage_configuration_id": bucket}
    seen = []
    waiter = account.workspaces.create(workspace_name="slow", **parts)
    assert waiter.response.workspace_status == provisioning.WorkspaceStatus.NOT_PROVISIONED

    def show(workspace):
        seen.append(workspace.workspace_status)
        sim.control("POST", "clock", {"advance_ms": 60_000})

    running = waiter.result(callback=show)
    assert running.workspace_status == provisioning.WorkspaceStatus.RUNNING and seen

    sim.set(start_ms=0, provisioning_ms=0, fail_next_workspace="the bucket does not exist")
    refusal = refused(errors.OperationFailed, account.workspaces.create_and_wait, workspace_name="fails", **parts)
    assert "the bucket does not exist" in str(refusal)
    sim.set(provisioning_ms=600_000)
    refused(TimeoutError, account.workspaces.create_and_wait, workspace_name="late", timeout=timedelta(seconds=1), **parts)


def story_every_refusal_has_its_class(account, sim):
    refused(errors.NotFound, account.credentials.get, UNKNOWN)
    create_credentials(account)
    refused(errors.AlreadyExists, create_credentials, account)
    refused(errors.InvalidParameterValue, create_credentials, account, "x")
    refused(errors.BadRequest, account.budgets.create, billing.CreateBudgetConfigurationBudget(display_name="x"))
    workspace = create_workspace(account)
    forms = {
        "invalid_state": errors.InvalidState,
        "malformed_text": errors.BadRequest,
        "conflict": errors.ResourceConflict,
        "empty_conflict": errors.ResourceConflict,
    }
    for form, error in forms.items():
        sim.set(in_use=form)
        refused(error, account.credentials.delete, workspace.credentials_id)
    sim.set(caller_ip="192.0.2.1")
    create = account.ip_access_lists.create
    create("here", settings.ListType.ALLOW, ip_addresses=["192.0.2.1"])
    sim.set(caller_ip="192.0.2.2")
    assert "blocked" in str(refused(errors.PermissionDenied, account.credentials.list))


def story_another_account_and_a_wrong_secret_are_refused(account, sim):
    other = sim.client()
    other.config.account_id = UNKNOWN
    refused(errors.DatabricksError, other.credentials.list)
    refused(ValueError, sim.client(client_secret="wrong").credentials.list)


def story_a_client_waits_as_long_as_it_is_asked(account, sim):
    sim.set(rate_limits=[{"class": "credentials", "limit": 0, "window_ms": 600_000, "retry_after": "1"}])

    def lift_after_a_refusal():
        while ("GET", False) not in sim.calls("credentials"):
            time.sleep(0.05)
        sim.set(rate_limits=[])

    lifting = threading.Thread(target=lift_after_a_refusal, daemon=True)
    lifting.start()
    assert list(account.credentials.list()) == []
    lifting.join()
    made = sim.calls("credentials")
    assert made[0] == ("GET", False) and made[-1] == ("GET", True)


def story_an_outage_is_survived(account, sim):
    down = {"path": "*/credentials", "times": 1, "status": 503, "headers": {"Retry-After": "1"}}
    sim.control("POST", "faults", {**down, "body": {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "down"}})
    assert create_credentials(account).credentials_id
    assert len(list(account.credentials.list())) == 1


def story_tokens_are_renewed(account, sim):
    list(account.credentials.list())
    sim.control("DELETE", "tokens")
    sim.set(bad_token_statuses=[401])
    refused(errors.Unauthenticated, account.credentials.list)
    assert list(sim.client().credentials.list()) == []


def story_everything_is_read_in_any_order_and_late(account, sim):
    sim.set(shuffle=True)
    names = {f"credentials-{number}" for number in range(5)}
    for name in names:
        create_credentials(account, name)
    assert {one.credentials_name for one in account.credentials.list()} == names
    sim.set(list_lag_ms=60_000, get_lag_ms=60_000)
    late = create_credentials(account, "late").credentials_id
    assert "late" not in {one.credentials_name for one in account.credentials.list()}
    refused(errors.NotFound, account.credentials.get, late)
