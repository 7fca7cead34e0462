//! What the APIs of OAuth apps have in common: how long the tokens of an app live.
//!
//! A change sends the whole of it: it is not documented whether the API keeps what a change leaves out. What the spec does not manage is
//! sent as it was read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::databricks::Int64;
use crate::engine::crd::rule;
use crate::engine::kind::given;

/// How long the tokens of an app live.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct TokenAccessPolicy {
    /// How long an access token is valid, in minutes, from 5 to 1440. May be changed; tokens that were issued before stay valid as long as before. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 1440))]
    pub access_token_ttl_in_minutes: Option<i64>,
    /// How long a refresh token is valid, in minutes, from 5 to 129600 and not shorter than an access token. With single-use refresh tokens, the time begins again with each new token. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 129_600))]
    pub refresh_token_ttl_in_minutes: Option<i64>,
    /// Whether a refresh token can be used only once, and is replaced each time. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_single_use_refresh_tokens: Option<bool>,
    /// After how many minutes a user must sign in again, whatever was refreshed. It needs `enableSingleUseRefreshTokens: true`, with which Databricks sets a value if this is left out. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub absolute_session_lifetime_in_minutes: Option<i64>,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    json!([
        rule(
            "refreshTokenTtlInMinutes",
            "!has(self.accessTokenTtlInMinutes) || !has(self.refreshTokenTtlInMinutes) || self.refreshTokenTtlInMinutes >= self.accessTokenTtlInMinutes",
            "refreshTokenTtlInMinutes must not be less than accessTokenTtlInMinutes: raise it, or lower the other",
        ),
        rule(
            "absoluteSessionLifetimeInMinutes",
            "!has(self.absoluteSessionLifetimeInMinutes) || (has(self.enableSingleUseRefreshTokens) && self.enableSingleUseRefreshTokens)",
            "absoluteSessionLifetimeInMinutes needs enableSingleUseRefreshTokens true: set that, or remove absoluteSessionLifetimeInMinutes",
        ),
    ])
}

/// The same as desired and as observed, in the names of the spec, as `status.observed` shows it; the API's are read too. Here a key that
/// is missing in the desired state is not managed, see [`TokenPolicy::manages`].
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct TokenPolicy {
    #[serde(alias = "access_token_ttl_in_minutes", default, skip_serializing_if = "Option::is_none")]
    access_token_ttl_in_minutes: Option<Int64>,
    #[serde(alias = "refresh_token_ttl_in_minutes", default, skip_serializing_if = "Option::is_none")]
    refresh_token_ttl_in_minutes: Option<Int64>,
    #[serde(alias = "enable_single_use_refresh_tokens", default, skip_serializing_if = "Option::is_none")]
    enable_single_use_refresh_tokens: Option<bool>,
    #[serde(
        alias = "absolute_session_lifetime_in_minutes",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    absolute_session_lifetime_in_minutes: Option<Int64>,
}

/// The field of a state that holds it.
pub const TOKEN_POLICY: &str = "token_access_policy";

impl From<&TokenAccessPolicy> for TokenPolicy {
    fn from(spec: &TokenAccessPolicy) -> Self {
        TokenPolicy {
            access_token_ttl_in_minutes: spec.access_token_ttl_in_minutes.map(Int64),
            refresh_token_ttl_in_minutes: spec.refresh_token_ttl_in_minutes.map(Int64),
            enable_single_use_refresh_tokens: spec.enable_single_use_refresh_tokens,
            absolute_session_lifetime_in_minutes: spec.absolute_session_lifetime_in_minutes.map(Int64),
        }
    }
}

impl TokenPolicy {
    /// The policy that a response shows. The API may leave out a default, and a limit of no time is none.
    pub fn observed(shown: Option<TokenPolicy>) -> TokenPolicy {
        let shown = shown.unwrap_or_default();
        let limit = |minutes: Option<Int64>| minutes.filter(|minutes| minutes.0 > 0);
        TokenPolicy {
            access_token_ttl_in_minutes: limit(shown.access_token_ttl_in_minutes),
            refresh_token_ttl_in_minutes: limit(shown.refresh_token_ttl_in_minutes),
            enable_single_use_refresh_tokens: Some(shown.enable_single_use_refresh_tokens.unwrap_or(false)),
            absolute_session_lifetime_in_minutes: limit(shown.absolute_session_lifetime_in_minutes),
        }
    }

    /// Whether a difference at this path of a state is one that the spec manages: of a policy, only what it names.
    pub fn manages(want: Option<&TokenPolicy>, path: &str) -> bool {
        let inside = path.strip_prefix(TOKEN_POLICY).and_then(|rest| rest.strip_prefix('.'));
        inside.is_none_or(|key| json!(want).get(key).is_some())
    }

    /// The policy once `self` is desired and `seen` is observed.
    pub fn after(&self, seen: Option<&TokenPolicy>) -> TokenPolicy {
        let seen = seen.cloned().unwrap_or_default();
        let single_use = self.enable_single_use_refresh_tokens.or(seen.enable_single_use_refresh_tokens);
        // Databricks refuses it without them.
        let kept = seen.absolute_session_lifetime_in_minutes.filter(|_| single_use == Some(true));
        TokenPolicy {
            access_token_ttl_in_minutes: self
                .access_token_ttl_in_minutes
                .or(seen.access_token_ttl_in_minutes),
            refresh_token_ttl_in_minutes: self
                .refresh_token_ttl_in_minutes
                .or(seen.refresh_token_ttl_in_minutes),
            enable_single_use_refresh_tokens: single_use,
            absolute_session_lifetime_in_minutes: self.absolute_session_lifetime_in_minutes.or(kept),
        }
    }

    /// As the API wants it.
    pub fn body(&self) -> Value {
        given(json!({
            "access_token_ttl_in_minutes": self.access_token_ttl_in_minutes,
            "refresh_token_ttl_in_minutes": self.refresh_token_ttl_in_minutes,
            "enable_single_use_refresh_tokens": self.enable_single_use_refresh_tokens,
            "absolute_session_lifetime_in_minutes": self.absolute_session_lifetime_in_minutes,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(value: Value) -> TokenPolicy {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_the_spec_leaves_out_is_not_managed_and_sent_as_it_was() {
        let want = policy(json!({"accessTokenTtlInMinutes": 30}));
        let seen = policy(json!({"access_token_ttl_in_minutes": "60", "refresh_token_ttl_in_minutes": 90,
            "enable_single_use_refresh_tokens": true, "absolute_session_lifetime_in_minutes": 100}));
        let managed = |path: &str| TokenPolicy::manages(Some(&want), path);
        assert!(managed("token_access_policy.accessTokenTtlInMinutes") && managed("redirect_urls"));
        assert!(!managed("token_access_policy.absoluteSessionLifetimeInMinutes"));
        let sent = json!({"access_token_ttl_in_minutes": 30, "refresh_token_ttl_in_minutes": 90,
            "enable_single_use_refresh_tokens": true, "absolute_session_lifetime_in_minutes": 100});
        assert_eq!(want.after(Some(&seen)).body(), sent);
        assert_eq!(want.after(None).body(), json!({"access_token_ttl_in_minutes": 30}));
    }

    /// What a response leaves out has its default: a spec that writes it is no difference, and nothing that Databricks would
    /// refuse is sent back.
    #[test]
    fn an_absent_switch_is_off_and_an_absent_limit_is_none() {
        let zeros = json!({"access_token_ttl_in_minutes": 0, "refresh_token_ttl_in_minutes": "0",
            "enable_single_use_refresh_tokens": false, "absolute_session_lifetime_in_minutes": 0});
        let nulls = json!({"access_token_ttl_in_minutes": null, "enable_single_use_refresh_tokens": null});
        for shown in [None, Some(json!({})), Some(nulls), Some(zeros)] {
            let seen = TokenPolicy::observed(shown.map(policy));
            assert_eq!(json!(seen), json!({"enableSingleUseRefreshTokens": false}));
            let want = policy(json!({"accessTokenTtlInMinutes": 30}));
            let sent = json!({"access_token_ttl_in_minutes": 30, "enable_single_use_refresh_tokens": false});
            assert_eq!(want.after(Some(&seen)).body(), sent);
        }
    }

    /// Databricks refuses a limit of the session without single-use refresh tokens.
    #[test]
    fn the_limit_of_a_session_ends_with_single_use_tokens() {
        let seen = policy(json!({"enable_single_use_refresh_tokens": true,
            "absolute_session_lifetime_in_minutes": 100}));
        let want = policy(json!({"enableSingleUseRefreshTokens": false}));
        assert_eq!(want.after(Some(&seen)).body(), json!({"enable_single_use_refresh_tokens": false}));
    }
}
