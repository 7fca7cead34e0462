//! The words for why: every reason of a condition and of an event, with what it means, what it comes from and what to do.
//!
//! A closed list, so that users can alert on each. One without its texts does not compile; `docs/reasons.md` is made of them.

/// What is said of a reason.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// What is so.
    pub meaning: &'static str,
    /// What it usually comes from.
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
            /// All of them, with what is said of each.
            pub const ALL: &[($list, About)] = &[$((
                $list::$name,
                About { meaning: concat!($($meaning),+), cause: $cause, remedy: $remedy },
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

    /// The object exists in the account, is usable and is as the spec says.
    Available,
    "The last pass found it so.",
    "Nothing.";

    /// The account and the spec agree.
    InSync,
    "The last comparison found no difference, or corrected it.",
    "Nothing.";

    /// All references are there and ready.
    Resolved,
    "The last pass found them so.",
    "Nothing.";

    /// Databricks is creating or changing the object.
    Provisioning,
    "The object was created or changed a while ago, and Databricks says that it is not finished, or does not show the change yet.",
    "Wait. A workspace takes minutes. It is called stalled after `--operation-timeout`.";

    /// The object in the account is being deleted.
    Deleting,
    "The Kubernetes object was deleted, and what it made has to go first.",
    "Wait. If `DeletionBlocked` is there too, do what its message says.";

    /// Work is in progress.
    Progressing,
    "The object is new, or something has to settle before the next step.",
    "Wait. The message says for what.";

    /// A call failed in a way that may pass; it is tried again.
    Retrying,
    "An outage or a time-out, at Databricks, at the API server or between; an answer that makes no sense; an object that was just created and that no read shows yet.",
    "Wait. If it lasts, the message has the answer of Databricks or of the API server.";

    /// The account's rate limit holds the calls back.
    RateLimited,
    "Databricks answered 429, or calls wait in the operator's own queue for the rate.",
    "Wait. If it lasts, lower `--requests-per-second`, or find out who else calls the account.";

    /// A reference has to become ready first.
    WaitingForReference,
    "What the spec refers to is missing or not ready.",
    "See the condition `ReferencesResolved`: its reason and message name what is missing.";

    /// The workspace does not take permission assignments yet, or not for this principal yet.
    WaitingForWorkspace,
    "The workspace is new, has no identity federation, or a principal has only just been made.",
    "Wait for some minutes after the workspace, or its metastore, was made. If it lasts, the workspace has no identity federation: enable that.";

    /// A reference names an object that does not exist.
    ReferenceNotFound,
    "It was not applied yet, was deleted, or its name or id is misspelt.",
    "Create the object that the message names (a DatabricksAuth, a Workspace, a Credential, a principal of the account), or correct the name or id in the field that the message names.";

    /// A referenced object exists and is not ready yet.
    ReferenceNotReady,
    "What it stands for is being created in the account, has failed, or is gone there; or the object is being deleted. That its spec cannot be carried out is no reason.",
    "See the conditions of the object that the message names.";

    /// The DatabricksAuth's grants do not admit this object.
    ReferenceNotPermitted,
    "`spec.authRef` names a DatabricksAuth whose `grants` leave out this namespace, kind, workspace or permission.",
    "Add a grant to the DatabricksAuth, or use another one in `spec.authRef`. A DatabricksAuth of another namespace that does not exist says the same.";

    /// The DatabricksAuth has no usable credentials.
    CredentialsUnavailable,
    "The DatabricksAuth is not Ready, is suspended, or is gone.",
    "See the conditions of the DatabricksAuth. While deleting: repair it, or set `deletionPolicy: Retain`.";

    /// Databricks refuses the credentials.
    CredentialsInvalid,
    "A wrong or expired secret, a wrong client id, or a service principal that is of another account, or no longer active.",
    "Check `clientId` and the Secret, and that the service principal is active and belongs to this account. A right value in the Secret is used at once; what is repaired in the account is noticed within a minute.";

    /// Databricks does not let in the address that the operator calls from.
    AddressBlocked,
    "An IP access list of the account: an ALLOW list without the operator's address, or a BLOCK list with it.",
    "From an address that is let in, add the operator's to an ALLOW list, or take it out of the BLOCK list; the message has the address. Write it in `egressCidrs` too, so that no IpAccessList can shut the operator out.";

    /// The account differs from the spec.
    DriftDetected,
    "Somebody changed the object in the account, or with `Observe` the spec asks for something else.",
    "With `Observe`: this is the plan, see `status.drift`. Otherwise it is corrected, or a further condition says why not.";

    /// Databricks did not accept the change, or did not keep it.
    ApplyFailed,
    "The state of the object, or of another one in the account, is in the way, or somebody else sets the field back each time.",
    "Read the message. Correct the spec, or the state of the object in the account. What was accepted is sent again by itself.";

    /// Another object manages the same object in the account.
    ManagementConflict,
    "Two objects mean the same one: the same natural name, or the same `externalId`.",
    "Delete one of the two objects. If the other is to take its place, set `deletionPolicy: Retain` on the one that manages and `adoptionPolicy: IfExists` on the other, then delete the first: nothing happens in the account.";

    /// The object is not in the account, and is only observed: it would be created.
    WouldBeCreated,
    "`managementPolicy` is `Observe`: this is the plan, and `status.drift` has its fields.",
    "Set `managementPolicy` to `Managed` to have it created, or correct the fields that it is found by.";

    /// The object in the account is gone and is not made again without a decision.
    ExternalResourceMissing,
    "Somebody deleted it in the account, and it holds data, was named by `externalId`, or `adoptionPolicy` is `Required`.",
    "Decide: delete this object and apply it again to create a new one, or bind another with `externalId`. The message says which applies.";

    /// The spec, or what is stored, cannot be carried out as it is written.
    InvalidSpec,
    "Databricks refuses a value, or a field or the status was written in a form that cannot be read.",
    "Correct the field that the message names.";

    /// An object is there already and the adoption policy does not allow taking it over.
    AlreadyExists,
    "Somebody made it by other means, or it was retained by an earlier Kubernetes object.",
    "Take it over with `adoptionPolicy: IfExists`, or give this one another name.";

    /// The credentials lack the right to do this.
    PermissionDenied,
    "The service principal lacks a role.",
    "Give the service principal the right (most calls need the account admin role).";

    /// The cluster does not let the operator read or write what it has to.
    OperatorNotPermitted,
    "The operator's ServiceAccount lacks a right, or a webhook or policy of the cluster refuses its write. The message has the words of the API server.",
    "Grant the rules that `databricks-operator rbac` writes, or let the operator through the policy. It goes on by itself then.";

    /// A quota of the account is used up.
    QuotaExceeded,
    "The account has as many objects of this kind as it may have.",
    "Delete what is not used, or ask Databricks for more.";

    /// A create may or may not have happened and there is no way to tell.
    CreateResultUnknown,
    "The answer to a create was lost, and several objects, or one of another time, could be its result.",
    "Delete the wrong ones among the objects that the message lists, in the account; or apply a new object with `externalId`.";

    /// A field that cannot be changed differs from the object in the account.
    ImmutableFieldChanged,
    "The spec was written anew for an object that was made, or taken over, with another value.",
    "Write the value that the message names. To have another object in the account, set `deletionPolicy: Delete`, delete this object, and apply it again: with `Retain` the same one is found again.";

    /// The DatabricksAuth now means another account than the one the object is bound to.
    AccountMismatch,
    "`accountId` or `host` of the DatabricksAuth was changed, or `spec.authRef` points to another one.",
    "Point `spec.authRef` to a DatabricksAuth for the account that the message names; on a DatabricksAuth, correct `accountId` or `host`.";

    /// The name now means another principal than the one the assignment was made for.
    PrincipalChanged,
    "The principal was deleted and made again, or renamed and its name given to another.",
    "Find out who the name means now. To give access to that one, delete this object and apply it again.";

    /// Several objects in the account match.
    Ambiguous,
    "Databricks allows several objects of this name, or several principals have this name.",
    "Set `spec.externalId`, or the principal's id, to the one that is meant.";

    /// The change would shut the operator out of the account.
    WouldLockOut,
    "An address in `egressCidrs` would no longer get in, or the operator's own ADMIN would end.",
    "Add the operator's address to an ALLOW list, or take it out of the BLOCK list. For an assignment: keep ADMIN, or delete with `Retain`.";

    /// Databricks could not provision the object.
    ProvisioningFailed,
    "Most often something in the cloud: a role, a network, a quota.",
    "The message has Databricks' words. Correct the cause, then ask for another try with any new value of the annotation `databricks-operator.io/reconcile-requested-at`, or change a field that may change. To start over, set `deletionPolicy: Delete`, delete this object, and apply it again: with `Retain` the failed one is found again.";

    /// The account, cloud or host does not know this kind of object.
    NotSupported,
    "A tier, a cloud or a region without this feature, or a host that is not the account's.",
    "Check `host` and the account's tier and cloud: this API is not there.";

    /// The operator itself failed on this object; the log has the details.
    InternalError,
    "A mistake in the operator.",
    "A bug. Look into the log of the operator and report it.";

    /// spec.suspend is true.
    SuspendedBySpec,
    "Somebody set it.",
    "Set `spec.suspend` to false to go on.";

    /// Objects that depend on this one exist.
    DependencyStillInUse,
    "The object is being deleted, and others still refer to it.",
    "Delete what the message names first, or point it elsewhere. `deletionPolicy: Retain` lets a managed object go.";

    /// spec.deletionProtection is true.
    DeletionProtected,
    "The object is being deleted, and somebody wanted to prevent just that.",
    "Set `spec.deletionProtection` to false.";

    /// A finalizer of somebody else is still there.
    ForeignFinalizer,
    "The object is being deleted, and another controller is not done with it.",
    "Whoever set the finalizer that the message names has to remove it.";

    /// Databricks refuses the deletion.
    ApiRefused,
    "Something in the account still uses the object, or the service principal may not delete it.",
    "The message has Databricks' words. Remove the cause, or set `deletionPolicy: Retain`.";

    /// More objects were to be deleted within an hour than the operator is allowed to.
    TooManyDeletions,
    "A namespace, or much at once, was deleted: by mistake perhaps.",
    "Look whether all of it is meant. If so, start the operator with a higher `--max-deletions-per-hour`; it begins to count anew.";

    /// A token was obtained and nothing contradicts the account id.
    Authenticated,
    "The last pass found it so.",
    "Nothing.";

    /// The Secret does not exist.
    SecretNotFound,
    "It was not applied yet, was deleted, or `spec.clientSecretRef.name` is misspelt.",
    "Create the Secret in the namespace of the DatabricksAuth.";

    /// The operator may not read the Secret.
    SecretNotReadable,
    "The chart's values `rbac.secretNames` or `rbac.secretNamespaces` leave the Secret out, or somebody else makes the operator's roles.",
    "Where the values are set, add the Secret and its namespace to them; else let the operator `get` and `watch` the Secret. It goes on by itself then.";

    /// The Secret has no such key.
    SecretKeyMissing,
    "The Secret was made with another key, or `spec.clientSecretRef.key` is misspelt.",
    "Add the key to the Secret, or correct `spec.clientSecretRef.key`.";

    /// The Secret's key has an empty value.
    SecretValueEmpty,
    "The Secret was made before its value was there.",
    "Write the secret into it.";

    /// The host is not one that credentials may be sent to.
    HostNotAllowed,
    "`spec.host` ends in no known suffix, or is http: the credentials would go to a stranger.",
    "Write a host of Databricks, or start the operator with `--allowed-host-suffixes`.";

    /// The host cannot be reached.
    EndpointUnreachable,
    "DNS, a network policy, a firewall, a proxy, or a host that is misspelt.",
    "Check `spec.host`, DNS and the network between the operator and Databricks.";
}

reasons! {
    /// Every reason that an event can have.
    EventReason:

    /// The object was made in the account.
    Created,
    "There was none, and the spec asks for it.",
    "Nothing.";

    /// An object that was in the account already was taken over.
    Adopted,
    "`adoptionPolicy`, `externalId` or the annotation `databricks-operator.io/external-id` allows it, or it is proven to be ours.",
    "Nothing. It stays in the account when this object is deleted, unless `deletionPolicy` says otherwise.";

    /// The fields that the event names were written to the account, as the spec asks.
    Updated,
    "The spec was changed.",
    "Nothing.";

    /// The fields that the event names differed in the account and were written again.
    DriftCorrected,
    "Somebody changed them there.",
    "Find out who, if it was not meant. ObjectName wants to keep the change writes it into the spec.";

    /// The object in the account is usable and as the spec says.
    Ready,
    "The work is done, or what was in its way is gone.",
    "Nothing.";

    /// Nothing happens any more until somebody decides.
    Stalled,
    "The first word of the event is the reason of the condition `Stalled`. `CredentialsInvalid` and `ExternalResourceMissing` are events of their own.",
    "See that reason above.";

    /// The object is being deleted, and the one in the account cannot be.
    DeletionBlocked,
    "The first word of the event is the reason of the condition `DeletionBlocked`.",
    "See that reason above.";

    /// No calls are made for this object any more.
    Suspended,
    "`spec.suspend` was set to true.",
    "Set it to false to go on.";

    /// Calls are made for this object again.
    Resumed,
    "`spec.suspend` is no longer true.",
    "Nothing.";

    /// The account differs from the spec in the fields that the event names.
    DriftDetected,
    "With `Observe`: somebody changed the account or the spec.",
    "See `status.drift`. `managementPolicy: Managed` carries it out.";

    /// The object in the account is gone.
    ExternalResourceMissing,
    "Somebody deleted it there.",
    "See the reason of this name above.";

    /// The account's rate limit holds the calls back.
    RateLimited,
    "Databricks answered 429, or too much is asked for at once.",
    "See the reason of this name above.";

    /// The DatabricksAuth does not admit this object, or no longer.
    ReferenceNotPermitted,
    "Its `grants`.",
    "See the reason of this name above.";

    /// Databricks refuses the credentials.
    CredentialsInvalid,
    "They are wrong, or no longer valid.",
    "See the reason of this name above.";

    /// Databricks does not let in the address that the operator calls from.
    AddressBlocked,
    "An IP access list of the account.",
    "See the reason of this name above.";

    /// The object is gone from the account, and now from the cluster.
    Deleted,
    "It was deleted with `deletionPolicy: Delete`.",
    "Nothing.";

    /// This object goes; the one in the account stays.
    Retained,
    "It was deleted with `deletionPolicy: Retain`.",
    "Nothing, or delete the one in the account by hand.";

    /// This object goes; what it stood for in the account stays, and nobody looks after it.
    OrphanedOnDelete,
    "It was deleted while suspended, while only observed, or while a create was interrupted.",
    "Delete the object in the account by hand if it is not meant to stay.";
}

impl EventReason {
    /// Says that something was written to the account.
    pub fn is_write(self) -> bool {
        matches!(self, EventReason::Created | EventReason::Updated | EventReason::DriftCorrected)
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Warning or Normal.
    pub warning: bool,
    /// The event's reason.
    pub reason: EventReason,
    /// The text.
    pub text: String,
}
