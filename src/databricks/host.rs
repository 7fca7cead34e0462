//! Which hosts may get a client secret, a token or a signed assertion, and how a host may be written.
//!
//! The text comes from a custom resource, so it is hostile until proven otherwise. It is not repaired: the few forms that
//! have one meaning are recognised and the address is built from the recognised parts, so no difference between two URL
//! parsers can matter.

use std::fmt;
use std::net::Ipv4Addr;

/// Account and workspace hosts of Databricks on Google Cloud: anything below this name.
const ON_GOOGLE: &str = "gcp.databricks.com";

/// The same on all clouds.
const SUFFIXES: [&str; 6] = [
    "cloud.databricks.com",
    "cloud.databricks.us",
    "azuredatabricks.net",
    "databricks.azure.us",
    "databricks.azure.cn",
    ON_GOOGLE,
];

/// Where Google exchanges what a service account signed for tokens.
const GOOGLE_TOKENS: &str = "oauth2.googleapis.com";

/// The metadata server of each machine and pod of Google Cloud, over plain HTTP. Its address is fixed too, so that no name server can
/// put another one in its place.
const METADATA: (&str, Ipv4Addr) = ("metadata.google.internal", Ipv4Addr::new(169, 254, 169, 254));

const ADVICE: &str = "write it like `https://accounts.cloud.databricks.com`";

/// What the user that runs the operator allows beyond the hosts of Databricks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPolicy {
    /// Additional DNS names: the name itself and everything below it. A leading dot is ignored, as are empty entries.
    pub extra_suffixes: Vec<String>,
    /// Also allow `http://127.0.0.1:PORT`, `http://localhost:PORT`, `http://[::1]:PORT` and `http://NAME.localhost:PORT`, which is
    /// always this machine: for tests only.
    pub allow_loopback_http: bool,
}

/// A checked host: scheme, name and, for loopback, port. Only the functions here create one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    origin: String,
    loopback: bool,
}

/// Why a text is not a host that credentials may be sent to, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("host \"{text}\" is not allowed: {why}; {ADVICE}")]
pub struct HostNotAllowed {
    /// The beginning of the text, control characters escaped.
    text: String,
    why: &'static str,
}

impl Host {
    /// Reads `text` (scheme optional, one trailing `/` and port 443 accepted, letters of any case).
    ///
    /// # Errors
    /// When it is anything but a DNS name below an allowed suffix, written plainly.
    pub fn parse(text: &str, policy: &HostPolicy) -> Result<Host, HostNotAllowed> {
        let known = |name: &str| SUFFIXES.iter().any(|suffix| is_below(name, suffix));
        let other = "it is neither a Databricks host nor one that the operator's settings allow";
        read(text, policy, known, other).map_err(|why| HostNotAllowed { text: excerpt(text), why })
    }

    /// The same for the token endpoint that the key of a Google service account names. No host of Databricks is one, nor one that the
    /// operator's user allows: a key is input of those who write Secrets.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub(super) fn of_google_tokens(text: &str, policy: &HostPolicy) -> Result<Host, &'static str> {
        let policy = HostPolicy { extra_suffixes: vec![], ..policy.clone() };
        read(text, &policy, |name| name == GOOGLE_TOKENS, "it is not Google's")
    }

    /// The origin, such as `https://accounts.cloud.databricks.com`: never a trailing `/`.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    /// Whether a host of Databricks is on Google Cloud, by its name. `None` for one that only the operator's user allows.
    pub fn on_google(&self) -> Option<bool> {
        let name = self.origin.strip_prefix("https://")?;
        let known = SUFFIXES.iter().any(|suffix| is_below(name, suffix));
        known.then(|| is_below(name, ON_GOOGLE))
    }

    /// Whether an access token of Google may be sent there: to hosts of Databricks on Google Cloud, and to this machine for tests. A host
    /// that the operator's user allows beside those of Databricks gets none, as the token opens a project and not only Databricks.
    pub fn takes_google_tokens(&self) -> bool {
        self.loopback || self.on_google() == Some(true)
    }

    /// The metadata server of Google Cloud, which issues tokens for the account of this host. Its address is no input of a user; an account
    /// that a test simulates on this machine simulates it too.
    pub(super) fn google_metadata(&self) -> Host {
        match self.loopback {
            true => self.clone(),
            false => Host { origin: format!("http://{}", METADATA.0), loopback: false },
        }
    }

    /// A name that needs no DNS, and its address: names below `localhost` are this machine (RFC 6761).
    pub(super) fn fixed_address(&self) -> Option<(&str, Ipv4Addr)> {
        let rest = self.origin.strip_prefix("http://")?;
        if rest == METADATA.0 {
            return Some(METADATA);
        }
        let (name, _) = rest.rsplit_once(':')?;
        name.ends_with(".localhost").then_some((name, Ipv4Addr::LOCALHOST))
    }

    /// The host of a workspace's deployment, where that of the account is on this machine.
    pub(super) fn on_this_machine(&self, deployment: &str) -> Option<String> {
        let (_, port) = self.origin.rsplit_once(':').filter(|_| self.loopback)?;
        Some(format!("http://{deployment}.localhost:{port}"))
    }

    /// Whether this is plain HTTP: to this very machine, or to the metadata server beside it.
    pub(super) fn is_plain_http(&self) -> bool {
        self.origin.starts_with("http://")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

/// The account host of a cloud: `AWS`, `Azure` or `GCP` (the commercial regions; others must be written out).
pub fn default_host(cloud: &str) -> Option<&'static str> {
    match cloud {
        "AWS" => Some("https://accounts.cloud.databricks.com"),
        "Azure" => Some("https://accounts.azuredatabricks.net"),
        "GCP" => Some("https://accounts.gcp.databricks.com"),
        _ => None,
    }
}

/// The address of a workspace: as the API returns it, else the name of its deployment in place of the first label of the account's
/// host. It is no more than text: only [`Host::parse`] says whether something may be sent there.
pub fn workspace_url(account_host: &str, returned: Option<&str>, deployment: Option<&str>) -> Option<String> {
    if let Some(url) = returned.filter(|url| !url.is_empty()) {
        return Some(if url.contains("://") { url.into() } else { format!("https://{url}") });
    }
    let (label, zone) = account_host.strip_prefix("https://")?.split_once('.')?;
    let name = deployment.filter(|_| ["accounts", "accounts-dod"].contains(&label))?;
    Some(format!("https://{name}.{zone}"))
}

/// Reads a host that `known` accepts, or the policy; `other` says of another one why it is not allowed.
fn read(
    text: &str,
    policy: &HostPolicy,
    known: impl Fn(&str) -> bool,
    other: &'static str,
) -> Result<Host, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if !text.is_ascii() {
        return Err("it has characters outside ASCII");
    }
    let text = text.to_ascii_lowercase();
    if let Some(rest) = text.strip_prefix("http://") {
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        return match policy.allow_loopback_http && is_loopback(rest) {
            true => Ok(Host { origin: format!("http://{rest}"), loopback: true }),
            false => Err("it must be https"),
        };
    }
    let rest = text.strip_prefix("https://").unwrap_or(&text);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let name = rest.strip_suffix(":443").unwrap_or(rest);
    check_name(name)?;
    if !known(name) && !policy.allows(name) {
        return Err(other);
    }
    Ok(Host { origin: format!("https://{name}"), loopback: false })
}

impl HostPolicy {
    fn allows(&self, name: &str) -> bool {
        let suffixes = self.extra_suffixes.iter().map(|s| s.trim_matches('.').to_ascii_lowercase());
        suffixes.filter(|s| !s.is_empty()).any(|suffix| name == suffix || is_below(name, &suffix))
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
}

fn is_loopback(address: &str) -> bool {
    let Some((name, port)) = address.rsplit_once(':') else { return false };
    let plain = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    let below = name.strip_suffix(".localhost").is_some_and(is_label);
    (["127.0.0.1", "localhost", "[::1]"].contains(&name) || below) && plain && port.parse::<u16>().is_ok()
}

/// A DNS name in its one plain form; the reasons are ordered so that the most specific one is returned.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.contains(['/', '\\']) {
        return Err("it must be a host name without a path or another scheme");
    }
    if name.contains('@') {
        return Err("it must not contain a user name");
    }
    if name.contains(['?', '#']) {
        return Err("it must not contain a query or a fragment");
    }
    if name.contains([':', '[', ']']) {
        return Err("it must be a name on port 443, not an address and not on another port");
    }
    if name.len() > 253 {
        return Err("it is longer than a host name can be");
    }
    if !name.split('.').all(is_label) {
        return Err("it is not a plain DNS name (labels of letters, digits and `-`, joined by single dots)");
    }
    // RFC 3696: no top-level name starts with a digit, but each way to write an IPv4 address ends in such a label.
    if name.rsplit('.').next().is_none_or(|last| last.starts_with(|c: char| c.is_ascii_digit())) {
        return Err("it must be a name, not an IP address");
    }
    Ok(())
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
        // An internationalised name may imitate one of ours; Databricks has none.
        && !label.starts_with("xn--")
}

fn excerpt(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).take(100).collect()
}

#[cfg(test)]
mod tests;
