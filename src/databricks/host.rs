//! Which hosts may get a client secret or a token, and how a host may be written.
//!
//! The text comes from a custom resource, so it is hostile until proven otherwise. It is not repaired: the few forms that
//! have one meaning are recognised and the address is built from the recognised parts, so no difference between two URL
//! parsers can matter.

use std::fmt;

/// Account and workspace hosts of Databricks: anything below these names.
const SUFFIXES: [&str; 6] = [
    "cloud.databricks.com",
    "cloud.databricks.us",
    "azuredatabricks.net",
    "databricks.azure.us",
    "databricks.azure.cn",
    "gcp.databricks.com",
];

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

/// A checked host: scheme, name and, for loopback, port. Only [`Host::parse`] creates one.
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
        read(text, policy).map_err(|why| HostNotAllowed { text: excerpt(text), why })
    }

    /// The origin, such as `https://accounts.cloud.databricks.com`: never a trailing `/`.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    /// The name below `localhost`, which is this machine whatever DNS says (RFC 6761).
    pub(super) fn below_localhost(&self) -> Option<&str> {
        let (name, _) = self.origin.strip_prefix("http://").filter(|_| self.loopback)?.rsplit_once(':')?;
        name.ends_with(".localhost").then_some(name)
    }

    /// The host of a workspace's deployment, where that of the account is on this machine.
    pub(super) fn on_this_machine(&self, deployment: &str) -> Option<String> {
        let (_, port) = self.origin.rsplit_once(':').filter(|_| self.loopback)?;
        Some(format!("http://{deployment}.localhost:{port}"))
    }

    /// Whether this is plain HTTP to this very machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.loopback
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

fn read(text: &str, policy: &HostPolicy) -> Result<Host, &'static str> {
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
    if !SUFFIXES.iter().any(|suffix| is_below(name, suffix)) && !policy.allows(name) {
        return Err("it is neither a Databricks host nor one that the operator's settings allow");
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
