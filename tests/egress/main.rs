//! The way out: `--ca-bundle`, `--https-proxy` and `--no-proxy` reach both clients, that of the API server and that of
//! Databricks, and nothing of the environment does. The operator is the built program; the servers are real.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod middle;
mod stage;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use stage::{HOST, Stage};
use world::Operator;

const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");

/// The account as the proxy is asked for it.
fn account() -> String {
    format!("{HOST}:443")
}

/// Waits until an operator has signed in to the account, and ends it. Returns its log.
async fn signs_in(stage: &Stage, binary: &Path, kubeconfig: &Path, flags: &[String]) -> String {
    stage.account.clear_journal();
    let operator = Operator::start_with(binary, kubeconfig, &stage.cluster.dir, flags, &[]).await.unwrap();
    let signed_in = world::eventually("the operator signs in", stage::SOON, async || {
        match stage.account.journal().iter().any(|call| call.class == "token" && call.status == Some(200)) {
            true => Ok(()),
            false => Err(operator.tail(5)),
        }
    });
    signed_in.await.unwrap();
    stage.wait_auth("True", "").await;
    let log = operator.text();
    operator.kill().unwrap();
    log
}

#[test]
fn what_cannot_be_used_is_one_line_that_names_flag_and_file() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        format!("--ca-bundle={}", dir.path().join(name).display())
    };
    let begin = "-----BEGIN CERTIFICATE-----\n";
    for (flags, says) in [
        (
            &["--ca-bundle=/no/such/file"][..],
            &["--ca-bundle /no/such/file cannot be used", "No such file"][..],
        ),
        (&[&format!("--ca-bundle={}", dir.path().display())], &["--ca-bundle", "is not a file"]),
        (&[&file("empty.pem", "")], &["--ca-bundle", "empty.pem", "no certificate"]),
        (&[&file("garbage.pem", "\u{0}garbage")], &["--ca-bundle", "garbage.pem", "no certificate"]),
        (&[&file("cut.pem", &format!("{begin}AAAA"))], &["--ca-bundle", "cut.pem", "certificate 1"]),
        (&["--https-proxy=socks5://user:hunter2@proxy"], &["--https-proxy cannot be used", "http://"]),
        (&["--https-proxy=http://user:hunter2@"], &["--https-proxy cannot be used"]),
        (
            &["--https-proxy=http://user:hunter2@p", "--no-proxy=svc,10.0.0.0/33"],
            &["--no-proxy", "\"10.0.0.0/33\""],
        ),
    ] {
        let mut command = Command::new(BINARY);
        command.args(["run", "--health-address=127.0.0.1:0"]).args(flags).env_clear();
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{flags:?}: {text}");
        assert!(text.starts_with("databricks-operator: ") && !text.contains("hunter2"), "{flags:?}: {text}");
        says.iter().for_each(|part| assert!(text.contains(part), "{part:?} is not in: {text}"));
    }
}

/// A program that runs the operator with these variables.
fn with_environment(stage: &Stage, variables: &str) -> PathBuf {
    let text = format!("#!/bin/sh\nexport {variables}\nexec '{BINARY}' \"$@\"\n");
    let path = stage.file("with-environment", &text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A company's own authority in front of the account, and the API server's own: each is refused until it is in the bundle.
#[tokio::test]
async fn the_ca_bundle_reaches_both_clients() {
    let stage = Stage::start("egress-ca", BINARY).await;
    let proxy = stage.proxy().await;
    let url = format!("http://{}", proxy.address);
    let company = stage.file("company.pem", &stage.authority.pem());
    let company = company.to_str().unwrap();
    let both =
        stage.file("both.pem", &format!("{}\n# and\n{}", stage.authority.pem(), stage.api_servers_ca()));
    let both = both.to_str().unwrap();

    let flags = stage.flags(&[("https-proxy", &url)]);
    let operator = Operator::start(Path::new(BINARY), &stage.cluster, &flags).await.unwrap();
    stage.wait_auth("False", "certificate").await;
    assert_eq!(stage.account.journal().len(), 0, "something was sent to a host without a good certificate");
    drop(operator);

    // The kubeconfig's own authority is still good.
    let flags = stage.flags(&[("https-proxy", &url), ("ca-bundle", company)]);
    signs_in(&stage, Path::new(BINARY), stage.cluster.kubeconfig(), &flags).await;

    let text = fs::read_to_string(stage.cluster.kubeconfig()).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("certificate-authority")).collect();
    assert_eq!(without.len() + 1, text.lines().count(), "the kubeconfig has one authority: {text}");
    let without = stage.file("kubeconfig-without-authority", &without.join("\n"));
    let dir = &stage.cluster.dir;
    let refused = Operator::start_with(Path::new(BINARY), &without, dir, &flags, &[]).await;
    let error = refused.map(drop).unwrap_err().to_string();
    assert!(error.contains("the API server cannot be used") && error.contains("certificate"), "{error}");
    let in_the_bundle = stage.flags(&[("https-proxy", &url), ("ca-bundle", both)]);
    signs_in(&stage, Path::new(BINARY), &without, &in_the_bundle).await;
    // What the system trusts is good beside the bundle, as it would be without one.
    let ca = stage.cluster.control_plane.ca().display();
    let system = with_environment(&stage, &format!("SSL_CERT_FILE='{ca}'"));
    signs_in(&stage, &system, &without, &flags).await;
}

#[tokio::test]
async fn both_clients_go_through_the_proxy_that_the_flag_names_and_no_other() {
    let stage = Stage::start("egress-proxy", BINARY).await;
    let bundle = stage.file("company.pem", &stage.authority.pem());
    let bundle = bundle.to_str().unwrap();
    let (kubeconfig, binary) = (stage.cluster.kubeconfig(), Path::new(BINARY));

    // That of the environment is not asked, so there is nobody who knows the account's name.
    let others = stage.proxy().await;
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let variables = names.map(|name| format!("{name}=http://{}", others.address)).join(" ");
    let disturbed = with_environment(&stage, &variables);
    let flags = stage.flags(&[("ca-bundle", bundle)]);
    let operator = Operator::start(&disturbed, &stage.cluster, &flags).await.unwrap();
    stage.wait_auth("False", "lookup").await;
    drop(operator);
    assert_eq!(others.asked(), []);

    let proxy = stage.proxy().await;
    let url = format!("http://user:pass%2Fword@{}", proxy.address);
    let flags = stage.flags(&[("ca-bundle", bundle), ("https-proxy", &url), ("log", "trace")]);
    let log = signs_in(&stage, binary, kubeconfig, &flags).await;
    assert!(proxy.tunnels(&account()) > 0, "{:?}", proxy.asked());
    assert!(proxy.tunnels(stage.api_server()) > 0, "{:?}", proxy.asked());
    for asked in proxy.asked() {
        // user:pass/word
        assert_eq!(asked.authorization.as_deref(), Some("Basic dXNlcjpwYXNzL3dvcmQ="), "{asked:?}");
        assert!(
            [account(), stage.api_server().into()].map(|to| format!("CONNECT {to}")).contains(&asked.line)
        );
    }
    for secret in ["pass%2Fword", "pass/word", "dXNlcjpwYXNzL3dvcmQ"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }

    // What is named goes directly; here it is the API server, as in most clusters.
    let proxy = stage.proxy().await;
    let url = format!("http://{}", proxy.address);
    let direct = [("ca-bundle", bundle), ("https-proxy", &url), ("no-proxy", "svc,127.0.0.0/8")];
    signs_in(&stage, binary, kubeconfig, &stage.flags(&direct)).await;
    assert!(proxy.tunnels(&account()) > 0, "{:?}", proxy.asked());
    assert_eq!(proxy.tunnels(stage.api_server()), 0, "{:?}", proxy.asked());

    // Beside the flag's, the environment's is not asked, and what it excepts is not excepted.
    let disturbed = with_environment(&stage, &format!("{variables} NO_PROXY='*' no_proxy='*'"));
    let through = [("ca-bundle", bundle), ("https-proxy", &url)];
    signs_in(&stage, &disturbed, kubeconfig, &stage.flags(&through)).await;
    assert!(proxy.tunnels(stage.api_server()) > 0, "{:?}", proxy.asked());
    assert_eq!(others.asked(), []);
}

#[tokio::test]
async fn a_kubeconfig_may_name_a_proxy_and_may_not_waive_the_check_of_certificates() {
    let stage = Stage::start("egress-kubeconfig", BINARY).await;
    let proxy = stage.proxy().await;
    let text = fs::read_to_string(stage.cluster.kubeconfig()).unwrap();
    let with = |url: &str| {
        let line = format!("      proxy-url: {url}\n      server: ");
        stage.file("kubeconfig-with-proxy", &text.replace("      server: ", &line))
    };
    let dir = &stage.cluster.dir;
    let through = with(&format!("http://{}", proxy.address));
    let operator =
        Operator::start_with(Path::new(BINARY), &through, dir, &stage.flags(&[]), &[]).await.unwrap();
    drop(operator);
    assert!(proxy.tunnels(stage.api_server()) > 0, "{:?}", proxy.asked());
    assert_eq!(proxy.tunnels(&account()), 0, "it is for the API server alone");
    let bare = text.lines().map(|line| match line.contains("certificate-authority") {
        true => "      insecure-skip-tls-verify: true",
        false => line,
    });
    let bare = stage.file("kubeconfig-without-check", &bare.collect::<Vec<_>>().join("\n"));
    let refused = Operator::start_with(Path::new(BINARY), &bare, dir, &stage.flags(&[]), &[]).await;
    let error = refused.map(drop).unwrap_err().to_string();
    assert!(error.contains("insecure-skip-tls-verify") && error.contains("--ca-bundle"), "{error}");
    let unusable = with("socks5://user:hunter2@127.0.0.1:1");
    let refused = Operator::start_with(Path::new(BINARY), &unusable, dir, &stage.flags(&[]), &[]).await;
    let error = refused.map(drop).unwrap_err().to_string();
    assert!(error.contains("proxy-url") && !error.contains("hunter2"), "{error}");
}
