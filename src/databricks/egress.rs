//! Egress: which certificates are trusted in addition to the system's, and which proxy is used.
//!
//! Both are set by the user that runs the operator, never by a custom resource or the environment. They are set once for
//! both clients: the one of the API server uses them too, so that they cannot differ. Only https goes through the proxy, in
//! a tunnel (CONNECT) that ends at the checked host: the proxy sees names and amounts, no contents.

use std::net::IpAddr;

use hyper_util::client::proxy::matcher::Matcher;
use ipnet::IpNet;
use reqwest::{Certificate, ClientBuilder, Url};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};

/// The egress, the same for all connections. The default is the system's authorities and no proxy.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    /// Certificates of authorities that are trusted in addition to the system's.
    pub roots: Vec<CertificateDer<'static>>,
    /// The proxy for https, if there is one.
    pub proxy: Option<Proxy>,
}

impl Egress {
    /// An HTTP client for one origin (such as `https://10.0.0.1:443`), to be completed: it follows no redirect, and takes
    /// nothing from the environment.
    ///
    /// # Errors
    /// When the roots or the proxy cannot be used.
    pub fn http(&self, origin: &str) -> Result<ClientBuilder, reqwest::Error> {
        // reqwest panics without a provider. An existing one is no failure.
        _ = rustls::crypto::ring::default_provider().install_default();
        let roots = self.roots.iter().map(|root| Certificate::from_der(root));
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            // The default sends a request again if the server says that it did not process it; that is not proven.
            .retry(reqwest::retry::never())
            .tls_certs_merge(roots.collect::<Result<Vec<_>, _>>()?);
        match self.proxy.as_ref().and_then(|proxy| proxy.url_for(origin)) {
            Some(url) => Ok(http.proxy(reqwest::Proxy::https(url.expose_secret())?)),
            None => Ok(http),
        }
    }
}

/// The certificates of a PEM file, each of which can be that of an authority. Other sections are skipped.
///
/// # Errors
/// In words that fit after the file's name: when there is none, or one of them is damaged.
pub fn roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut store = RootCertStore::empty();
    let mut found = vec![];
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let number = found.len() + 1;
        let certificate =
            certificate.map_err(|e| format!("its certificate {number} cannot be read as PEM: {e}"))?;
        store
            .add(certificate.clone())
            .map_err(|e| format!("its certificate {number} cannot be used: {e}"))?;
        found.push(certificate);
    }
    match found.is_empty() {
        true => Err("it has no certificate in PEM form (-----BEGIN CERTIFICATE-----)".to_owned()),
        false => Ok(found),
    }
}

/// A proxy, and what does not go through it.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// With user and password, if it needs them.
    url: SecretString,
    /// What goes directly, as the matcher reads it: joined by commas.
    direct: String,
}

impl Proxy {
    /// Reads the proxy's address.
    ///
    /// # Errors
    /// In words that do not repeat the address, as it may hold a password.
    pub fn parse(url: &SecretString) -> Result<Proxy, String> {
        let advice = "write it like http://proxy.example.com:3128, with user:password@ before the name if it needs them";
        let read = Url::parse(url.expose_secret()).map_err(|e| format!("{e}; {advice}"))?;
        if read.scheme() != "http" {
            return Err(format!("it does not begin with http://; {advice}"));
        }
        if read.path() != "/" || read.query().is_some() || read.fragment().is_some() {
            return Err(format!("it has a path or a query; {advice}"));
        }
        let proxy = Proxy { url: SecretString::from(read.to_string()), direct: String::new() };
        // The clients read it by the rules of another parser.
        match proxy.url_for("https://any.example.com") {
            Some(_) => Ok(proxy),
            None => Err(format!("it is no address; {advice}")),
        }
    }

    /// Exempts these from the proxy: a name (and all below it; a leading dot or `*.` makes no difference), an address, a
    /// network such as `10.0.0.0/8`, or `*` for all. Names are not resolved to find their network. Empty entries are
    /// skipped.
    ///
    /// # Errors
    /// The entry that is none of these: it would match nothing, without notice.
    pub fn except(mut self, entries: &[String]) -> Result<Proxy, String> {
        for entry in entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()) {
            let name = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let known = name == "*" || name.parse::<IpNet>().is_ok() || name.parse::<IpAddr>().is_ok();
            if !known && !name.chars().all(plain) {
                return Err(format!(
                    "{entry:?} is neither a name, an address, a network such as 10.0.0.0/8, nor *; ports cannot be given"
                ));
            }
            self.direct = self.direct + name + ",";
        }
        Ok(self)
    }

    /// The proxy's address, with its password, for connections to this origin (such as `https://10.0.0.1:443`). `None` if
    /// they go directly.
    pub fn url_for(&self, origin: &str) -> Option<&SecretString> {
        let matcher = Matcher::builder().https(self.url.expose_secret()).no(&self.direct).build();
        let through = origin.parse().is_ok_and(|uri| matcher.intercept(&uri).is_some());
        through.then_some(&self.url)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn proxy(direct: &str) -> Proxy {
        let entries: Vec<String> = direct.split(',').map(str::to_owned).collect();
        let proxy = Proxy::parse(&"http://user:hunter2@proxy.example.com:3128".into()).unwrap();
        proxy.except(&entries).unwrap()
    }

    #[test]
    fn only_https_goes_through_the_proxy() {
        let proxy = proxy("");
        let url = proxy.url_for("https://accounts.cloud.databricks.com").unwrap();
        assert_eq!(url.expose_secret(), "http://user:hunter2@proxy.example.com:3128/");
        assert!(proxy.url_for("https://10.96.0.1:443/").is_some());
        assert!(proxy.url_for("http://127.0.0.1:18080").is_none());
    }

    #[test]
    fn what_is_named_goes_directly() {
        for (direct, origin, directly) in [
            ("10.96.0.1", "https://10.96.0.1:443/", true),
            ("10.96.0.1", "https://10.96.0.2:443/", false),
            ("192.168.0.0/16, 10.0.0.0/8", "https://10.96.0.1/", true),
            ("10.0.0.0/8", "https://11.0.0.1/", false),
            ("fd00::/8", "https://[fd00::1]:6443/", true),
            ("svc", "https://kubernetes.default.svc/", true),
            (".svc", "https://kubernetes.default.svc:443/", true),
            ("*.svc", "https://kubernetes.default.svc", true),
            (".SVC,", "https://Kubernetes.default.svc", true),
            ("vc", "https://kubernetes.default.svc", false),
            ("default.svc", "https://svc", false),
            ("*", "https://accounts.cloud.databricks.com", true),
            // A name is not resolved to see whether it is in a network.
            ("127.0.0.0/8", "https://localhost", false),
        ] {
            assert_eq!(proxy(direct).url_for(origin).is_none(), directly, "{direct} {origin}");
        }
    }

    #[test]
    fn entries_that_would_match_nothing_are_refused() {
        for entry in ["10.0.0.0/33", "kubernetes.default.svc:443", "https://name", "a b", "*a", "a.*"] {
            let proxy = Proxy::parse(&"http://proxy".into()).unwrap();
            let error = proxy.except(&[entry.to_owned()]).unwrap_err();
            assert!(error.contains(entry), "{error}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_meant_is_refused_and_not_repeated() {
        for url in [
            "",
            "proxy-word",
            "proxy.word:3128",
            "socks5://user:hunter2@proxy",
            "https://user:hunter2@proxy",
            "http://",
            "http://user:hunter2@",
            "http://user:hunter2@proxy/path",
            "http://user:hunter2@proxy?query",
            "http://user:hunter2@proxy:99999",
            "http://user:hunter2@pro xy",
        ] {
            let error = Proxy::parse(&url.into()).map(|_| url).unwrap_err();
            assert!(error.contains("http://proxy.example.com:3128") && !error.contains("hunter2"), "{error}");
        }
        let shown = format!("{:?}", proxy("svc"));
        assert!(shown.contains("svc") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_file_without_a_usable_certificate_says_so() {
        for (pem, says) in [
            ("", "no certificate"),
            ("garbage\n", "no certificate"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "certificate 1"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1"),
        ] {
            let error = roots(pem.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{pem:?}: {error}");
        }
    }
}
