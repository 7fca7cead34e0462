//! Whether a refusal is about the caller and not about the call: about its token, or about its address.
//!
//! Databricks has no single code for either. For an expired or revoked token it returns 401, 403 or 400, with a code that is a
//! word, a number or none, as JSON, text or a web page; a lack of rights is a 403 as well. Only the words distinguish them, and
//! only the first words count: further on, a message may quote what a user wrote.

/// Words at the start of a refusal: beyond them it may quote names.
const FIRST: usize = 12;
/// Codes that are proof alone.
const CODES: [&str; 4] = ["UNAUTHENTICATED", "INVALID_TOKEN", "TOKEN_EXPIRED", "InvalidAuthenticationToken"];
/// Codes of refusals of a spec or of an object: their texts may quote anything.
const OF_THE_CALL: [&str; 6] = [
    "INVALID_PARAMETER_VALUE",
    "MALFORMED_REQUEST",
    "RESOURCE_ALREADY_EXISTS",
    "ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
    "QUOTA_EXCEEDED",
];
/// Bare texts that begin so are refusals of Databricks.
const BEGINNINGS: [&str; 5] =
    ["failed credential", "failed storage", "permission assignment", "assignment api", "unable to delete"];

/// Databricks considers the token invalid, expired or revoked.
pub(super) fn token(status: u16, code: Option<&str>, text: &str) -> bool {
    match status {
        401 => true,
        400 | 403 => {
            let is =
                |codes: &[&str]| code.is_some_and(|code| codes.iter().any(|c| c.eq_ignore_ascii_case(code)));
            is(&CODES) || (!is(&OF_THE_CALL) && of_token(text))
        }
        _ => false,
    }
}

/// Databricks blocks the address that the call came from.
pub(super) fn address(status: u16, text: &str) -> bool {
    matches!(status, 401 | 403) && of_address(text)
}

/// Whether a bare text is known to be a refusal, and may be shown: any other might quote our request.
pub(super) fn is_known(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning)) || of_token(text) || of_address(text)
}

fn of_token(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).take(FIRST).collect();
    let has = |some: &[&str]| words.iter().any(|word| some.contains(word));
    let bad = has(&["invalid", "expired", "expiring", "revoked"]) || (has(&["not"]) && has(&["valid"]));
    // The tokens of lists and of other clouds are no tokens of ours.
    let other = has(&["page", "pagination", "page_token", "google", "scope", "scopes"]);
    // The names of the exceptions of a library that Databricks checks tokens with.
    has(&["jsonwebtoken"]) || (has(&["token", "jwt"]) && bad && !other)
}

fn of_address(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let list = lower.contains("ip acl") || lower.contains("ip access list");
    list && ["blocked", "access denied", "source ip"].iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_tokens_are_known_by_their_words() {
        for text in [
            "Invalid access token.",
            "invalid access token",
            "Invalid Token",
            "Invalid access token. [ReqId: 145ae51b-da74-40a7-ac56-0ad190834faf]",
            "JWT has expired",
            "Token is expired",
            "Token is expiring within 30 seconds. (token expired)",
            "The access token provided is expired, revoked, malformed, or invalid for other reasons.",
            "The token is not valid",
            "Error 400 io.jsonwebtoken.IncorrectClaimException: Expected aud claim to be: a, but was: b.",
            "io.jsonwebtoken.ExpiredJwtException: JWT expired at 2026-01-01T00:00:00Z.",
            "Lifetime validation failed, the token is expired.",
        ] {
            for status in [400, 401, 403] {
                assert!(token(status, Some("403"), text), "{status} {text}");
            }
            assert!(!token(404, None, text) && !token(500, None, text), "{text}");
        }
        assert!(
            token(401, None, "")
                && token(403, Some("UNAUTHENTICATED"), "")
                && token(400, Some("invalid_token"), "")
        );
    }

    #[test]
    fn a_lack_of_rights_and_a_wrong_spec_are_no_bad_token() {
        for text in [
            "",
            "User is not an account admin",
            "This token is not for this account",
            "Provided OAuth token does not have required scopes: all-apis",
            "Invalid scope of the access token",
            "Invalid page token",
            "invalid page_token",
            "failed to get OAuth access token",
            "Invalid Google access token",
            "Token usage is not permitted",
            "INVALID_PARAMETER_VALUE: a workspace of this name is there already, please choose another one for 'invalid token'",
            "Invalid value for token_lifetime",
        ] {
            assert!(!token(403, Some("PERMISSION_DENIED"), text) && !token(400, None, text), "{text}");
        }
        let quoted = "Invalid credentials_name 'jwt-prod'";
        assert!(!token(400, Some("INVALID_PARAMETER_VALUE"), quoted), "a message that quotes the spec");
    }

    #[test]
    fn a_blocked_address_is_known_by_its_words() {
        for text in [
            "Source IP address: 192.0.2.7 is blocked by Databricks IP ACL for workspace: 7474646471015793",
            "Source IP address 192.0.2.7 is blocked by Databricks IP ACL",
            "Access denied by the account's IP access list",
        ] {
            assert!(address(403, text) && address(401, text) && !address(400, text), "{text}");
        }
        let guard = "Your current IP 192.0.2.7 will not be allowed to access the workspace under current configuration";
        assert!(!address(403, guard) && !address(403, "Only admins may read IP access lists"));
        assert!(!address(403, "User is not authorized to manage IP access lists"), "a lack of rights");
    }
}
