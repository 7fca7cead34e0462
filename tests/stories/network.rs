//! What a workspace is built from: networks and their endpoints, keys, private access; and how they change under a workspace.

use serde_json::{Value, json};
use simulator::InUse;
use world::eventually;

use crate::support::{SOON, Story, condition};

const WORKSPACE: &str = "Workspace";
const NETWORK: &str = "Network";
const ENDPOINT: &str = "VpcEndpoint";
const ACCESS: &str = "PrivateAccessSettings";
const KEY: &str = "CustomerManagedKey";
const POLICY: &str = "AccountNetworkPolicy";
const OPTION: &str = "WorkspaceNetworkOption";
const CONFIG: &str = "NetworkConnectivityConfig";

fn endpoint(story: &Story, name: &str, id: &str) -> Value {
    let spec = json!({"vpcEndpointName": name, "awsVpcEndpointId": id, "region": "eu-west-1"});
    story.managed(ENDPOINT, name, spec)
}

/// A network with subnets and a security group of its own, distinguished by a digit.
fn network(story: &Story, name: &str, digit: u8, more: Value) -> Value {
    let subnets = [format!("subnet-{digit}a"), format!("subnet-{digit}b")];
    let mut spec = json!({"networkName": name, "vpcId": "vpc-1", "subnetIds": subnets,
        "securityGroupIds": [format!("sg-{digit}")]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    story.managed(NETWORK, name, spec)
}

/// What a workspace needs on AWS, and a workspace that refers to it.
async fn workspace(story: &Story, more: Value) {
    story.account.set(|s| (s.start_ms, s.provisioning_ms, s.deletion_ms) = (50, 100, 100));
    let mut spec = json!({"workspaceName": "analytics", "awsRegion": "eu-west-1", "deletionPolicy": "Delete",
        "credentialsRef": {"name": "compute"}, "storageConfigurationRef": {"name": "root"}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    story.apply(&story.managed(WORKSPACE, "analytics", spec)).await;
    let bucket = json!({"storageConfigurationName": "root", "bucketName": "root-bucket"});
    story.apply(&story.managed("StorageConfiguration", "root", bucket)).await;
    let role = json!({"stsRole": {"roleArn": "arn:aws:iam::123456789012:role/compute"}});
    let credential = json!({"credentialsName": "compute", "awsCredentials": role});
    story.apply(&story.managed("Credential", "compute", credential)).await;
}

/// The bodies of the changes of workspaces that the account carried out.
fn patches(story: &Story) -> Vec<Value> {
    let writes = story.account.writes().into_iter();
    let patches = writes.filter(|call| call.applied && call.method == "PATCH" && call.class == "workspaces");
    patches.map(|call| call.body.unwrap()).collect()
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

fn id(object: &Value) -> Value {
    object["status"]["externalId"].clone()
}

/// Covers RF-01, RF-02, RF-06, RF-11, GO-08. A workspace in a network with two endpoints, applied in the wrong order. Then the network is
/// replaced under the running workspace: one change of the workspace, and the old network goes once it is free.
#[tokio::test]
async fn a_network_is_swapped_under_a_running_workspace() {
    let story = Story::start("network-swap").await;
    story.account.set(|s| s.in_use = InUse::EmptyConflict);
    workspace(&story, json!({"networkRef": {"name": "first"}})).await;
    let endpoints = json!({"restApiRefs": [{"name": "rest-api"}], "dataplaneRelayRefs": [{"name": "relay"}]});
    story.apply(&network(&story, "first", 1, json!({"vpcEndpoints": endpoints}))).await;
    story.apply(&endpoint(&story, "rest-api", "vpce-1")).await;
    let waiting =
        story.wait_condition(NETWORK, "first", "ReferencesResolved", "False", "ReferenceNotFound").await;
    let says = message(&waiting, "ReferencesResolved");
    let expected = "VpcEndpoint network-swap/relay does not exist: create it, or correct spec.vpcEndpoints.dataplaneRelayRefs";
    assert!(says.contains(expected) && !says.contains("dataplaneRelayRefs."), "{says}");
    story.apply(&endpoint(&story, "relay", "vpce-2")).await;
    let first = story.wait_ready(NETWORK, "first").await;
    let (api, relay) = (id(&story.get(ENDPOINT, "rest-api").await), id(&story.get(ENDPOINT, "relay").await));
    let refs = &first["status"]["resolvedRefs"];
    assert_eq!(refs["vpcEndpoints.restApiRefs/rest-api"], api);
    let made = story.account.objects("networks").remove(0);
    assert_eq!(made["vpc_endpoints"], json!({"rest_api": [api], "dataplane_relay": [relay]}));
    let running = story.wait_ready(WORKSPACE, "analytics").await;
    assert_eq!(story.account.objects("workspaces")[0]["network_id"], id(&first));

    // Neither the network nor its endpoints go while they are used.
    for (kind, name) in [(NETWORK, "first"), (ENDPOINT, "relay")] {
        story.delete(kind, name).await;
        story.wait_condition(kind, name, "DeletionBlocked", "True", "DependencyStillInUse").await;
    }
    story.apply(&network(&story, "second", 2, json!({}))).await;
    let second = story.wait_ready(NETWORK, "second").await;
    story.patch(WORKSPACE, "analytics", json!({"spec": {"networkRef": {"name": "second"}}})).await;
    let moved = story.wait_ready(WORKSPACE, "analytics").await;
    assert_eq!(id(&moved), id(&running));
    assert_eq!(patches(&story), [json!({"network_id": id(&second)})]);
    story.wait_gone(NETWORK, "first").await;
    story.wait_gone(ENDPOINT, "relay").await;
    assert_eq!(story.account.objects("networks").len(), 1);

    // A workspace that the cluster does not know uses it as well: the account refuses, without a word.
    let theirs = story.account.insert("workspaces", json!({"network_id": id(&second)})).unwrap();
    story.delete(WORKSPACE, "analytics").await;
    story.wait_gone(WORKSPACE, "analytics").await;
    story.delete(NETWORK, "second").await;
    let held =
        story.wait_condition(NETWORK, "second", "DeletionBlocked", "True", "DependencyStillInUse").await;
    let says = message(&held, "DeletionBlocked");
    assert!(says.contains("a workspace in the account") && says.contains("deletionPolicy"), "{says}");
    assert!(story.account.remove("workspaces", &theirs["workspace_id"].to_string()));
    story.wait_gone(NETWORK, "second").await;
    story.end().await;
}

/// Covers RF-07. Databricks finds a network broken: it says so, and the workspace in it is still corrected.
#[tokio::test]
async fn a_workspace_in_a_broken_network_is_still_corrected() {
    let story = Story::start("network-broken").await;
    workspace(&story, json!({"networkRef": {"name": "main"}, "customTags": {"team": "data"}})).await;
    story.apply(&network(&story, "main", 1, json!({}))).await;
    story.wait_ready(WORKSPACE, "analytics").await;
    let checked = story.pass(NETWORK, "main").await;
    assert_eq!(checked["status"]["vpcStatus"], "VALID");
    let errors = json!([{"error_type": "subnet", "error_message": "too small"}]);
    let network = id(&checked);
    let broken = json!({"vpc_status": "BROKEN", "error_messages": errors});
    story.account.edit("networks", network.as_str().unwrap(), broken).unwrap();
    story.pass(NETWORK, "main").await;
    let seen = story.wait_condition(NETWORK, "main", "Stalled", "True", "ProvisioningFailed").await;
    assert!(message(&seen, "Stalled").contains("subnet: too small"), "{seen}");
    assert_eq!(seen["status"]["errorMessages"], json!(["subnet: too small"]));

    let workspace = story.account.objects("workspaces").remove(0)["workspace_id"].to_string();
    story.account.edit("workspaces", &workspace, json!({"custom_tags": {"team": "theirs"}})).unwrap();
    story.pass(WORKSPACE, "analytics").await;
    story.wait_event(WORKSPACE, "analytics", "DriftCorrected").await;
    story.wait_ready(WORKSPACE, "analytics").await;
    assert_eq!(story.account.objects("workspaces")[0]["custom_tags"]["team"], "data");
    story.end().await;
}

/// Covers RF-02, RF-11. A key and private access are added to a workspace that runs, by name, before they exist: one change of the
/// workspace carries both.
#[tokio::test]
async fn a_key_and_private_access_are_added_in_one_patch() {
    let story = Story::start("key-and-access").await;
    workspace(&story, json!({})).await;
    story.wait_ready(WORKSPACE, "analytics").await;
    let both = json!({"managedServicesCustomerManagedKeyRef": {"name": "data"},
        "privateAccessSettingsRef": {"name": "private"}});
    let twice =
        json!({"privateAccessSettingsRef": {"name": "private"}, "privateAccessSettingsId": "7f1c2d3e"});
    let mut manifest = story.get(WORKSPACE, "analytics").await;
    manifest["metadata"] = json!({"name": "analytics", "namespace": story.namespace});
    manifest.as_object_mut().unwrap().remove("status");
    manifest["spec"].as_object_mut().unwrap().extend(twice.as_object().unwrap().clone());
    let refused = story.try_apply(&manifest).await.unwrap_err().to_string();
    let says = "privateAccessSettingsRef and privateAccessSettingsId exclude each other: write privateAccessSettingsRef for a \
                PrivateAccessSettings of this namespace, else privateAccessSettingsId";
    assert!(refused.contains(says), "{refused}");

    story.patch(WORKSPACE, "analytics", json!({"spec": both})).await;
    story.wait_condition(WORKSPACE, "analytics", "ReferencesResolved", "False", "ReferenceNotFound").await;
    let arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-4333-8444-000000000007";
    let key = json!({"useCases": ["MANAGED_SERVICES"], "awsKeyInfo": {"keyArn": arn}});
    story.apply(&story.managed(KEY, "data", key)).await;
    story.wait_ready(KEY, "data").await;
    assert_eq!(patches(&story), [] as [Value; 0], "the other one is missing");
    let access =
        json!({"privateAccessSettingsName": "private", "region": "eu-west-1", "publicAccessEnabled": true});
    story.apply(&story.managed(ACCESS, "private", access)).await;
    story.wait_ready(WORKSPACE, "analytics").await;
    let (key, access) = (id(&story.get(KEY, "data").await), id(&story.get(ACCESS, "private").await));
    let expected =
        json!({"managed_services_customer_managed_key_id": key, "private_access_settings_id": access});
    assert_eq!(patches(&story), [expected]);
    story.end().await;
}

/// Covers RF-02, RF-11, LC-24. PrivateLink is switched on for a workspace that runs in its own VPC: a network with endpoints and private
/// access settings, applied after the workspace names them. Both are one change: neither is sent while the other is missing or not allowed.
#[tokio::test]
async fn private_link_is_switched_on_in_one_patch() {
    let story = Story::start("privatelink-on").await;
    workspace(&story, json!({"networkRef": {"name": "first"}})).await;
    story.apply(&network(&story, "first", 1, json!({}))).await;
    let running = story.wait_ready(WORKSPACE, "analytics").await;
    let both = json!({"networkRef": {"name": "second"}, "privateAccessSettingsRef": {"name": "private"}});
    story.patch(WORKSPACE, "analytics", json!({"spec": both})).await;
    story.wait_condition(WORKSPACE, "analytics", "ReferencesResolved", "False", "ReferenceNotFound").await;
    let closed =
        json!({"privateAccessSettingsName": "private", "region": "eu-west-1", "publicAccessEnabled": false});
    story.apply(&story.managed(ACCESS, "private", closed)).await;
    story.wait_ready(ACCESS, "private").await;
    let endpoints = json!({"restApiRefs": [{"name": "rest-api"}], "dataplaneRelayRefs": [{"name": "relay"}]});
    story.apply(&network(&story, "second", 2, json!({"vpcEndpoints": endpoints}))).await;
    let reason = "ReferenceNotReady";
    let waits = story.wait_condition(WORKSPACE, "analytics", "ReferencesResolved", "False", reason).await;
    let says = message(&waits, "ReferencesResolved");
    assert!(says.contains("second") && !says.contains(ACCESS), "{says}");
    for (name, vpce) in [("rest-api", "vpce-1"), ("relay", "vpce-2")] {
        story.apply(&endpoint(&story, name, vpce)).await;
    }
    let refused = story.wait_condition(WORKSPACE, "analytics", "Stalled", "True", "WouldLockOut").await;
    assert!(message(&refused, "Stalled").contains("spec.allowPublicAccessRemoval"), "{refused}");
    assert_eq!(patches(&story), [] as [Value; 0], "the network does not change without the settings");

    story.patch(WORKSPACE, "analytics", json!({"spec": {"allowPublicAccessRemoval": true}})).await;
    let private = story.wait_ready(WORKSPACE, "analytics").await;
    assert_eq!(id(&private), id(&running));
    let (second, access) = (id(&story.get(NETWORK, "second").await), id(&story.get(ACCESS, "private").await));
    assert_eq!(patches(&story), [json!({"network_id": second, "private_access_settings_id": access})]);
    story.end().await;
}

/// Covers LC-24. Users are cut off only if the spec allows it: not by an edit, and not by the correction of what was opened in the
/// console. The settings are renamed, and recognised afterwards.
#[tokio::test]
async fn public_access_is_removed_only_with_a_permission() {
    let story = Story::start("public-access").await;
    let spec =
        json!({"privateAccessSettingsName": "private", "region": "eu-west-1", "publicAccessEnabled": true});
    story.apply(&story.managed(ACCESS, "private", spec)).await;
    let ready = story.wait_ready(ACCESS, "private").await;
    let settings = || story.account.objects("private-access-settings").remove(0);
    let name = "privateAccessSettingsName";
    story.patch(ACCESS, "private", json!({"spec": {"publicAccessEnabled": false, name: "closed"}})).await;
    let refused = story.wait_condition(ACCESS, "private", "Stalled", "True", "WouldLockOut").await;
    assert!(message(&refused, "Stalled").contains("spec.allowPublicAccessRemoval"), "{refused}");
    assert_eq!(settings()["private_access_settings_name"], "private", "nothing of it is sent");

    story.patch(ACCESS, "private", json!({"spec": {"allowPublicAccessRemoval": true}})).await;
    story.wait_ready(ACCESS, "private").await;
    let closed = settings();
    assert_eq!(closed["public_access_enabled"], false);
    assert_eq!(closed["private_access_settings_name"], "closed");
    assert_eq!(
        (closed.get("allow_public_access_removal"), &closed["private_access_settings_id"]),
        (None, &id(&ready))
    );

    // In an emergency a person opens it and gives it another name, and the permission is gone from the spec.
    story.patch(ACCESS, "private", json!({"spec": {"allowPublicAccessRemoval": null}})).await;
    let key = id(&ready);
    let opened = json!({"public_access_enabled": true, "private_access_settings_name": "emergency"});
    story.account.edit("private-access-settings", key.as_str().unwrap(), opened).unwrap();
    story.pass(ACCESS, "private").await;
    story.wait_condition(ACCESS, "private", "Stalled", "True", "WouldLockOut").await;
    assert_eq!(settings()["public_access_enabled"], true);
    story.patch(ACCESS, "private", json!({"spec": {"publicAccessEnabled": true}})).await;
    story.wait_ready(ACCESS, "private").await;
    assert_eq!(settings()["private_access_settings_name"], "closed");
    story.delete(ACCESS, "private").await;
    story.wait_gone(ACCESS, "private").await;
    let none = eventually("the settings are gone", SOON, async || {
        let left = story.account.objects("private-access-settings").len();
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    });
    none.await.unwrap();
    story.end().await;
}

/// Covers LC-24. An endpoint through which users connect is removed only if the spec allows it; one more needs no permission.
#[tokio::test]
async fn an_endpoint_is_removed_only_with_a_permission() {
    let story = Story::start("access-endpoints").await;
    for (name, vpce) in [("office", "vpce-1"), ("branch", "vpce-2")] {
        story.apply(&endpoint(&story, name, vpce)).await;
        story.wait_ready(ENDPOINT, name).await;
    }
    let (office, branch) =
        (id(&story.get(ENDPOINT, "office").await), id(&story.get(ENDPOINT, "branch").await));
    let both = json!([{"name": "office"}, {"name": "branch"}]);
    let spec = json!({"privateAccessSettingsName": "private", "region": "eu-west-1", "publicAccessEnabled": true,
        "privateAccessLevel": "ENDPOINT", "allowedVpcEndpointRefs": [{"name": "office"}]});
    story.apply(&story.managed(ACCESS, "private", spec)).await;
    story.wait_ready(ACCESS, "private").await;
    let listed = || {
        let settings = story.account.objects("private-access-settings").remove(0);
        let listed = settings["allowed_vpc_endpoint_ids"].as_array().cloned().unwrap_or_default();
        (listed.contains(&office), listed.contains(&branch))
    };
    story.patch(ACCESS, "private", json!({"spec": {"allowedVpcEndpointRefs": both}})).await;
    story.wait_ready(ACCESS, "private").await;
    assert_eq!(listed(), (true, true));

    let only_branch = json!({"spec": {"allowedVpcEndpointRefs": [{"name": "branch"}]}});
    story.patch(ACCESS, "private", only_branch).await;
    let refused = story.wait_condition(ACCESS, "private", "Stalled", "True", "WouldLockOut").await;
    let says = message(&refused, "Stalled");
    assert!(says.contains("spec.allowEndpointRemoval"), "{says}");
    assert!(says.contains(office.as_str().unwrap()) && !says.contains(branch.as_str().unwrap()), "{says}");
    assert_eq!(listed(), (true, true));
    story.patch(ACCESS, "private", json!({"spec": {"allowEndpointRemoval": true}})).await;
    story.wait_ready(ACCESS, "private").await;
    assert_eq!(listed(), (false, true));

    // All endpoints of the account are more than one of them, and one of them is fewer.
    let all = json!({"privateAccessLevel": "ACCOUNT", "allowedVpcEndpointRefs": null, "allowEndpointRemoval": null});
    story.patch(ACCESS, "private", json!({"spec": all})).await;
    story.wait_ready(ACCESS, "private").await;
    assert_eq!(listed(), (false, false));
    let fewer = json!({"privateAccessLevel": "ENDPOINT", "allowedVpcEndpointRefs": both});
    story.patch(ACCESS, "private", json!({"spec": fewer})).await;
    story.wait_condition(ACCESS, "private", "Stalled", "True", "WouldLockOut").await;
    let settings = story.account.objects("private-access-settings").remove(0);
    assert_eq!(settings["private_access_level"], "ACCOUNT");
    assert_eq!(settings.get("allow_endpoint_removal"), None);
    story.end().await;
}

/// Covers LC-24. A workspace that runs gets private access settings that close it to the internet only if its spec allows it: neither
/// as its first ones nor in place of open ones.
#[tokio::test]
async fn a_running_workspace_is_closed_only_with_a_permission() {
    let story = Story::start("access-closed").await;
    workspace(&story, json!({})).await;
    story.wait_ready(WORKSPACE, "analytics").await;
    for (name, public) in [("open", true), ("closed", false), ("sealed", false)] {
        let spec =
            json!({"privateAccessSettingsName": name, "region": "eu-west-1", "publicAccessEnabled": public});
        story.apply(&story.managed(ACCESS, name, spec)).await;
        story.wait_ready(ACCESS, name).await;
    }
    let give = |name: &str| json!({"spec": {"privateAccessSettingsRef": {"name": name}}});
    story.patch(WORKSPACE, "analytics", give("closed")).await;
    let refused = story.wait_condition(WORKSPACE, "analytics", "Stalled", "True", "WouldLockOut").await;
    assert!(message(&refused, "Stalled").contains("spec.allowPublicAccessRemoval"), "{refused}");
    assert_eq!(patches(&story), [] as [Value; 0]);

    story.patch(WORKSPACE, "analytics", give("open")).await;
    story.wait_ready(WORKSPACE, "analytics").await;
    story.patch(WORKSPACE, "analytics", give("closed")).await;
    story.wait_condition(WORKSPACE, "analytics", "Stalled", "True", "WouldLockOut").await;
    let given = |object: &Value| json!({"private_access_settings_id": id(object)});
    let open = given(&story.get(ACCESS, "open").await);
    assert_eq!(patches(&story), std::slice::from_ref(&open));

    story.patch(WORKSPACE, "analytics", json!({"spec": {"allowPublicAccessRemoval": true}})).await;
    story.wait_ready(WORKSPACE, "analytics").await;
    let closed = given(&story.get(ACCESS, "closed").await);
    assert_eq!(patches(&story), [open.clone(), closed.clone()]);

    // It was closed before, so other closed ones need no permission.
    story.patch(WORKSPACE, "analytics", json!({"spec": {"allowPublicAccessRemoval": null}})).await;
    story.patch(WORKSPACE, "analytics", give("sealed")).await;
    story.wait_ready(WORKSPACE, "analytics").await;
    let sealed = given(&story.get(ACCESS, "sealed").await);
    assert_eq!(patches(&story), [open, closed, sealed]);
    story.end().await;
}

/// Covers LC-24. The policy of all workspaces without another one restricts what their compute reaches only if the spec allows it. A
/// dry run needs no permission.
#[tokio::test]
async fn the_default_policy_is_enforced_only_with_a_permission() {
    let story = Story::start("default-policy").await;
    let stored = || {
        let policies = story.account.objects("network-policies").into_iter();
        let mut default = policies.filter(|policy| policy["network_policy_id"] == "default-policy");
        default.next().unwrap()
    };
    let access = |mode: &str| {
        let access =
            json!({"restrictionMode": "RESTRICTED_ACCESS", "policyEnforcement": {"enforcementMode": mode}});
        json!({"egress": {"networkAccess": access}})
    };
    let mut spec = access("DRY_RUN");
    spec["networkPolicyId"] = json!("default-policy");
    spec["adoptionPolicy"] = json!("IfExists");
    story.apply(&story.managed(POLICY, "default", spec)).await;
    story.wait_ready(POLICY, "default").await;
    assert_eq!(stored()["egress"]["network_access"]["policy_enforcement"]["enforcement_mode"], "DRY_RUN");

    story.patch(POLICY, "default", json!({"spec": access("ENFORCED")})).await;
    let refused = story.wait_condition(POLICY, "default", "Stalled", "True", "WouldLockOut").await;
    assert!(message(&refused, "Stalled").contains("spec.allowDefaultPolicyRestriction"), "{refused}");
    assert_eq!(stored()["egress"]["network_access"]["policy_enforcement"]["enforcement_mode"], "DRY_RUN");
    story.patch(POLICY, "default", json!({"spec": {"allowDefaultPolicyRestriction": true}})).await;
    story.wait_ready(POLICY, "default").await;
    assert_eq!(stored()["egress"]["network_access"]["policy_enforcement"]["enforcement_mode"], "ENFORCED");
    assert_eq!(stored().get("allow_default_policy_restriction"), None);

    // In an emergency a person opens it, and the permission is gone from the spec.
    story.patch(POLICY, "default", json!({"spec": {"allowDefaultPolicyRestriction": null}})).await;
    story.wait_ready(POLICY, "default").await;
    let opened = json!({"egress": {"network_access": {"restriction_mode": "FULL_ACCESS"}}});
    story.account.edit("network-policies", "default-policy", opened).unwrap();
    story.pass(POLICY, "default").await;
    story.wait_condition(POLICY, "default", "Stalled", "True", "WouldLockOut").await;
    assert_eq!(stored()["egress"]["network_access"]["restriction_mode"], "FULL_ACCESS");
    story.end().await;
}

/// A network policy by name or by id, for a workspace of the account.
fn option(story: &Story, workspace: &Value, policy: Value) -> Value {
    let mut spec = json!({"workspaceId": workspace});
    spec.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
    story.managed(OPTION, "analytics", spec)
}

/// The network policy that the account has for its only workspace.
fn policy_of_workspace(story: &Story) -> Option<Value> {
    let options = story.account.objects("workspace-network-options");
    options.first().map(|option| option["network_policy_id"].clone())
}

/// Covers RF-01, RF-02, RF-06, RF-11. A workspace is put under an AccountNetworkPolicy by its name, which waits for the policy; the
/// policy is not deleted before the workspace has another one.
#[tokio::test]
async fn a_network_policy_is_named_before_it_exists_and_deleted_after_its_use() {
    let story = Story::start("policy-by-name").await;
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let by_name = json!({"networkPolicyRef": {"name": "restricted"}});
    let both = json!({"networkPolicyRef": {"name": "restricted"}, "networkPolicyId": "sealed"});
    for (wrong, says) in [
        (both, "networkPolicyRef and networkPolicyId exclude each other"),
        (json!({}), "networkPolicyRef or networkPolicyId is needed"),
    ] {
        let refused = story.try_apply(&option(&story, &workspace, wrong)).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    story.apply(&option(&story, &workspace, by_name)).await;
    story.wait_condition(OPTION, "analytics", "ReferencesResolved", "False", "ReferenceNotFound").await;
    assert_eq!(policy_of_workspace(&story), None);
    let access = json!({"networkAccess": {"restrictionMode": "RESTRICTED_ACCESS"}});
    let policy = json!({"networkPolicyId": "strict", "egress": access});
    story.apply(&story.managed(POLICY, "restricted", policy)).await;
    let ready = story.wait_ready(OPTION, "analytics").await;
    assert_eq!(ready["status"]["resolvedRefs"]["networkPolicyRef"], "strict");
    assert_eq!(policy_of_workspace(&story), Some(json!("strict")));

    story.delete(POLICY, "restricted").await;
    story.wait_condition(POLICY, "restricted", "DeletionBlocked", "True", "DependencyStillInUse").await;
    let by_id = json!({"networkPolicyRef": null, "networkPolicyId": "sealed"});
    story.patch(OPTION, "analytics", json!({"spec": by_id})).await;
    story.wait_gone(POLICY, "restricted").await;
    assert_eq!(policy_of_workspace(&story), Some(json!("sealed")));
    story.end().await;
}

/// Covers LC-24. A policy that restricts who reaches a workspace is set in place of one that does not only if the spec allows it.
#[tokio::test]
async fn a_policy_that_restricts_ingress_is_set_only_with_a_permission() {
    let story = Story::start("policy-ingress").await;
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let closed = json!({"public_access": {"restriction_mode": "RESTRICTED_ACCESS"}});
    for name in ["office", "branch"] {
        let policy = json!({"network_policy_id": name, "ingress": closed});
        story.account.insert("network-policies", policy).unwrap();
    }
    let by_id = |id: &str| json!({"networkPolicyId": id});
    story.apply(&option(&story, &workspace, by_id("office"))).await;
    let refused = story.wait_condition(OPTION, "analytics", "Stalled", "True", "WouldLockOut").await;
    assert!(message(&refused, "Stalled").contains("spec.allowIngressRestriction"), "{refused}");
    assert_eq!((policy_of_workspace(&story), id(&refused)), (None, Value::Null));

    story.patch(OPTION, "analytics", json!({"spec": {"allowIngressRestriction": true}})).await;
    story.wait_ready(OPTION, "analytics").await;
    assert_eq!(policy_of_workspace(&story), Some(json!("office")));

    // Users were restricted before, so another such policy needs no permission, and neither does an open one.
    for name in ["branch", "sealed"] {
        let spec = json!({"networkPolicyId": name, "allowIngressRestriction": null});
        story.patch(OPTION, "analytics", json!({"spec": spec})).await;
        story.wait_ready(OPTION, "analytics").await;
        assert_eq!(policy_of_workspace(&story), Some(json!(name)));
    }

    // A deletion sets a policy too.
    story.account.edit("network-policies", "default-policy", json!({"ingress": closed})).unwrap();
    story.delete(OPTION, "analytics").await;
    let refused = story.wait_condition(OPTION, "analytics", "DeletionBlocked", "True", "ApiRefused").await;
    let text = message(&refused, "DeletionBlocked");
    assert!(text.contains("default-policy") && text.contains("public_access"), "{text}");
    let ways_out = ["spec.allowIngressRestriction to true", "spec.deletionPolicy to Retain"];
    assert!(ways_out.iter().all(|way| text.contains(way)), "{text}");
    assert_eq!(policy_of_workspace(&story), Some(json!("sealed")));
    story.patch(OPTION, "analytics", json!({"spec": {"allowIngressRestriction": true}})).await;
    story.wait_gone(OPTION, "analytics").await;
    assert_eq!(policy_of_workspace(&story), Some(json!("default-policy")));
    story.end().await;
}

/// Covers ER-12. Private access settings, and network connectivity configurations, exchange their names in one commit.
#[tokio::test]
async fn names_are_exchanged_in_one_commit() {
    let flags = [("refusal-tries", "3"), ("refusal-period", "1m")];
    let story = Story::start_with("network-exchange", &flags).await;
    let access = json!({"region": "eu-west-1", "publicAccessEnabled": true});
    for (kind, field, spec, collection, key, name) in [
        (
            ACCESS,
            "privateAccessSettingsName",
            access,
            "private-access-settings",
            "private_access_settings_id",
            "private_access_settings_name",
        ),
        (
            CONFIG,
            "name",
            json!({"region": "eu-west-1"}),
            "network-connectivity-configs",
            "network_connectivity_config_id",
            "name",
        ),
    ] {
        for own in ["first", "second"] {
            let mut spec = spec.clone();
            spec[field] = json!(own);
            story.apply(&story.managed(kind, own, spec)).await;
            story.wait_ready(kind, own).await;
        }
        let exchanged = [("first", "second"), ("second", "first")];
        for (object, new) in exchanged {
            story.patch(kind, object, json!({"spec": {field: new}})).await;
        }
        for (object, new) in exchanged {
            let ready = story.wait_ready(kind, object).await;
            let all = story.account.objects(collection);
            let there = all.iter().find(|there| there[key] == id(&ready)).unwrap();
            assert_eq!(there[name], new, "{kind} {object}");
        }
        assert_eq!(story.account.calls("POST", &format!("*/{collection}")), 2, "nothing was created again");
    }
    story.end().await;
}

/// What the API server says to a manifest that it refuses.
async fn refused(story: &Story, kind: &str, spec: Value) -> String {
    story.try_apply(&story.managed(kind, "refused", spec)).await.unwrap_err().to_string()
}

/// Covers IM-07. A spec that could not be carried out is refused with what to write: fields that are missing, or of two clouds at once.
#[tokio::test]
async fn a_spec_that_no_cloud_could_carry_out_is_refused() {
    let story = Story::start("cloud-rules").await;
    let gcp = json!({"networkProjectId": "p", "vpcId": "v", "subnetId": "s", "subnetRegion": "us-east4"});
    let arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-4333-8444-000000000007";
    let access = |more: Value| {
        let mut spec =
            json!({"privateAccessSettingsName": "main", "region": "r", "publicAccessEnabled": true});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    for (kind, spec, says) in [
        (
            NETWORK,
            json!({"networkName": "main", "vpcId": "vpc-1"}),
            "subnetIds and securityGroupIds are needed",
        ),
        (
            NETWORK,
            json!({"networkName": "main", "vpcId": "vpc-1", "gcpNetworkInfo": gcp, "managementPolicy": "Observe"}),
            "gcpNetworkInfo is for GCP: remove one of them",
        ),
        (ENDPOINT, json!({"vpcEndpointName": "main", "awsVpcEndpointId": "vpce-1"}), "region are needed"),
        (
            KEY,
            json!({"useCases": ["STORAGE"], "managementPolicy": "Observe"}),
            "set one of them, or externalId",
        ),
        (
            KEY,
            json!({"useCases": ["MANAGED_SERVICES"], "awsKeyInfo": {"keyArn": arn, "reuseKeyForClusterVolumes": true}}),
            "only for the use case STORAGE",
        ),
        (ACCESS, access(json!({"privateAccessLevel": "ENDPOINT"})), "belong together"),
        (ACCESS, access(json!({"allowedVpcEndpointIds": ["e"]})), "belong together"),
        (
            ACCESS,
            access(json!({"privateAccessLevel": "ACCOUNT", "allowedVpcEndpointIds": ["e"]})),
            "belong together",
        ),
    ] {
        let refusal = refused(&story, kind, spec).await;
        assert!(refusal.contains(says), "{kind}: {refusal}");
    }
    // A network on GCP is observed by its name.
    let remote =
        json!({"network_project_id": "p", "vpc_id": "v", "subnet_id": "s", "subnet_region": "us-east4"});
    story.account.insert("networks", json!({"network_name": "main", "gcp_network_info": remote})).unwrap();
    let observed = json!({"networkName": "main", "gcpNetworkInfo": gcp, "managementPolicy": "Observe"});
    story.apply(&story.managed(NETWORK, "observed", observed)).await;
    let seen = story.wait_ready(NETWORK, "observed").await;
    assert_eq!(seen["status"].get("drift"), None, "{seen}");
    assert_eq!(story.account.writes().len(), 0);
    story.end().await;
}
