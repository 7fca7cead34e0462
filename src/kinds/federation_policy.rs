//! Federation policies: which tokens of another issuer Databricks accepts in place of credentials of its own. One kind for tokens
//! of all principals of the account, one for tokens of a single service principal; here is what they share.
//!
//! The id of a policy is chosen by the client, so a lost create is found by it. Who may sign in is managed as a whole: keys that
//! the spec does not name are removed, as another user's keys would let that user in. Only `audiences` stays unmanaged if it is
//! left out, as the API fills it in.

mod account;
mod service_principal;

use std::collections::BTreeSet;

use crate::engine::kind::{FederatedToken, seconds_of};
use crate::engine::prelude::*;

pub use account::AccountFederationPolicy;
pub use service_principal::ServicePrincipalFederationPolicy;

/// Which tokens are accepted.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "jwksUri",
    "!has(self.jwksJson) || !has(self.jwksUri)",
    "the keys come from one place: keep one of jwksJson and jwksUri, or neither, and remove the other",
)]))]
pub struct OidcPolicy {
    /// The issuer of the tokens, an https address: exactly their claim `iss`. A user who controls it can sign in as any subject. May be changed. Known on all clouds.
    #[schemars(length(min = 9, max = 2048), regex(pattern = "^https://[!-~]+$"))]
    pub issuer: String,
    /// The audiences that tokens may have in their claim `aud`; one of them is enough. Left out, what the account has is kept: at first the account's id. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 1024)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub audiences: Option<Vec<String>>,
    /// The claim that says whose token it is. Left out: `sub`. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub subject_claim: Option<String>,
    /// The issuer's public keys, as the text of a JWKS document, for an issuer that Databricks cannot reach. Write a new one before the issuer changes its keys. Left out with jwksUri, Databricks reads the keys at the issuer's well-known address. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 65536))]
    pub jwks_json: Option<String>,
    /// The https address of the issuer's public keys, if it is not the well-known one. Give this or jwksJson, or neither. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 2048), regex(pattern = "^https://[!-~]+$"))]
    pub jwks_uri: Option<String>,
}

/// The same as desired and as observed. A source of keys and a subject are left out if there is none, so that one which is added
/// in the account is a difference.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Oidc {
    issuer: String,
    /// `None` in the desired state: not managed.
    audiences: Option<BTreeSet<String>>,
    subject_claim: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks_json: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<String>,
}

/// What the API returns of it.
#[derive(Deserialize, Default)]
struct RemoteOidc {
    #[serde(default)]
    issuer: String,
    audiences: Option<BTreeSet<String>>,
    subject: Option<String>,
    subject_claim: Option<String>,
    jwks_json: Option<String>,
    jwks_uri: Option<String>,
}

/// The claim that a policy reads if it names none.
const SUBJECT_CLAIM: &str = "sub";

impl From<RemoteOidc> for Oidc {
    fn from(remote: RemoteOidc) -> Oidc {
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        Oidc {
            issuer: remote.issuer,
            audiences: Some(remote.audiences.unwrap_or_default()),
            subject_claim: text(remote.subject_claim).unwrap_or_else(|| SUBJECT_CLAIM.into()),
            subject: text(remote.subject),
            jwks_json: text(remote.jwks_json).map(|keys| canonical(&keys)),
            jwks_uri: text(remote.jwks_uri),
        }
    }
}

impl Oidc {
    fn desired(spec: &OidcPolicy, subject: Option<&str>) -> Oidc {
        Oidc {
            issuer: spec.issuer.clone(),
            audiences: spec.audiences.as_ref().map(|all| all.iter().cloned().collect()),
            subject_claim: spec.subject_claim.clone().unwrap_or_else(|| SUBJECT_CLAIM.into()),
            subject: subject.map(str::to_owned),
            jwks_json: spec.jwks_json.as_deref().map(canonical),
            jwks_uri: spec.jwks_uri.clone(),
        }
    }

    /// The policy once this is desired and that is observed: the API replaces it as a whole.
    fn after(&self, seen: &Oidc) -> Oidc {
        Oidc { audiences: self.audiences.clone().or_else(|| seen.audiences.clone()), ..self.clone() }
    }

    /// As the API wants it.
    fn body(&self) -> Value {
        given(json!({
            "issuer": self.issuer,
            "audiences": self.audiences,
            "subject": self.subject,
            "subject_claim": self.subject_claim,
            "jwks_json": self.jwks_json,
            "jwks_uri": self.jwks_uri,
        }))
    }

    /// Whether Databricks accepts this token of `subject` by this policy, as far as the operator can know. `None`: of any.
    fn accepts(&self, token: &FederatedToken, subject: Option<&str>) -> bool {
        let claims = &token.claims;
        let audiences: Vec<&str> = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            one => one.and_then(Value::as_str).into_iter().collect(),
        };
        let allowed = self.audiences.iter().flatten();
        let any = self.audiences.as_ref().is_none_or(BTreeSet::is_empty);
        let claimed = claims.get(&self.subject_claim).and_then(Value::as_str);
        claims.get("iss").and_then(Value::as_str) == Some(&self.issuer)
            && (any || allowed.into_iter().any(|audience| audiences.contains(&audience.as_str())))
            && subject.is_none_or(|subject| claimed == Some(subject))
            && self.jwks_json.as_ref().is_none_or(|keys| has_key(keys, token.key_id.as_deref()))
    }

    /// Whether a change leaves the keys where they were found; those that the spec itself holds can be checked.
    fn keeps_keys(&self, before: &Oidc) -> bool {
        self.jwks_json.is_some() || (before.jwks_json.is_none() && self.jwks_uri == before.jwks_uri)
    }
}

/// The body of a create.
fn created_with(description: Option<&str>, oidc: Option<&Oidc>) -> Value {
    given(json!({"description": description, "oidc_policy": oidc.map(Oidc::body)}))
}

/// The body of a change of the fields `now`.
fn changed_to(description: Option<&str>, oidc: Option<&Oidc>, seen: Option<&Oidc>, now: &[&str]) -> Value {
    let after = oidc.map(|want| seen.map_or_else(|| want.clone(), |seen| want.after(seen)));
    let value = |field: &str| match field {
        "oidc_policy" => json!(after.as_ref().map(Oidc::body)),
        _ => json!(description),
    };
    now.iter().map(|field| ((*field).to_owned(), value(field))).collect()
}

/// One text for each document of keys.
fn canonical(keys: &str) -> String {
    serde_json::from_str::<Value>(keys).map_or_else(|_| keys.to_owned(), |keys| keys.to_string())
}

/// Whether a document of keys has one of this id. An unknown id is no reason to refuse.
fn has_key(document: &str, id: Option<&str>) -> bool {
    let Some(id) = id else { return true };
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    document["keys"].as_array().into_iter().flatten().any(|key| key["kid"] == id)
}

/// What the engine reads of a policy.
fn about(create_time: Option<&str>) -> About {
    About { created: create_time.and_then(seconds_of), ..About::default() }
}

/// Refuses to delete the policy by which Databricks accepts the operator's own token, and to change it so that it does not. What
/// Databricks does not accept already may be changed and deleted. `want` is none for a deletion, and holds none if the spec leaves
/// the policy as it is.
fn keep_the_operator_in(
    seen: Option<&Oidc>,
    want: Option<Option<&Oidc>>,
    subject: impl Fn(&Oidc) -> Option<String>,
    auth: &AuthFacts,
) -> Result<()> {
    let (Some(token), Some(before)) = (&auth.federated, seen) else { return Ok(()) };
    let accepts = |policy: &Oidc| policy.accepts(token, subject(policy).as_deref());
    let after = want.map(|want| want.map_or_else(|| before.clone(), |want| want.after(before)));
    let stays = after.as_ref().is_some_and(|after| accepts(after) && after.keeps_keys(before));
    if !accepts(before) || stays {
        return Ok(());
    }
    let what = if want.is_some() { "change of this policy" } else { "deletion of this policy" };
    let text = format!(
        "the operator itself signs in by this policy, with a token of the issuer {}: this {what} would shut it out; give the \
         DatabricksAuth other credentials first, or have the policy changed in the account console",
        before.issuer
    );
    Err(Error::terminal(Reason::WouldLockOut, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> FederatedToken {
        let claims = json!({"iss": "https://k8s", "aud": ["databricks"], "sub": "system:serviceaccount:a:b"});
        let Value::Object(claims) = claims else { unreachable!() };
        FederatedToken { claims, key_id: Some("k1".into()) }
    }

    fn policy(change: impl FnOnce(&mut Oidc)) -> Oidc {
        let mut policy = Oidc {
            issuer: "https://k8s".into(),
            audiences: Some(["databricks".to_owned()].into()),
            subject_claim: "sub".into(),
            subject: Some("system:serviceaccount:a:b".into()),
            jwks_json: None,
            jwks_uri: None,
        };
        change(&mut policy);
        policy
    }

    fn refused(before: &Oidc, want: Option<&Oidc>) -> bool {
        let auth = AuthFacts { federated: Some(token()), ..AuthFacts::default() };
        let subject = |policy: &Oidc| policy.subject.clone();
        let want = want.map(Some);
        let result = keep_the_operator_in(Some(before), want, subject, &auth);
        assert!(keep_the_operator_in(Some(before), want, subject, &AuthFacts::default()).is_ok(), "a secret");
        assert!(keep_the_operator_in(Some(before), Some(None), subject, &auth).is_ok(), "left as it is");
        result.is_err()
    }

    /// Covers SE-06.
    #[test]
    fn the_policy_that_the_operator_signs_in_by_is_neither_deleted_nor_broken() {
        let own = policy(|_| ());
        assert!(refused(&own, None));
        let breaks: [fn(&mut Oidc); 7] = [
            |p| p.issuer = "https://other".into(),
            |p| p.audiences = Some(["other".to_owned()].into()),
            |p| p.subject = Some("system:serviceaccount:a:other".into()),
            |p| p.subject_claim = "email".into(),
            |p| p.jwks_uri = Some("https://other/keys".into()),
            |p| p.jwks_json = Some(r#"{"keys":[{"kid":"k2"}]}"#.into()),
            |p| p.jwks_json = Some("no document".into()),
        ];
        for (number, change) in breaks.into_iter().enumerate() {
            assert!(refused(&own, Some(&policy(change))), "{number}");
        }
        let keeps: [fn(&mut Oidc); 3] = [
            |p| p.audiences = None,
            |p| p.audiences = Some(["databricks".to_owned(), "more".to_owned()].into()),
            |p| p.jwks_json = Some(r#"{"keys":[{"kid":"k2"},{"kid":"k1"}]}"#.into()),
        ];
        for (number, change) in keeps.into_iter().enumerate() {
            assert!(!refused(&own, Some(&policy(change))), "{number}");
        }
    }

    #[test]
    fn policies_for_tokens_of_others_may_be_deleted_and_broken() {
        let others: [fn(&mut Oidc); 4] = [
            |p| p.issuer = "https://ci".into(),
            |p| p.audiences = Some(["other".to_owned()].into()),
            |p| p.subject = Some("repo:x".into()),
            |p| p.jwks_json = Some(r#"{"keys":[]}"#.into()),
        ];
        for (number, change) in others.into_iter().enumerate() {
            assert!(!refused(&policy(change), None), "{number}");
        }
    }

    /// Keys that another user adds let that user in, whatever the spec says of keys.
    #[test]
    fn keys_that_the_spec_does_not_name_are_a_difference() {
        let want = json!(policy(|_| ()));
        let seen = json!(policy(|p| p.jwks_uri = Some("https://attacker/keys".into())));
        assert_ne!(want, seen);
        assert_eq!(want.get("jwksUri"), None, "not null, which would mean: not managed");
        let one = canonical(r#"{"keys": [ {"kid": "a", "alg": "x"} ]}"#);
        assert_eq!(one, canonical(r#"{"keys":[{"alg":"x","kid":"a"}]}"#));
    }
}
