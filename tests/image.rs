//! The image, without a container engine: the Dockerfile says what it should, its stage `build` is run as it stands there,
//! and what its last stage copies is run in an empty root, with the files that a kubelet adds and no others.
//!
//! Compiles the operator with the cheap profile `image-test`, in `target/image`; `IMAGE_PROFILE=release` takes the real one. Not
//! shown here: the stages with tools (`apt-get`), and the platform that is not this machine's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

#[path = "image/dns.rs"]
mod dns;
#[path = "image/dockerfile.rs"]
mod dockerfile;
#[allow(dead_code, reason = "shared with tests/egress")]
#[path = "egress/middle.rs"]
mod middle;
#[allow(dead_code, reason = "shared with tests/egress")]
#[path = "egress/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dockerfile::{Dockerfile, files};
use stage::{HOST, Stage};
use world::Operator;

const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");
/// Where the files of a ServiceAccount are in a pod.
const ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";
/// What the last stage is to hold.
const CONTENTS: [&str; 2] = ["databricks-operator", "etc/ssl/certs/ca-certificates.crt"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_dockerfile_keeps_its_promises() {
    let dockerfile = Dockerfile::read(repository());
    for (from, stage) in dockerfile.bases("amd64").iter().chain(&dockerfile.bases("arm64")) {
        let known = from == "scratch" || dockerfile.stages.iter().any(|other| other.name == *from);
        let digest = from.split_once("@sha256:").map_or("", |(_, digest)| digest);
        let pinned = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(known || pinned, "stage {stage:?} is from {from}, which is no digest");
    }
    let compiler = format!("rust:{}", env!("CARGO_PKG_RUST_VERSION"));
    assert!(dockerfile.bases("amd64").iter().any(|(from, _)| from.starts_with(&compiler)), "not {compiler}");

    let last = dockerfile.stages.last().unwrap();
    assert_eq!(last.from, "scratch");
    assert_eq!(last.all("RUN"), [""; 0], "there is no shell");
    // Kubernetes refuses `runAsNonRoot` for a user that is a name.
    assert_eq!(last.all("USER"), ["65532:65532"]);
    assert_eq!(last.all("ENTRYPOINT"), ["[\"/databricks-operator\"]"]);
    assert_eq!(last.all("CMD"), ["[\"run\"]"]);
    let into: BTreeSet<&str> = last.all("COPY").iter().filter_map(|copy| copy.rsplit(" /").next()).collect();
    assert_eq!(into, BTreeSet::from(CONTENTS));
    let labels = dockerfile::pairs(&last.all("LABEL").join(" "));
    for (name, value) in [
        ("title", env!("CARGO_PKG_NAME")),
        ("description", env!("CARGO_PKG_DESCRIPTION")),
        ("version", env!("CARGO_PKG_VERSION")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("revision", "${REVISION}"),
    ] {
        let label = (format!("org.opencontainers.image.{name}"), value.to_owned());
        assert!(labels.contains(&label), "{label:?} is not in {labels:?}");
    }

    let build = dockerfile.stage("build");
    let copied = build.all("COPY").into_iter().flat_map(dockerfile::sources).collect();
    let sent: BTreeSet<&str> = dockerfile.context.iter().map(String::as_str).collect();
    assert_eq!(sent, copied, "what is sent to the builder, and what it copies");
    let ours: Vec<&str> = sent.into_iter().filter(|path| !path.ends_with("Cargo.toml")).collect();
    assert_eq!(ours, ["Cargo.lock", "src"], "no source but that of the operator is in reach");
}

/// The command before the program's arguments that runs it in the root as the image's user would be, if this process may.
/// Its `/dev` is this machine's, as every container runtime gives one: a static program reads `/dev/urandom`.
fn in_root(root: &Path) -> Option<Vec<String>> {
    fs::create_dir(root.join("dev")).unwrap();
    let enter = |user| {
        format!("mount --rbind /dev \"$0/dev\" && exec chroot {user} \"$0\" /databricks-operator \"$@\"")
    };
    let (named, own) = (enter("--userspec=65532:65532"), enter(""));
    let ways = [
        vec!["unshare", "--mount", "sh", "-c", &named],
        // Without the right to become another user, it is this one, who is root in its own namespace alone.
        vec!["unshare", "--mount", "--user", "--map-root-user", "sh", "-c", &own],
    ];
    let ways = ways.map(|way| [way, vec![root.to_str().unwrap()]].concat());
    let works = |way: &&Vec<&str>| {
        let mut command = Command::new(way[0]);
        command.args(&way[1..]).arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ways.iter().find(works).map(|way| way.iter().map(|&word| word.to_owned()).collect())
}

/// What the kubelet adds for a pod: the ServiceAccount, names, and a ConfigMap with the company's authority. Gives the
/// names that the operator needs; without a right to serve DNS they are in the pod's hosts file too.
fn mount(root: &Path, stage: &Stage) -> Option<dns::Server> {
    let server = dns::Server::open("proxy.test");
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(&format!("{ACCOUNT}/token"), stage.cluster.control_plane.token());
    write(&format!("{ACCOUNT}/ca.crt"), &stage.api_servers_ca());
    write(&format!("{ACCOUNT}/namespace"), "default");
    write("etc/ca/company.pem", &stage.authority.pem());
    let also = if server.is_some() { "" } else { "127.0.0.1 proxy.test\n" };
    write("etc/hosts", &format!("127.0.0.1 kubernetes.default.svc\n{also}"));
    let search = "default.svc.cluster.local svc.cluster.local cluster.local";
    let resolver = server.as_ref().map_or("127.0.0.1".to_owned(), |server| server.address.to_string());
    write("etc/resolv.conf", &format!("search {search}\nnameserver {resolver}\noptions ndots:5\n"));
    server
}

/// A program that starts the operator in the root, with the environment of a pod.
fn launcher(stage: &Stage, way: &[String]) -> PathBuf {
    let (_, port) = stage.api_server().split_once(':').unwrap();
    let pod = format!("KUBERNETES_SERVICE_HOST=kubernetes.default.svc KUBERNETES_SERVICE_PORT={port}");
    let way: Vec<String> = way.iter().map(|word| format!("'{word}'")).collect();
    let way = way.join(" ");
    let text = format!("#!/bin/sh\nexec env -i PATH=\"$PATH\" {pod} {way} \"$@\"\n");
    let path = stage.file("launcher", &text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_image_holds_works_in_an_empty_root() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("image");
    let profile = std::env::var("IMAGE_PROFILE").unwrap_or_else(|_| "image-test".into());
    let (builder, image) = (root.join("builder"), root.join("root"));
    let (built, assembled) = (builder.clone(), image.clone());
    let work = tokio::task::spawn_blocking(move || {
        let dockerfile = Dockerfile::read(repository());
        dockerfile.build(&built, &profile);
        dockerfile.assemble(&built, &assembled);
    });
    work.await.unwrap();
    assert_eq!(files(&image), CONTENTS.map(PathBuf::from).into());
    let Some(way) = in_root(&image) else {
        let why = "neither chroot nor a user namespace is permitted here: the program was built, and not run in its root";
        // Past the test's capture: it is worth a line in every log.
        return writeln!(std::io::stderr(), "SKIPPED: {why}").unwrap();
    };

    let stage = Stage::start("image-cluster", BINARY).await;
    let dns = mount(&image, &stage);
    let before = files(&image);
    let proxy = stage.proxy().await;
    let url = format!("http://proxy.test:{}", proxy.address.port());
    let flags = [("https-proxy", &*url), ("no-proxy", ".svc")];
    let launcher = launcher(&stage, &way);
    let nowhere = stage.cluster.dir.join("no-kubeconfig");
    let start = async |more: &[(&str, &str)]| {
        let flags = stage.flags(&[&flags[..], more].concat());
        Operator::start_with(&launcher, &nowhere, &stage.cluster.dir, &flags, &[]).await.unwrap()
    };

    // Ready: it serves health, and has read from the API server, whose authority is the ServiceAccount's.
    let operator = start(&[]).await;
    let process = PathBuf::from(format!("/proc/{}", operator.pid()));
    assert_eq!(fs::read_link(process.join("root")).unwrap(), image.canonicalize().unwrap());
    if !way.contains(&"--user".to_owned()) {
        let status = fs::read_to_string(process.join("status")).unwrap();
        let ids = status.lines().filter(|line| line.starts_with("Uid:") || line.starts_with("Gid:"));
        assert!(ids.flat_map(|line| line.split('\t').skip(1)).all(|id| id == "65532"), "{status}");
    }
    // It knows the public authorities, and that the company's is none of them.
    stage.wait_auth("False", "UnknownIssuer").await;
    assert_eq!(stage.account.journal().len(), 0);
    assert_eq!(operator.terminate().await.unwrap().code(), Some(0));

    // As README says.
    let operator = start(&[("ca-bundle", "/etc/ca/company.pem")]).await;
    stage.wait_auth("True", "").await;
    assert_eq!(operator.terminate().await.unwrap().code(), Some(0));

    // The API server's authority may be in the bundle alone.
    let both = format!("{}{}", stage.authority.pem(), stage.api_servers_ca());
    fs::write(image.join("etc/ca/company.pem"), both).unwrap();
    fs::write(image.join(ACCOUNT).join("ca.crt"), stage.authority.pem()).unwrap();
    let operator = start(&[("ca-bundle", "/etc/ca/company.pem")]).await;
    assert_eq!(operator.terminate().await.unwrap().code(), Some(0));

    assert!(proxy.tunnels(&format!("{HOST}:443")) > 0 && proxy.tunnels(stage.api_server()) == 0);
    if let Some(dns) = dns {
        assert!(dns.answered() > 0, "the proxy's name was resolved in another way");
    }
    assert_eq!(files(&image), before, "it leaves no files");
}
