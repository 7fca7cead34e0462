//! Federation policies: which tokens of another issuer Databricks accepts in place of credentials of its own. One kind for tokens
//! of all principals of the account, one for tokens of a single service principal; here is what they share.
//!
//! The id of a policy is chosen by the client, so a lost create is found by it. Who may sign in is managed as a whole: keys that
//! the spec does not name are removed, as another user's keys would let that user in. Only `audiences` stays unmanaged if it is
//! left out, as the API fills it in.

mod account;
mod service_principal;

use std::collections::BTreeSet;

use crate::engine::kind::seconds_of;
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
    /// The audiences that tokens may have in their claim `aud`; one of them is enough. Default: the audiences that the account has, at first the account's id. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 1024)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub audiences: Option<Vec<String>>,
    /// The claim that names the subject of the token. Default: `sub`. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub subject_claim: Option<String>,
    /// The issuer's public keys, as the text of a JWKS document, in one line or several, for an issuer that Databricks cannot reach. Write a new one before the issuer changes its keys. If both this and jwksUri are left out, Databricks reads the keys at the issuer's well-known address. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 65536), regex(pattern = r"^([^\p{C}\p{Zl}\p{Zp}]|[\t\n\r])*$"))]
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

/// A policy as the API shows it. The path says which service principal it belongs to.
#[derive(Deserialize)]
struct Remote {
    policy_id: String,
    description: Option<String>,
    #[serde(default)]
    oidc_policy: RemoteOidc,
    uid: Option<String>,
    create_time: Option<String>,
}

impl Remote {
    /// What the status shows, and what the engine reads.
    fn shown(&self) -> (FederationPolicyFacts, About) {
        let about = About { created: self.create_time.as_deref().and_then(seconds_of), ..About::default() };
        (FederationPolicyFacts { uid: self.uid.clone() }, about)
    }
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederationPolicyFacts {
    /// The id that Databricks gave the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
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
    fn desired(spec: &OidcPolicy, subject: Option<&str>) -> Result<Oidc> {
        Ok(Oidc {
            issuer: spec.issuer.clone(),
            audiences: spec.audiences.as_ref().map(|all| all.iter().cloned().collect()),
            subject_claim: spec.subject_claim.clone().unwrap_or_else(|| SUBJECT_CLAIM.into()),
            subject: subject.map(str::to_owned),
            jwks_json: spec.jwks_json.as_deref().map(document).transpose()?,
            jwks_uri: spec.jwks_uri.clone(),
        })
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
}

/// The body of a create.
fn created_with(description: Option<&str>, oidc: Option<&Oidc>) -> Value {
    given(json!({"description": description, "oidc_policy": oidc.map(Oidc::body)}))
}

/// Changes the fields `now` of the policy at `path`, and reads it.
async fn change(
    api: &Writer,
    path: Path,
    description: Option<&str>,
    (oidc, seen): (Option<&Oidc>, Option<&Oidc>),
    now: &[&str],
) -> ApiResult<Remote> {
    let after = oidc.map(|want| seen.map_or_else(|| want.clone(), |seen| want.after(seen)));
    let value = |field: &str| match field {
        "oidc_policy" => json!(after.as_ref().map(Oidc::body)),
        _ => json!(description),
    };
    let body: Value = now.iter().map(|field| ((*field).to_owned(), value(field))).collect();
    api.patch::<IgnoredAny>(path.clone().with("update_mask", now.join(",")), body).await?;
    let changed: Option<Remote> = api.get(path).await.optional()?;
    Ok(changed.ok_or_else(|| Error::retry("the policy that was changed is not shown; reading again"))?)
}

/// A document of keys that a spec has, in the one text for it. What is wrong with it is not reported: the parser quotes what it reads.
fn document(keys: &str) -> Result<String> {
    let parsed = serde_json::from_str::<Value>(keys).ok().filter(Value::is_object);
    parsed.map(|keys| keys.to_string()).ok_or_else(|| {
        Error::terminal(
            Reason::InvalidSpec,
            "spec.oidcPolicy.jwksJson is no JSON object: write the whole document that the issuer has at its jwks_uri, which begins \
             with {\"keys\": [",
        )
    })
}

/// One text for each document of keys.
fn canonical(keys: &str) -> String {
    serde_json::from_str::<Value>(keys).map_or_else(|_| keys.to_owned(), |keys| keys.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Issuers write it in several lines, and a block of YAML ends with a line break.
    #[test]
    fn a_document_of_keys_may_have_lines_and_is_json() {
        let desired = |keys: &str| {
            let spec = json!({"issuer": "https://k8s", "jwksJson": keys});
            Oidc::desired(&serde_json::from_value(spec).unwrap(), None)
        };
        let lines = desired("{\n  \"keys\": [\r\n\t{\"kid\": \"a\"}\n  ]\n}\n").unwrap();
        assert_eq!(lines.jwks_json.as_deref(), Some(r#"{"keys":[{"kid":"a"}]}"#));
        for other in ["@jwks.json", "https://k8s/keys", "[{}]", "{\n"] {
            let refused = desired(other).unwrap_err();
            assert_eq!(refused.reason(), Some(Reason::InvalidSpec), "{other}");
            assert!(refused.to_string().contains("jwksJson is no JSON object"), "{refused}");
            assert!(!refused.to_string().contains(other), "{refused}");
        }
    }
}
