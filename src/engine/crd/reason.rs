//! Every reason of a condition and of an event, with its meaning, its usual cause and its remedy.
//!
//! A closed list, so that users can alert on each. A reason without texts does not compile; `docs/reasons.md` is generated from them.
//! Longer than other files, as it is one table.

/// The texts about a reason.
#[derive(Clone, Copy, Debug)]
pub struct ReasonTexts {
    /// What it means.
    pub meaning: &'static str,
    /// Its usual cause.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

macro_rules! reasons {
    ($(#[doc = $doc:literal])+ $list:ident:
     $($(#[doc = $meaning:literal])+ $name:ident, $cause:literal, $remedy:literal;)+) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $list { $($(#[doc = $meaning])+ $name),+ }

        impl $list {
            /// All of them, with the texts about each.
            pub const ALL: &[($list, ReasonTexts)] = &[$((
                $list::$name,
                ReasonTexts { meaning: concat!($($meaning),+), cause: $cause, remedy: $remedy },
            )),+];

            /// The word in Kubernetes.
            pub fn name(self) -> &'static str {
                match self { $($list::$name => stringify!($name)),+ }
            }
        }
    };
}

reasons! {
    /// Every reason that a condition can have.
    Reason:

    /// The object exists in the account, is usable and matches the spec.
    Available,
    "The last reconcile found it so.",
    "Nothing.";

    /// The account and the spec agree.
    InSync,
    "The last comparison found no difference, or corrected it.",
    "Nothing.";

    /// All references exist and are ready.
    Resolved,
    "The last reconcile found them so.",
    "Nothing.";

    /// Databricks is creating or changing the object.
    Provisioning,
    "The object was created or changed a while ago, and Databricks says that it is not finished, or does not show the change yet.",
    "Wait. A workspace takes minutes. The object is Stalled after `--operation-timeout`.";

    /// A person has to act outside of Databricks before the object is usable.
    AwaitingApproval,
    "The owner of the target of a private endpoint has not approved the endpoint yet; Databricks waits 14 days for that. Or a Workspace was created with `expectedWorkspaceStatus: PROVISIONING`.",
    "Do what the message says, or ask the owner of the target to do it. The operator then continues automatically; `--operation-timeout` does not apply.";

    /// The object in the account is being deleted.
    Deleting,
    "The Kubernetes object was deleted, and its object in the account is deleted first.",
    "Wait. If the condition `DeletionBlocked` is present too, do what its message says.";

    /// Work is in progress.
    Progressing,
    "The object is new, or the operator waits for a state before the next step.",
    "Wait. The message says for what.";

    /// A call failed with a transient error; the operator retries it.
    Retrying,
    "An outage or a time-out, at Databricks, at the API server or between; an invalid response; an object that was just created and that no read shows yet.",
    "Wait. If it lasts, the message has the response of Databricks or of the API server.";

    /// The account's rate limit delays the calls.
    RateLimited,
    "Databricks responded with 429, or the operator's own rate limit delays the calls.",
    "Wait: the operator sends fewer calls then. If it lasts, find out which other clients call the account.";

    /// A reference must become ready first.
    WaitingForReference,
    "What the spec refers to is missing or not ready.",
    "See the condition `ReferencesResolved`: its reason and message name what is missing.";

    /// The workspace, or its host, cannot be used yet: it does not accept permission assignments, or not for this principal, or its host cannot be called.
    WaitingForWorkspace,
    "The workspace is new, has no identity federation, or the principal was created a moment ago. Or the workspace does not run, its host cannot be reached, or its own IP access lists block the operator.",
    "The message says which. Wait for some minutes after the creation of the workspace or its metastore. If it lasts: a workspace without identity federation needs that; a workspace that does not run, or a network between it and the operator, must be repaired. While the object is being deleted: the deletion ends when the workspace is gone, or when you set `deletionPolicy: Retain`.";

    /// A reference names an object that does not exist.
    ReferenceNotFound,
    "It was not applied yet, was deleted, or its name or id is misspelt.",
    "Create the object that the message names (a DatabricksAuth, an object of another kind, a principal of the account), or correct the name or id in the field that the message names.";

    /// A referenced object exists and is not ready yet.
    ReferenceNotReady,
    "Its object in the account is being created, has failed, or is gone; or the referenced object is being deleted. A spec that Databricks refuses is not a cause, as long as the object is usable.",
    "See the conditions of the object that the message names.";

    /// The DatabricksAuth's grants do not allow this object.
    ReferenceNotPermitted,
    "`spec.authRef` names a DatabricksAuth whose `grants` do not contain this namespace, kind, workspace or permission.",
    "Add a grant to the DatabricksAuth, or use another one in `spec.authRef`. The reason is the same if the DatabricksAuth is in another namespace and does not exist.";

    /// The DatabricksAuth has no usable credentials.
    CredentialsUnavailable,
    "The DatabricksAuth is not Ready, is suspended, or was deleted.",
    "See the conditions of the DatabricksAuth. While this object is being deleted: repair the DatabricksAuth, or set `deletionPolicy: Retain`.";

    /// Databricks refuses the credentials.
    CredentialsInvalid,
    "A wrong or expired secret, a wrong client id, or a service principal that belongs to another account or is not active.",
    "Check `clientId` and the Secret, and that the service principal is active and belongs to this account. The operator uses a new value of the Secret at once, and notices a repair in the account within a minute.";

    /// Databricks blocks the address that the operator calls from.
    AddressBlocked,
    "An IP access list of the account: an ALLOW list without the operator's address, or a BLOCK list with it.",
    "From an allowed address, add the operator's address to an ALLOW list, or remove it from the BLOCK list; the message has the address. Also write it into `egressCidrs`, so that no IpAccessList can shut the operator out.";

    /// The identity provider of the account owns the object.
    ManagedByIdentityProvider,
    "The user, group or service principal has an external id, and the account lets only its identity provider change it.",
    "Change it in the identity provider, and set `managementPolicy: Observe` here.";

    /// The account differs from the spec.
    DriftDetected,
    "The object was changed in the account, or with `Observe` the spec wants another value.",
    "With `Observe`: this is the plan, see `status.drift`. Otherwise the operator corrects it, or another condition says why not.";

    /// Databricks did not accept the change, or did not keep it.
    ApplyFailed,
    "The state of the object, or of another one in the account, does not allow the change, or another writer reverts the field each time.",
    "Read the message. Correct the spec, or the state of the object in the account. If Databricks accepted the change but did not keep it, the operator sends it again.";

    /// Another object manages the same object in the account, or a part of it that only one of them can manage.
    ManagementConflict,
    "Two objects mean the same one: the same natural name, or the same `externalId`. Or a Group has `members` and there are GroupMemberships of that group, or a Workspace has a network connectivity configuration and there is a NetworkConnectivityBinding of that workspace. Or a WorkspaceAccess lists a principal that has a PermissionAssignment.",
    "For a part or an entry of a list, the message says which field to remove; the object then continues at once. Otherwise delete one of the two objects. If the other one should replace it, set `deletionPolicy: Retain` on the one that manages the object and `adoptionPolicy: IfExists` on the other, then delete the first: nothing happens in the account.";

    /// The object does not exist in the account, and is only observed: it would be created.
    WouldBeCreated,
    "`managementPolicy` is `Observe`: this is the plan, and `status.drift` has its fields.",
    "Set `managementPolicy` to `Managed` to have it created, or correct the fields by which the operator finds it.";

    /// The object in the account is gone, and the operator does not create it again without your decision.
    ExternalResourceMissing,
    "It was deleted in the account, and it holds data, was named by `externalId`, or `adoptionPolicy` is `Required`.",
    "Decide: restore it, if Databricks can do that: a Metastore within five days. Or delete this object and apply it again to create a new one, or adopt another one with `externalId`. The message says which applies.";

    /// The spec or the stored object is invalid.
    InvalidSpec,
    "Databricks refuses a value, or a field or the status was written in a form that cannot be read.",
    "Correct the field that the message names.";

    /// The object exists in the account already, and the adoption policy does not allow its adoption.
    AlreadyExists,
    "It was created by other means, or it was retained by an earlier Kubernetes object.",
    "Adopt the object with `adoptionPolicy: IfExists`, or give this one another name.";

    /// The credentials lack the right to do this.
    PermissionDenied,
    "The service principal lacks a role. Or, on Google Cloud, its credentials give no access token of Google.",
    "Give the service principal the right (most calls need the account admin role). On Google Cloud, use `authType: GOOGLE_ID`.";

    /// The cluster does not let the operator read or write an object that it needs.
    OperatorNotPermitted,
    "The operator's ServiceAccount lacks a right, or a webhook or policy of the cluster refuses its write. The message has the response of the API server.",
    "Grant the rules that `databricks-operator rbac` writes, or allow the operator in the policy. The operator then continues automatically.";

    /// A quota of the account is used up.
    QuotaExceeded,
    "The account has as many objects of this kind as it may have.",
    "Delete what is not used, or ask Databricks for more.";

    /// A create may have succeeded or failed, and the operator cannot find out which.
    CreateResultUnknown,
    "The response to a create was lost, and several objects could be its result, or one with another creation time. Or the operator was down for long after a create, and the API does not say when the object that it found was created. Or the object is a workspace on Google Cloud, where nothing says which cluster created it.",
    "Set `externalId` to the id of the right object in the list of the message: it is then adopted, and so retained by default. Or delete the wrong ones in the account.";

    /// A field that cannot be changed differs from the object in the account.
    ImmutableFieldChanged,
    "The spec has another value than the one with which the object was created or adopted.",
    "Write the value that the message names. To have another object in the account, set `deletionPolicy: Delete`, delete this object, and apply it again: with `Retain` the operator finds the same one again.";

    /// The DatabricksAuth is now for another account than the one that the object is bound to.
    AccountMismatch,
    "`accountId` or `host` of the DatabricksAuth was changed, or `spec.authRef` points to another one.",
    "Point `spec.authRef` to a DatabricksAuth for the account that the message names; on a DatabricksAuth, correct `accountId` or `host`.";

    /// The name now means another principal than the one that the assignment was created for.
    PrincipalChanged,
    "The principal was deleted and created again, or another principal now has its name.",
    "Find out which principal has the name now. To give access to that principal, delete this object and apply it again.";

    /// Several objects in the account match.
    Ambiguous,
    "Databricks allows several objects of this name, or several principals have this name. Or a Workspace of another name carries the mark of this Kubernetes object: it was renamed, or the spec was.",
    "Set `spec.externalId`, or the principal's id, to the intended one. To create another Workspace, use another `metadata.name`.";

    /// The change would shut the operator out of the account or of a workspace, or users out of workspaces.
    WouldLockOut,
    "An address in `egressCidrs` would lose access, by an IP access list or by an IpAccessListEnforcement that puts the lists in force (without `egressCidrs`: by any list that restricts addresses), or the operator would lose its own ADMIN or `account_admin`, also through groups in groups, or users would lose access: private access settings would close to the internet or to VPC endpoints, or a network policy would restrict `default-policy` or the ingress of a workspace.",
    "Add the operator's address to an ALLOW list, or remove it from the BLOCK list. For an assignment: keep ADMIN, or delete with `Retain`. For a group or service principal: keep the role and the members that lead to it, add what replaces them first, or delete with `Retain`. For private access settings and network policies: set the field that the message names, such as `allowPublicAccessRemoval: true`.";

    /// Databricks could not provision the object.
    ProvisioningFailed,
    "Usually a cause in the cloud: a role, a network, a quota.",
    "The message has Databricks' response. Correct the cause, then retry with any new value of the annotation `databricks-operator.io/reconcile-requested-at`, or change a field that may change. To start over, set `deletionPolicy: Delete`, delete this object, and apply it again: with `Retain` the operator finds the failed one again.";

    /// The account, cloud or host does not know this kind of object.
    NotSupported,
    "A tier, a cloud or a region without this feature, or a host that is not the account's.",
    "Check `host` and the account's tier and cloud: this API does not exist there.";

    /// The operator itself failed on this object; the log has the details.
    InternalError,
    "A bug in the operator.",
    "Report it with the log of the operator.";

    /// spec.suspend is true.
    SuspendedBySpec,
    "`spec.suspend` was set to true.",
    "Set `spec.suspend` to false to resume.";

    /// Objects that depend on this one exist.
    DependencyStillInUse,
    "The object is being deleted, and others still refer to it, or something in the account uses it.",
    "First delete the objects that the message names, or change their reference. `deletionPolicy: Retain` releases a managed object.";

    /// spec.deletionProtection is true.
    DeletionProtected,
    "The object is being deleted, and its spec forbids that.",
    "Set `spec.deletionProtection` to false.";

    /// A finalizer of another controller still exists.
    ForeignFinalizer,
    "The object is being deleted, and another controller has not finished with it.",
    "The controller that set the finalizer must remove it; the message names the finalizer.";

    /// Databricks refuses the deletion, or the operator does not send it.
    ApiRefused,
    "Something in the account still uses the object, or the service principal may not delete it. Or the deletion would do harm, such as lock users out; the object in the account no longer looks like the managed one; or the spec or an id in it cannot be read.",
    "The message has Databricks' response, or says why the deletion is not sent. Remove the cause, or set `deletionPolicy: Retain`.";

    /// The limit of deletions within an hour is reached.
    TooManyDeletions,
    "A namespace, or many objects at once, were deleted, perhaps by mistake.",
    "Check whether all deletions are intended. If so, start the operator with a higher `--max-deletions-per-hour`; its count starts at zero.";

    /// A token was obtained and nothing contradicts the account id.
    Authenticated,
    "The last reconcile found it so.",
    "Nothing.";

    /// The Secret does not exist.
    SecretNotFound,
    "It was not applied yet, was deleted, or `spec.clientSecretRef.name` is misspelt.",
    "Create the Secret in the namespace of the DatabricksAuth.";

    /// The operator may not read the Secret.
    SecretNotReadable,
    "The chart's values `rbac.secretNames` or `rbac.secretNamespaces` do not contain the Secret, or the operator's roles are created by other means.",
    "If the values are set, add the Secret and its namespace to them; otherwise let the operator `get` and `watch` the Secret. The operator then continues automatically.";

    /// The operator may not write the Secret that a secret of the account goes to.
    SecretNotWritable,
    "The operator does not have the right to write Secrets by default. Or a ResourceQuota or a policy of the cluster refuses the write. The message has the response of the API server.",
    "Set the chart's value `rbac.outputSecrets.enabled`, and name the namespace in `rbac.outputSecrets.namespaces` if that is set; or raise the quota, or allow the write in the policy. The operator then continues automatically.";

    /// The Secret that `spec.secretName` names exists, and this object did not create it.
    SecretNotOwned,
    "A Secret of that name existed before, or belongs to another object.",
    "Write another `spec.secretName`, or delete the Secret if it is not needed.";

    /// The operator may not write the ConfigMap that `spec.outputs` names, or the ConfigMap is immutable. The object in the account is as the spec says.
    ConfigMapNotWritable,
    "The operator does not have the right to write ConfigMaps by default. Or a ResourceQuota or a policy of the cluster refuses the write. The message has the response of the API server.",
    "Set the chart's value `rbac.outputConfigMaps.enabled`, and name the namespace in `rbac.outputConfigMaps.namespaces` if that is set; or raise the quota, or allow the write in the policy. The operator then continues automatically, within minutes.";

    /// The ConfigMap that `spec.outputs` names exists, and this object did not create it. The object in the account is as the spec says.
    ConfigMapNotOwned,
    "A ConfigMap of that name existed before, or belongs to another object.",
    "Write another name in `spec.outputs.configMapName`, or delete the ConfigMap if it is not needed.";

    /// The Secret that `spec.secretName` names does not contain the secret that the operator wrote, and Databricks shows a secret only once.
    SecretLost,
    "The Secret or its value was deleted or overwritten, the spec names another Secret, the object was restored from a backup, or the operator was stopped, or got no response, between the create and the write of the Secret. The rest of the object in the account is managed anyway.",
    "Delete the object and apply it again: the new one has another id and another secret. Or remove `spec.secretName` and set `spec.adoptionPolicy: Required` to manage it without its secret.";

    /// The Secret has no such key.
    SecretKeyMissing,
    "The Secret was created with another key, or `spec.clientSecretRef.key` is misspelt.",
    "Add the key to the Secret, or correct `spec.clientSecretRef.key`.";

    /// The Secret's key has an empty value.
    SecretValueEmpty,
    "The Secret was created without a value.",
    "Write the secret into it.";

    /// The host is not one that credentials may be sent to.
    HostNotAllowed,
    "`spec.host`, or the host of a workspace as the account names it, ends in no known suffix, or is http: the credentials would go to an unknown server.",
    "Write a host of Databricks, or start the operator with `--allowed-host-suffixes`.";

    /// The host cannot be reached.
    EndpointUnreachable,
    "DNS, a network policy, a firewall, a proxy, or a host that is misspelt.",
    "Check `spec.host`, DNS and the network between the operator and Databricks.";
}

reasons! {
    /// Every reason that an event can have.
    EventReason:

    /// The object was created in the account. If it is usable at once, the event says that too, in place of an event `Ready`.
    Created,
    "The account had no such object, and the spec asks for it.",
    "Nothing.";

    /// An existing object in the account was adopted.
    Adopted,
    "`adoptionPolicy`, `externalId` or the annotation `databricks-operator.io/external-id` allows it, or the operator can prove that it created it.",
    "Nothing. It stays in the account when this object is deleted, unless `deletionPolicy` says otherwise.";

    /// The fields that the event names were written to the account, as in the spec.
    Updated,
    "The spec was changed.",
    "Nothing.";

    /// The fields that the event names differed in the account and were written again.
    DriftCorrected,
    "Another client or a person changed them in the account.",
    "If this was not intended, find out who changed them. To keep the change, write it into the spec.";

    /// The object in the account is usable and matches the spec.
    Ready,
    "The work is done, or an obstacle is removed.",
    "Nothing.";

    /// The object needs a person: retries alone have not helped.
    Stalled,
    "The first word of the event is the reason of the condition `Stalled`. `CredentialsInvalid` and `ExternalResourceMissing` are events of their own.",
    "See that reason above.";

    /// The Kubernetes object is being deleted, and the object in the account cannot be deleted.
    DeletionBlocked,
    "The first word of the event is the reason of the condition `DeletionBlocked`.",
    "See that reason above.";

    /// The operator makes no more calls for this object.
    Suspended,
    "`spec.suspend` was set to true.",
    "Set it to false to resume.";

    /// The operator makes calls for this object again.
    Resumed,
    "`spec.suspend` is no longer true.",
    "Nothing.";

    /// The account differs from the spec in the fields that the event names.
    DriftDetected,
    "With `Observe`: the account or the spec was changed.",
    "See `status.drift`. `managementPolicy: Managed` carries it out.";

    /// The object in the account is gone.
    ExternalResourceMissing,
    "It was deleted there.",
    "See the reason of this name above.";

    /// The account's rate limit delays the calls.
    RateLimited,
    "Databricks responded with 429, or the operator sends too many calls at once.",
    "See the reason of this name above.";

    /// The DatabricksAuth does not allow this object, or no longer does.
    ReferenceNotPermitted,
    "The `grants` of the DatabricksAuth do not contain this namespace, kind, workspace or permission.",
    "See the reason of this name above.";

    /// Databricks refuses the credentials.
    CredentialsInvalid,
    "The credentials are wrong or no longer valid.",
    "See the reason of this name above.";

    /// Databricks blocks the address that the operator calls from.
    AddressBlocked,
    "An IP access list of the account.",
    "See the reason of this name above.";

    /// The object is gone from the account, and now from the cluster.
    Deleted,
    "It was deleted with `deletionPolicy: Delete`. What the API cannot remove stays in the account, in the state that the event names.",
    "Nothing.";

    /// This object is deleted; the one in the account stays.
    Retained,
    "It was deleted with `deletionPolicy: Retain`.",
    "Nothing, or delete the one in the account by hand.";

    /// This object is deleted; the one in the account stays, and no object manages it.
    OrphanedOnDelete,
    "It was deleted while suspended, while only observed, or while a create was interrupted.",
    "Delete the object in the account by hand if it should not stay.";
}

impl EventReason {
    /// Whether the event reports a write to the account.
    pub fn is_write(self) -> bool {
        matches!(self, EventReason::Created | EventReason::Updated | EventReason::DriftCorrected)
    }
}

/// The content of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Warning or Normal.
    pub warning: bool,
    /// The event's reason.
    pub reason: EventReason,
    /// The text.
    pub text: String,
}
