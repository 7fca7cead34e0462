//! The secrets of the first client, and the tokens that were issued, to it and to others.

use axum::http::header;

use crate::wire::Request;

#[derive(Clone)]
pub(crate) struct Token {
    pub value: String,
    pub expires_ms: u64,
    pub client_id: String,
    /// The secret it was issued for: it falls with it (assumed).
    pub secret: String,
    /// The deployment whose host issued it, and which alone takes it; none for one of the account.
    pub deployment: Option<String>,
}

/// A token that Google issued to its service account.
#[derive(Clone)]
pub(crate) struct GoogleToken {
    pub value: String,
    pub expires_ms: u64,
    /// The host that an ID token is for, in lower case and without a last `/`; none for an access token.
    pub audience: Option<String>,
}

/// Secrets of the first client, and all tokens.
#[derive(Clone)]
pub(crate) struct Tokens {
    /// A secret, and until when it is good.
    secrets: Vec<(String, u64)>,
    pub issued: Vec<Token>,
    pub google: Vec<GoogleToken>,
}

impl Tokens {
    pub fn new(secret: String) -> Self {
        Self { secrets: vec![(secret, u64::MAX)], issued: Vec::new(), google: Vec::new() }
    }

    /// Replaces the secret; the earlier ones, and their tokens, are good until `until_ms` at most.
    pub fn rotate(&mut self, secret: String, until_ms: u64) {
        for (_, good_until_ms) in &mut self.secrets {
            *good_until_ms = until_ms.min(*good_until_ms);
        }
        self.secrets.push((secret, u64::MAX));
    }

    pub fn revoke_all(&mut self) {
        self.issued.clear();
        self.google.clear();
    }

    pub fn good_secret(&self, secret: &str, now_ms: u64) -> bool {
        self.secrets.iter().any(|(known, until_ms)| known == secret && now_ms < *until_ms)
    }

    /// The token that a request carries, unless its time is over, or it is one of another host.
    pub fn of(&self, request: &Request, now_ms: u64) -> Option<&Token> {
        let bearer = request.header(header::AUTHORIZATION).strip_prefix("Bearer ")?;
        let here = |token: &&Token| token.deployment.as_deref() == request.deployment();
        self.issued.iter().find(|token| token.value == bearer && now_ms < token.expires_ms).filter(here)
    }
}
