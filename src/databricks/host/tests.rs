//! The hosts that credentials may go to, as tables.

use super::*;

fn strict() -> HostPolicy {
    HostPolicy::default()
}

fn loose() -> HostPolicy {
    HostPolicy {
        extra_suffixes: vec![".proxy.example".into(), "".into(), ".".into(), "Corp.Example".into()],
        allow_loopback_http: true,
    }
}

#[test]
fn hosts_of_databricks_are_taken_in_any_plain_spelling() {
    for (text, origin) in [
        ("https://accounts.cloud.databricks.com", "https://accounts.cloud.databricks.com"),
        ("accounts.cloud.databricks.com", "https://accounts.cloud.databricks.com"),
        ("https://accounts.cloud.databricks.com/", "https://accounts.cloud.databricks.com"),
        ("https://accounts.cloud.databricks.com:443", "https://accounts.cloud.databricks.com"),
        ("HTTPS://Accounts.Cloud.Databricks.COM:443/", "https://accounts.cloud.databricks.com"),
        ("accounts-dod.cloud.databricks.us", "https://accounts-dod.cloud.databricks.us"),
        ("accounts.azuredatabricks.net", "https://accounts.azuredatabricks.net"),
        ("adb-123.4.azuredatabricks.net", "https://adb-123.4.azuredatabricks.net"),
        ("accounts.databricks.azure.us", "https://accounts.databricks.azure.us"),
        ("accounts.databricks.azure.cn", "https://accounts.databricks.azure.cn"),
        ("accounts.gcp.databricks.com", "https://accounts.gcp.databricks.com"),
    ] {
        let host = Host::parse(text, &strict()).unwrap();
        assert_eq!(host.as_str(), origin, "{text}");
        assert!(!host.is_plain_http());
    }
    for cloud in ["AWS", "Azure", "GCP"] {
        Host::parse(default_host(cloud).unwrap(), &strict()).unwrap();
    }
    assert_eq!(default_host("aws"), None);
}

#[test]
fn the_operator_may_allow_more() {
    for (text, origin) in [
        ("a.proxy.example", "https://a.proxy.example"),
        ("proxy.example", "https://proxy.example"),
        ("a.b.corp.example", "https://a.b.corp.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:1/", "http://localhost:1"),
        ("http://[::1]:65535", "http://[::1]:65535"),
        ("http://acme-1.localhost:80", "http://acme-1.localhost:80"),
    ] {
        assert_eq!(Host::parse(text, &loose()).unwrap().as_str(), origin);
        Host::parse(text, &strict()).unwrap_err();
    }
}

/// Covers SE-04. The token opens a project of Google Cloud, so no other cloud and no host of a flag gets it.
#[test]
fn an_access_token_of_google_is_for_hosts_on_google_cloud() {
    for (text, on_google, takes) in [
        ("accounts.gcp.databricks.com", Some(true), true),
        ("https://1234567890123456.7.GCP.databricks.com/", Some(true), true),
        ("accounts.cloud.databricks.com", Some(false), false),
        ("gcp.databricks.com.cloud.databricks.com", Some(false), false),
        ("accounts.azuredatabricks.net", Some(false), false),
        ("gcp.databricks.com.proxy.example", None, false),
        ("a.proxy.example", None, false),
        ("http://127.0.0.1:8080", None, true),
        ("http://acme.localhost:8080", None, true),
    ] {
        let host = Host::parse(text, &loose()).unwrap();
        assert_eq!((host.on_google(), host.takes_google_tokens()), (on_google, takes), "{text}");
    }
}

/// Covers SE-04. No field and no name server says where the metadata server is.
#[test]
fn the_metadata_server_has_one_address() {
    let account = Host::parse("accounts.gcp.databricks.com", &strict()).unwrap();
    let metadata = account.google_metadata();
    assert_eq!(metadata.as_str(), "http://metadata.google.internal");
    assert_eq!(metadata.fixed_address(), Some(("metadata.google.internal", [169, 254, 169, 254].into())));
    assert!(metadata.is_plain_http() && !metadata.takes_google_tokens());
    let custom = Host::parse("a.proxy.example", &loose()).unwrap();
    assert_eq!((custom.google_metadata(), custom.fixed_address()), (metadata, None));
    for text in ["http://metadata.google.internal", "metadata.google.internal", "http://169.254.169.254:80"] {
        for policy in [strict(), loose()] {
            Host::parse(text, &policy).unwrap_err();
        }
    }
    let test = Host::parse("http://acme.localhost:8080", &loose()).unwrap();
    assert_eq!(test.google_metadata(), test);
    assert_eq!(test.fixed_address(), Some(("acme.localhost", [127, 0, 0, 1].into())));
}

/// Refused whatever the operator allows.
const HOSTILE: &[&str] = &[
    "",
    " ",
    "/",
    "https://",
    "https:///",
    "https",
    "com",
    "databricks.com",
    "cloud.databricks.com",
    ".cloud.databricks.com",
    "https://.cloud.databricks.com",
    "evil.example",
    "https://evil.example",
    "evilcloud.databricks.com",
    "accounts.cloud.databricks.com.evil.example",
    "accounts.cloud.databricks.co",
    "accounts.cloud.databricks.comm",
    "accounts.evil-databricks.com",
    "xcorp.example",
    "xproxy.example",
    "http://accounts.cloud.databricks.com",
    "http://accounts.cloud.databricks.com:443",
    "ftp://accounts.cloud.databricks.com",
    "file:///etc/passwd",
    "//accounts.cloud.databricks.com",
    "https:accounts.cloud.databricks.com",
    "https:/accounts.cloud.databricks.com",
    "https:\\\\accounts.cloud.databricks.com",
    "https://https://accounts.cloud.databricks.com",
    "https://user@accounts.cloud.databricks.com",
    "https://user:pass@accounts.cloud.databricks.com",
    "https://accounts.cloud.databricks.com@evil.example",
    "https://evil.example#@accounts.cloud.databricks.com",
    "https://evil.example#.cloud.databricks.com",
    "https://evil.example?.cloud.databricks.com",
    "https://evil.example/.cloud.databricks.com",
    "https://evil.example\\.cloud.databricks.com",
    "https://evil.example\\@accounts.cloud.databricks.com",
    "https://evil.example%2f.cloud.databricks.com",
    "https://evil.example%00.cloud.databricks.com",
    "https://evil.example;.cloud.databricks.com",
    "https://evil.example .cloud.databricks.com",
    "https://evil.example\t.cloud.databricks.com",
    "https://evil.example\n.cloud.databricks.com",
    "https://evil.example\0.cloud.databricks.com",
    "https://accounts.cloud.databricks.com\n",
    " https://accounts.cloud.databricks.com",
    "https://accounts.cloud.databricks.com ",
    "https://accounts.cloud.databricks.com.",
    "https://accounts.cloud.databricks.com./",
    "https://accounts..cloud.databricks.com",
    "https://accounts.cloud.databricks.com//",
    "https://accounts.cloud.databricks.com/api",
    "https://accounts.cloud.databricks.com?x",
    "https://accounts.cloud.databricks.com#x",
    "https://accounts.cloud.databricks.com:80",
    "https://accounts.cloud.databricks.com:8443",
    "https://accounts.cloud.databricks.com:0443",
    "https://accounts.cloud.databricks.com:443:443",
    "https://accounts.cloud.databricks.com:",
    "https://accounts%2ecloud.databricks.com",
    "https://accounts.cloud.databricks%2ecom",
    "https://-a.cloud.databricks.com",
    "https://a-.cloud.databricks.com",
    "https://a_b.cloud.databricks.com",
    "https://*.cloud.databricks.com",
    "https://xn--80ak6aa92e.cloud.databricks.com",
    "https://аccounts.cloud.databricks.com",
    "https://accounts。cloud.databricks.com",
    "https://accounts.cloud.databricks.com\u{202e}",
    "https://127.0.0.1",
    "https://localhost",
    "https://169.254.169.254",
    "https://2130706433",
    "https://0x7f.1",
    "https://0177.0.0.1",
    "https://[::1]",
    "https://[::ffff:127.0.0.1]",
    "https://[::1%25eth0]:443",
    "http://127.0.0.1",
    "http://127.0.0.1:",
    "http://127.0.0.1:0",
    "http://127.0.0.1:65536",
    "http://127.0.0.1:+80",
    "http://127.0.0.1:80/x",
    "http://127.0.0.2:80",
    "http://127.1:80",
    "http://0.0.0.0:80",
    "http://2130706433:80",
    "http://[::]:80",
    "http://[0:0:0:0:0:0:0:1]:80",
    "http://localhost.:80",
    "http://localhost.evil.example:80",
    "http://acme.localhost.:80",
    "http://a.acme.localhost:80",
    "http://.localhost:80",
    "http://acme.localhost",
    "http://evil.example/acme.localhost:80",
    "http://evil.example#.localhost:80",
    "http://acmelocalhost:80",
    "http://127.0.0.1:80@evil.example",
    "http://evil.example@127.0.0.1:80",
    "http://evil.example#127.0.0.1:80",
    "http://a.proxy.example:80",
];

#[test]
fn hostile_hosts_are_refused_with_a_reason_and_advice() {
    let long = format!("https://{}.cloud.databricks.com", "a".repeat(64));
    let longer = format!("https://{}cloud.databricks.com", "a.".repeat(200));
    for text in HOSTILE.iter().copied().chain([long.as_str(), longer.as_str()]) {
        for policy in [strict(), loose()] {
            let error = Host::parse(text, &policy).expect_err(text).to_string();
            assert!(error.contains("accounts.cloud.databricks.com`"), "{error}");
            assert!(!error.contains(char::is_control), "{error:?}");
            assert!(error.chars().count() < 300, "{error}");
        }
    }
}

#[test]
fn the_address_of_a_workspace_is_the_returned_one_or_derived_from_the_host_of_the_account() {
    let url = |host: &str, returned: Option<&str>| workspace_url(host, returned, Some("acme-w"));
    let account = "https://accounts.cloud.databricks.com";
    assert_eq!(url(account, None).as_deref(), Some("https://acme-w.cloud.databricks.com"));
    assert_eq!(
        url("https://accounts-dod.cloud.databricks.us", None).as_deref(),
        Some("https://acme-w.cloud.databricks.us")
    );
    assert_eq!(
        url(account, Some("adb-1.2.azuredatabricks.net")).as_deref(),
        Some("https://adb-1.2.azuredatabricks.net")
    );
    assert_eq!(url("http://127.0.0.1:8080", None), None);
    let local = Host::parse("http://127.0.0.1:8080", &loose()).unwrap();
    assert_eq!(local.on_this_machine("acme").as_deref(), Some("http://acme.localhost:8080"));
    assert_eq!(Host::parse(account, &strict()).unwrap().on_this_machine("acme"), None);
    // A name that is none is no part of another address.
    let hostile = workspace_url(account, None, Some("evil.example/x")).unwrap();
    Host::parse(&hostile, &strict()).unwrap_err();
}

#[test]
fn whatever_is_accepted_is_one_url_of_that_very_host() {
    let mut tried = 0;
    for text in HOSTILE {
        for prefix in ["", "a.", "a.cloud.databricks.com", "https://a.cloud.databricks.com"] {
            for policy in [strict(), loose()] {
                let Ok(host) = Host::parse(&format!("{prefix}{text}"), &policy) else { continue };
                let url = reqwest::Url::parse(host.as_str()).unwrap();
                assert_eq!(url.as_str(), format!("{host}/"));
                tried += 1;
            }
        }
    }
    assert!(tried > 10, "the table makes some valid hosts: {tried}");
}
