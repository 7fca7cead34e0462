//! ServicePrincipalSecret: an OAuth secret of a service principal, in a Kubernetes Secret, and its rotation.
//!
//! The account shows a secret once, in the response to its create, and has no name for it. So its lifetime serves as a mark: it
//! is shortened by a number of seconds that follows from the name of the Kubernetes object. A secret whose response was lost is
//! recognised by that, and no other user's secret is taken for it.
//!
//! The API has no GET of one, so the list of the service principal is read. Expired secrets are not in it.

mod lifetime;
pub mod spec;

use std::time::Duration;

use secrecy::SecretString;

use crate::apis::not_the_operators_own;
use crate::engine::crd::parse_duration;
use crate::engine::kind::{Issues, Output, hidden, seconds_of};
use crate::engine::prelude::*;
use crate::kinds::service_principal::ServicePrincipal;

use lifetime::{LONGEST_S, ROUNDED_S, differ, marked, range, seconds};

pub use spec::{ServicePrincipalSecret, ServicePrincipalSecretFacts, ServicePrincipalSecretSpec};

/// What a spec controls. The lifetime is the exact one.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct ServicePrincipalSecretState {
    service_principal_id: i64,
    lifetime: Option<String>,
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

/// Users that read the Kubernetes Secret once a day find the successor in time.
const DEFAULT_OVERLAP: Duration = Duration::from_secs(86_400);

fn path(api: &Reader, principal: i64, secret: &[&str]) -> Path {
    let principal = principal.to_string();
    api.path(&[&["servicePrincipals", &principal, "credentials", "secrets"], secret].concat())
}

const PRINCIPAL: &str = "service_principal_id";

impl ExternalResource for ServicePrincipalSecret {
    type State = ServicePrincipalSecretState;
    /// The service principal and the secret.
    type Id = Inside<i64, String>;
    type Facts = ServicePrincipalSecretFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "lifetime", spec: &["lifetime"] }];
    const REFERENCES: &'static [Reference] = &[Reference::to::<ServicePrincipal>(
        PRINCIPAL,
        &["servicePrincipalId", "servicePrincipalRef"],
        &["principal"],
    )
    .required()
    .fixed()];
    const REQUIRED: &'static [&'static str] = &["secretName"];
    const GRANTED_BY_NAME: bool = true;
    const PARENTED: bool = true;
    const ISSUES: Issues = Issues::Secret;
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(spare_the_operator));
    const MATCHES: Option<fn(&Key, &Observed<Self>) -> bool> = Some(has_lifetime);

    fn output(spec: &ServicePrincipalSecretSpec) -> Option<Output> {
        Some(Output {
            secret_name: spec.secret_name.clone()?,
            key: "client-secret",
            overlap: spec.overlap.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_OVERLAP),
            renewal: spec.renewal.clone(),
        })
    }

    fn desired(spec: &ServicePrincipalSecretSpec, got: &Resolved) -> Result<ServicePrincipalSecretState> {
        let lifetime = spec.lifetime.as_deref().and_then(seconds).unwrap_or(LONGEST_S).min(LONGEST_S);
        Ok(ServicePrincipalSecretState {
            service_principal_id: got.number(PRINCIPAL)?,
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

    fn recognises(want: &ServicePrincipalSecretState, seen: &Observed<Self>) -> bool {
        has_lifetime(&Self::key(want), seen)
    }

    fn changes(want: &ServicePrincipalSecretState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let (wanted, lifetime) = (want.lifetime.as_deref(), seen.state.lifetime.as_deref());
        let lives_otherwise = differ(wanted, lifetime, |lifetime| range(lifetime) + ROUNDED_S);
        let paths = differences::<Self>(want, seen)?.into_iter();
        let paths = paths.filter(|path| path != "lifetime" || lives_otherwise);
        Ok(paths.map(|path| Change { path, when: When::Never(CANNOT_CHANGE.into()) }).collect())
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let principal = parent(within, "a service principal")?;
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

/// Whether a secret has the lifetime in a key, but for what the account rounds.
fn has_lifetime(key: &Key, seen: &Observed<ServicePrincipalSecret>) -> bool {
    let lifetime = seen.state.lifetime.as_deref();
    key.within == seen.id.within.to_string()
        && lifetime.is_some()
        && !differ(Some(&key.name), lifetime, |_| ROUNDED_S)
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

/// A secret of the operator's own service principal would give a team the rights of the operator, and its deletion could shut
/// the operator out. So nothing is created either while the operator cannot find out which one is its own.
fn spare_the_operator(act: &Act<'_, ServicePrincipalSecret>, auth: &AuthFacts) -> Result<()> {
    let Some(state) = act.want.or(act.seen.map(|seen| &seen.state)) else { return Ok(()) };
    // What it created before is not its own.
    if act.want.is_none() && auth.principal_id.is_none() {
        return Ok(());
    }
    let why = "its secrets are not managed, as a rotation could shut the operator out; name another service principal, or remove \
               this object with spec.deletionPolicy Retain";
    not_the_operators_own(state.service_principal_id, auth, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::crd::OBJECT_NAME;

    fn row(lives: Option<i64>) -> Observed<ServicePrincipalSecret> {
        let time = |at: i64| k8s_openapi::jiff::Timestamp::from_second(at).ok().map(|at| at.to_string());
        let (create_time, expire_time) = (time(1_000), lives.and_then(|lives| time(1_000 + lives)));
        Remote { id: "s".into(), secret: None, status: None, create_time, expire_time }.of(7)
    }

    #[test]
    fn a_secret_of_another_user_does_not_match() {
        let key = Key { within: "7".into(), name: "7775123s".into() };
        assert!(has_lifetime(&key, &row(Some(7_775_123))));
        assert!(has_lifetime(&key, &row(Some(7_775_122))), "rounded");
        assert!(!has_lifetime(&key, &row(Some(7_776_000))), "as others write it");
        let elsewhere = Key { within: "8".into(), ..key.clone() };
        assert!(!has_lifetime(&elsewhere, &row(Some(7_775_123))));
        assert!(!has_lifetime(&key, &row(None)), "it may be anybody's");
    }

    /// The API server refuses a Secret of another name, so an object with one would wait for ever.
    #[test]
    fn the_name_of_the_secret_is_one_that_the_api_server_accepts() {
        let schema =
            json!(schemars::schema_for!(ServicePrincipalSecretSpec))["properties"]["secretName"].clone();
        assert_eq!(schema["pattern"], OBJECT_NAME);
        assert_eq!(schema["maxLength"], 253);
    }

    #[test]
    fn the_operators_own_service_principal_gets_no_secret() {
        let want = ServicePrincipalSecretState { service_principal_id: 7, lifetime: None };
        let seen = row(Some(7_775_123));
        let auth =
            |id: Option<&str>| AuthFacts { principal_id: id.map(str::to_owned), ..AuthFacts::default() };
        let refused = |want, seen, auth| {
            let reason = spare_the_operator(&Act { want, seen }, &auth).err().and_then(|e| e.reason());
            assert!(matches!(reason, None | Some(Reason::WouldLockOut)), "{reason:?}");
            reason.is_some()
        };
        assert!(refused(Some(&want), None, auth(Some("7"))) && refused(None, Some(&seen), auth(Some("7"))));
        assert!(!refused(Some(&want), None, auth(Some("8"))) && !refused(None, Some(&seen), auth(Some("8"))));
        assert!(refused(Some(&want), None, auth(None)), "it may be the operator's own");
        assert!(!refused(None, Some(&seen), auth(None)), "what it created is not its own");
    }
}
