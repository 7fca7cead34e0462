//! ServicePrincipalSecret: an OAuth secret of a service principal, in a Kubernetes Secret, and its rotation.
//!
//! The account shows a secret once, in the response to its create, and has no name for it. So its lifetime serves as a mark: it
//! is shortened by a number of seconds that follows from the name of the Kubernetes object. A secret whose response was lost is
//! recognised by that, and no other user's secret is taken for it.
//!
//! The API has no GET of one, so the list of the service principal is read. Expired secrets are not in it.

use kube::CustomResource;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::databricks::{self, Pages};
use crate::engine::crd::{Management, Reason, Status, parse_duration};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Act, ApiResult, AuthFacts, CANNOT_CHANGE, CallError, Change, Created, ExternalResource, Guard,
    Immutable, Inside, Key, Need, Observed, Output, Path, PrincipalName, Reader, Reference, Resolved, When,
    Writer, differences, seconds_of,
};

/// An OAuth secret of a service principal, written to a Kubernetes Secret and replaced in time.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "ServicePrincipalSecret",
    shortname = "dbspsec",
    category = "databricks",
    namespaced,
    status = "Status<ServicePrincipalSecretFacts>",
    doc = "An OAuth secret of a service principal, written to a Kubernetes Secret and replaced in time. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.servicePrincipalId) != has(self.servicePrincipalName)",
     "message": "exactly one of servicePrincipalId and servicePrincipalName is needed: keep one and remove the other"},
    {"rule": "!has(self.externalId) || (has(self.managementPolicy) && self.managementPolicy == 'Observe')",
     "message": "a secret that exists cannot be adopted, as its value is not known: remove externalId, or write managementPolicy Observe"},
]))]
pub struct ServicePrincipalSecretSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The numeric id of the service principal in the account. Give this or servicePrincipalName. Once the secret exists, it can be changed only to what means the same service principal. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub service_principal_id: Option<i64>,
    /// The application id of the service principal. Give this or servicePrincipalId. Once the secret exists, it can be changed only to what means the same service principal. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub service_principal_name: Option<String>,
    /// The name of the Kubernetes Secret in this namespace that the secret is written to, under the key `client-secret`. The operator creates it and deletes it with this object, and writes to no other. May be changed: the secret is then replaced. Known on all clouds.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: String,
    /// How long a secret lives, in seconds such as `7776000s`, from an hour to two years. The operator shortens it by up to a day, by which it recognises its own secrets, and replaces a secret after two thirds of its life. Default: two years. Cannot be changed once the secret exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 9),
        regex(
            pattern = "^(3[6-9][0-9]{2}|[4-9][0-9]{3}|[1-9][0-9]{4,6}|[1-5][0-9]{7}|6[0-2][0-9]{6}|630[0-6][0-9]{4}|6307[01][0-9]{3}|63072000)s$"
        )
    )]
    pub lifetime: Option<String>,
    /// How long a secret stays valid after its successor is in the Kubernetes Secret, such as `1h`; users of it have to read the new one within this time. Default: 24h. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = "^([0-9]+(h|m|s))+$"))]
    pub overlap: Option<String>,
    /// Any new value, such as a date, replaces the secret now. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[!-~]+$"))]
    pub renewal: Option<String>,
}

/// What a spec controls. The lifetime is the exact one.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct ServicePrincipalSecretState {
    service_principal_id: i64,
    lifetime: Option<String>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalSecretFacts {
    /// When the secret ends, as Databricks says; missing if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<String>,
}

/// What a list shows of a secret, and the response to a create. It has no Debug, as it may hold the secret.
#[derive(Deserialize)]
struct Remote {
    id: String,
    #[serde(default, deserialize_with = "hidden")]
    secret: Option<SecretString>,
    status: Option<String>,
    create_time: Option<String>,
    expire_time: Option<String>,
}

fn hidden<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(text)?.map(SecretString::from))
}

impl Remote {
    fn of(self, principal: i64) -> Observed<ServicePrincipalSecret> {
        let created = self.create_time.as_deref().and_then(seconds_of);
        let expires = self.expire_time.as_deref().and_then(seconds_of);
        let lifetime =
            created.zip(expires).map(|(created, expires)| format!("{}s", expires.saturating_sub(created)));
        let about = About { state: self.status, created, expires, ..About::default() };
        let state = ServicePrincipalSecretState { service_principal_id: principal, lifetime };
        let facts = ServicePrincipalSecretFacts { expire_time: self.expire_time };
        Observed { id: Inside { within: principal, own: self.id }, state, facts, about }
    }
}

/// The longest life, which is also the default of the API.
const LONGEST_S: u64 = 63_072_000;
/// A day: lifetimes are shortened by less.
const MOST_SHORTER_S: u64 = 86_400;
/// How much a time of the account may be rounded.
const ROUNDED_S: u64 = 5;

fn seconds(lifetime: &str) -> Option<u64> {
    lifetime.strip_suffix('s')?.parse().ok()
}

/// By how much lifetimes of this length are shortened at most.
fn range(lifetime: u64) -> u64 {
    (lifetime / 20).clamp(1, MOST_SHORTER_S)
}

/// The lifetime that marks the secrets of one Kubernetes object: the same each time (FNV-1a).
fn marked(lifetime: u64, marker: &str) -> u64 {
    let hash = marker.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    lifetime - hash % range(lifetime)
}

fn differ(one: Option<&str>, other: Option<&str>, at_most: impl Fn(u64) -> u64) -> bool {
    match (one.map(seconds), other.map(seconds)) {
        (Some(Some(one)), Some(Some(other))) => one.abs_diff(other) > at_most(one),
        // What does not end by itself does no harm.
        (None, _) | (_, None) => false,
        _ => one != other,
    }
}

fn path(api: &Reader, principal: i64, secret: &[&str]) -> Path {
    let principal = principal.to_string();
    api.path(&[&["servicePrincipals", &principal, "credentials", "secrets"], secret].concat())
}

impl ExternalResource for ServicePrincipalSecret {
    type State = ServicePrincipalSecretState;
    type Id = Inside<i64, String>;
    type Facts = ServicePrincipalSecretFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "service_principal_id", spec: &["servicePrincipalId", "servicePrincipalName"] },
        Immutable { state: "lifetime", spec: &["lifetime"] },
    ];
    const REFERENCES: &'static [Reference] = &[Reference {
        state: "service_principal_id",
        spec: &["servicePrincipalId", "servicePrincipalName"],
        words: &["principal"],
    }];
    const GRANTED_BY_NAME: bool = true;
    const ISSUES: bool = true;
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(not_the_operators_own));

    fn needs(spec: &ServicePrincipalSecretSpec) -> Vec<Need> {
        let name = spec.service_principal_name.clone().map(PrincipalName::ServicePrincipal);
        name.map(|name| Need::principal("servicePrincipalName", name)).into_iter().collect()
    }

    fn output(spec: &ServicePrincipalSecretSpec) -> Option<Output> {
        let overlap = spec.overlap.as_deref().and_then(parse_duration);
        Some(Output {
            secret_name: spec.secret_name.clone(),
            key: "client-secret",
            overlap: overlap.unwrap_or(std::time::Duration::from_secs(86_400)),
            renewal: spec.renewal.clone(),
        })
    }

    fn desired(spec: &ServicePrincipalSecretSpec, got: &Resolved) -> Result<ServicePrincipalSecretState> {
        let lifetime = spec.lifetime.as_deref().and_then(seconds).unwrap_or(LONGEST_S).min(LONGEST_S);
        Ok(ServicePrincipalSecretState {
            service_principal_id: match spec.service_principal_id {
                Some(id) => id,
                None => got.number("servicePrincipalName")?,
            },
            lifetime: Some(format!("{}s", marked(lifetime, &got.marker))),
        })
    }

    fn within(id: &Self::Id) -> String {
        id.within.to_string()
    }

    fn key(state: &ServicePrincipalSecretState) -> Key {
        let name = state.lifetime.clone().unwrap_or_default();
        Key { within: state.service_principal_id.to_string(), name }
    }

    fn matches(key: &Key, seen: &Observed<Self>) -> bool {
        let lifetime = seen.state.lifetime.as_deref();
        key.within == seen.id.within.to_string()
            && lifetime.is_some()
            && !differ(Some(&key.name), lifetime, |_| ROUNDED_S)
    }

    fn changes(want: &ServicePrincipalSecretState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let (wanted, lifetime) = (want.lifetime.as_deref(), seen.state.lifetime.as_deref());
        let lives_otherwise = differ(wanted, lifetime, |lifetime| range(lifetime) + ROUNDED_S);
        let paths = differences::<Self>(want, seen)?.into_iter();
        let paths = paths.filter(|path| path != "lifetime" || lives_otherwise);
        Ok(paths.map(|path| Change { path, when: When::Never(CANNOT_CHANGE.into()) }).collect())
    }

    async fn get(api: &Reader, id: &Self::Id) -> ApiResult<Option<Observed<Self>>> {
        let all = Self::list(api, &id.within.to_string()).await?;
        Ok(all.into_iter().find(|seen| seen.id == *id))
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let principal = within.parse().map_err(|_| {
            Error::terminal(Reason::InvalidSpec, format!("{within:?} is no id of a service principal"))
        })?;
        let all: Vec<Remote> = api.list(path(api, principal, &[]), Pages::Token("secrets")).await?;
        Ok(all.into_iter().map(|remote| remote.of(principal)).collect())
    }

    async fn create(api: &Writer, want: &ServicePrincipalSecretState) -> ApiResult<Created<Self>> {
        let principal = want.service_principal_id;
        let body = json!({"lifetime": want.lifetime});
        let mut created: Remote = api.post(path(api, principal, &[]), body).await.map_err(classify)?;
        let secret = created.secret.take();
        Ok(Created { secret, ..Created::from(created.of(principal)) })
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(path(api, seen.id.within, &[&seen.id.own])).await?)
    }
}

/// What to do where there is no room for another secret.
fn classify(error: databricks::Error) -> CallError {
    let databricks::Error::Api { code: Some(code), .. } = &error else { return error.into() };
    if !["QUOTA_EXCEEDED", "RESOURCE_LIMIT_EXCEEDED"].contains(&code.as_ref()) {
        return error.into();
    }
    let text = format!(
        "{error}; a service principal has at most five secrets: delete one of it in the account that is not needed any more"
    );
    Error::rejected(Reason::QuotaExceeded, text).into()
}

/// A secret of the operator's own service principal would give a tenant the rights of the operator, and its deletion could shut
/// the operator out.
fn not_the_operators_own(act: &Act<'_, ServicePrincipalSecret>, auth: &AuthFacts) -> Result<()> {
    let state = act.want.or(act.seen.map(|seen| &seen.state));
    let principal = state.map(|state| state.service_principal_id.to_string());
    if auth.principal_id.is_none() || auth.principal_id != principal {
        return Ok(());
    }
    let text = "this is the service principal that the operator itself signs in as: its secrets are not managed, as a rotation \
                could shut the operator out; name another service principal, or remove this object with spec.deletionPolicy Retain";
    Err(Error::terminal(Reason::WouldLockOut, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifetime_marks_the_secrets_of_one_object() {
        let one = marked(LONGEST_S, "a/b/c");
        assert_eq!(one, marked(LONGEST_S, "a/b/c"), "each time");
        assert_ne!(one, marked(LONGEST_S, "a/b/d"));
        for lifetime in [3600, 86_400, 7_776_000, LONGEST_S] {
            let marked = marked(lifetime, "installation/namespace/name");
            assert!(
                marked <= lifetime && marked > lifetime - lifetime / 20 - 1,
                "{lifetime} became {marked}"
            );
        }
    }

    #[test]
    fn a_secret_of_another_user_does_not_match() {
        let row = |seconds: i64| {
            let time = |at: i64| k8s_openapi::jiff::Timestamp::from_second(at).ok().map(|at| at.to_string());
            let (create_time, expire_time) = (time(1_000), time(1_000 + seconds));
            Remote { id: "s".into(), secret: None, status: None, create_time, expire_time }.of(7)
        };
        let key = Key { within: "7".into(), name: "7775123s".into() };
        assert!(ServicePrincipalSecret::matches(&key, &row(7_775_123)));
        assert!(ServicePrincipalSecret::matches(&key, &row(7_775_122)), "rounded");
        assert!(!ServicePrincipalSecret::matches(&key, &row(7_776_000)), "as others write it");
        let elsewhere = Key { within: "8".into(), ..key.clone() };
        assert!(!ServicePrincipalSecret::matches(&elsewhere, &row(7_775_123)));
        let endless =
            Remote { id: "s".into(), secret: None, status: None, create_time: None, expire_time: None };
        assert!(!ServicePrincipalSecret::matches(&key, &endless.of(7)));
    }
}
