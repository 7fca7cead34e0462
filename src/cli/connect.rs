//! The connection to the API server: the kubeconfig, or the ServiceAccount of the pod, with the flags for certificates and
//! the proxy on top; and whether the cluster has what the operator needs.

use std::iter;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future, stream};
use k8s_openapi::api::authorization::v1::{ResourceRule, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use kube::api::PostParams;
use kube::client::ClientBuilder;
use kube::config::Kubeconfig;
use kube::core::{ApiResource, DynamicObject};
use secrecy::ExposeSecret;
use tower::timeout::TimeoutLayer;

use crate::config::{Run, is_installation};
use crate::databricks::{Egress, Proxy};
use crate::engine::cluster;
use crate::engine::crd::DatabricksAuth;
use crate::engine::error::chain;
use crate::kinds::KINDS;

/// How long the API server may take for one response.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Lists that are asked for at the same time. Few, so that a start is no burden for the API server.
const LISTS_AT_ONCE: usize = 4;
/// How long a response that has begun may pause. Longer than the lifetime of a watch, which kube lets the API server end
/// after 290 s.
const SILENCE: Duration = Duration::from_secs(300);
/// What to do about a right that is missing.
const GRANT: &str = "grant it what `databricks-operator rbac` writes";

/// A client for the cluster of KUBECONFIG, or the one that this runs in. Fails with one line.
pub async fn connect(egress: &Egress) -> Result<Client, String> {
    let mut config = kube::Config::infer().await.map_err(|e| {
        format!("no cluster: {e}; set KUBECONFIG to a kubeconfig file, or run inside a cluster")
    })?;
    if config.accept_invalid_certs {
        return Err(
            "the kubeconfig has insecure-skip-tls-verify, which would show the token to any server; \
                    name the server's authority in certificate-authority or --ca-bundle instead"
                .into(),
        );
    }
    trust(&mut config, egress);
    let proxy = match &egress.proxy {
        Some(proxy) => Some(proxy.clone()),
        None => kubeconfigs_proxy()?,
    };
    let server = config.cluster_url.to_string();
    let url = proxy.as_ref().and_then(|proxy| proxy.url_for(&server));
    let url = url.map(|url| url.expose_secret().parse());
    // Overwritten in any case: kube takes one from the environment too.
    config.proxy_url = url.transpose().map_err(|_| "the proxy's address cannot be used")?;
    client(config).map_err(|e| format!("the kubeconfig cannot be used: {e}"))
}

/// A client that tries once, with time limits. With kube's defaults, a watch that the API server accepts and never answers
/// would seem to work.
fn client(mut config: kube::Config) -> kube::Result<Client> {
    // kube would repeat a POST or PATCH that may have had its effect; the engine tries again by itself.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(SILENCE);
    // Otherwise the idle time of a connection would count for the next response.
    config.reset_reader_on_write = true;
    // Until the response begins: that of a watch continues for minutes.
    let begins = TimeoutLayer::new(cluster::TIMEOUT);
    Ok(ClientBuilder::try_from(config)?.with_layer(&begins).build())
}

/// Finds out in a moment, and says in one line, what would otherwise be an endless loop of failing watches.
pub async fn check_cluster(client: &Client, run: &Run) -> Result<(), String> {
    let mut scopes: Vec<Option<&str>> = run.namespaces.iter().map(|namespace| Some(&**namespace)).collect();
    if scopes.is_empty() {
        scopes.push(None);
    }
    for scope in scopes {
        let auths = ApiResource::erase::<DatabricksAuth>(&());
        let resources = iter::once(auths).chain(KINDS.iter().map(|driver| driver.api_resource()));
        let lists = resources.map(|resource| check_list(client, run, resource, scope));
        stream::iter(lists).buffered(LISTS_AT_ONCE).try_for_each(|()| future::ok(())).await?;
        check_rights(client, scope).await?;
    }
    Ok(())
}

/// The namespace whose UID distinguishes clusters: every cluster has it, and the API server refuses its deletion.
const KUBE_SYSTEM: &str = "kube-system";

/// The name of this installation: the given one, else the UID of `kube-system`. Fails with one line if that cannot be read:
/// with a name that two clusters share, one could adopt, and delete, what the other has created.
pub async fn installation(client: &Client, run: &Run) -> Result<String, String> {
    match &run.installation {
        Some(name) => Ok(name.clone()),
        None => uid_of_cluster(client).await.map_err(|cause| {
            format!(
                "--installation is not given, and its default, the UID of namespace {KUBE_SYSTEM}, cannot be read: \
                 {cause}; write --installation=NAME (value `installation` of the chart) with a name that no other cluster \
                 uses for the same Databricks account, and keep it"
            )
        }),
    }
}

async fn uid_of_cluster(client: &Client) -> Result<String, String> {
    let api: kube::Api<Namespace> = kube::Api::all(client.clone());
    match tokio::time::timeout(CALL_TIMEOUT, api.get_metadata_opt(KUBE_SYSTEM)).await {
        Ok(Ok(Some(namespace))) => {
            let uid = namespace.metadata.uid.filter(|uid| is_installation(uid));
            uid.ok_or_else(|| "it has no UID that can be used as a name".into())
        }
        Ok(Ok(None)) => Err("there is no such namespace".into()),
        Ok(Err(kube::Error::Api(status))) => Err(status.message),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err("the API server did not answer within 20s".into()),
    }
}

/// Whether the objects of a kind can be listed.
async fn check_list(
    client: &Client,
    run: &Run,
    resource: ApiResource,
    scope: Option<&str>,
) -> Result<(), String> {
    let ApiResource { plural, group, .. } = &resource;
    let api: kube::Api<DynamicObject> = match scope {
        Some(namespace) => kube::Api::namespaced_with(client.clone(), namespace, &resource),
        None => kube::Api::all_with(client.clone(), &resource),
    };
    let one = kube::api::ListParams::default().limit(1).labels(run.selector.as_deref().unwrap_or_default());
    match tokio::time::timeout(CALL_TIMEOUT, list_one(&api, &one)).await {
        Ok(Ok(())) => Ok(()),
        // By the code: the 404 of a group without any CRD is a plain page without a reason.
        Ok(Err(kube::Error::Api(s))) if s.code == 404 => {
            Err(format!("the CRD {plural}.{group} is not installed: kubectl apply -f crds/"))
        }
        Ok(Err(kube::Error::Api(s))) if s.is_forbidden() => {
            Err(format!("the operator may not list {plural}: {}; {GRANT}", s.message))
        }
        Ok(Err(e)) => Err(format!("the API server cannot be used: {}", chain(&e))),
        Err(_) => Err("the API server did not answer within 20s: is the address in KUBECONFIG right?".into()),
    }
}

/// Whether the API server grants the other rights. A watch that is refused would fail without end, and an operator that
/// reads but may not write its status would act blindly.
async fn check_rights(client: &Client, scope: Option<&str>) -> Result<(), String> {
    let spec = SelfSubjectRulesReviewSpec { namespace: Some(scope.unwrap_or("default").to_owned()) };
    let review = SelfSubjectRulesReview { spec, ..SelfSubjectRulesReview::default() };
    let api: kube::Api<SelfSubjectRulesReview> = kube::Api::all(client.clone());
    let params = PostParams::default();
    let asked = api.create(&params, &review);
    // By default every user may ask. Without that right, the operator finds out later.
    let Ok(Ok(SelfSubjectRulesReview { status: Some(told), .. })) =
        tokio::time::timeout(CALL_TIMEOUT, asked).await
    else {
        return Ok(());
    };
    let missing = missing(&crate::rbac::rules().operator, &told.resource_rules);
    // Some authorizers decide requests and list no rules.
    if missing.is_empty() || told.incomplete {
        return Ok(());
    }
    let place = scope.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    Err(format!("the operator may not {}{place}; {GRANT}", missing.join(", ")))
}

/// The needed rules that are not granted.
fn missing(needed: &[PolicyRule], granted: &[ResourceRule]) -> Vec<String> {
    let has = |list: &[String], what: &str| list.iter().any(|one| one == what || one == "*");
    let mut missing = vec![];
    for rule in needed {
        for (group, resource) in pairs(rule) {
            let may = |verb: &str| {
                granted.iter().any(|granted| {
                    let groups = granted.api_groups.as_deref().unwrap_or_default();
                    let resources = granted.resources.as_deref().unwrap_or_default();
                    let of_all =
                        resource.split_once('/').is_some_and(|(_, sub)| has(resources, &format!("*/{sub}")));
                    has(&granted.verbs, verb) && has(groups, group) && (has(resources, resource) || of_all)
                })
            };
            missing
                .extend(rule.verbs.iter().filter(|verb| !may(verb)).map(|verb| format!("{verb} {resource}")));
        }
    }
    missing
}

/// The groups and resources of a rule.
fn pairs(rule: &PolicyRule) -> impl Iterator<Item = (&str, &str)> {
    let groups = rule.api_groups.iter().flatten();
    groups.flat_map(|group| rule.resources.iter().flatten().map(move |resource| (&**group, &**resource)))
}

/// Adds the roots to those that the server's certificate may have anyway.
fn trust(config: &mut kube::Config, egress: &Egress) {
    if egress.roots.is_empty() {
        return;
    }
    let mut roots = config.root_cert.take().unwrap_or_else(|| {
        // kube would refuse all for one damaged certificate of the system.
        let usable = |cert: &_| rustls::RootCertStore::empty().add(Clone::clone(cert)).is_ok();
        let system = rustls_native_certs::load_native_certs().certs.into_iter().filter(usable);
        system.map(|cert| cert.to_vec()).collect()
    });
    roots.extend(egress.roots.iter().map(|root| root.to_vec()));
    config.root_cert = Some(roots);
    // The file of the pod, which kube would read again at times, and prefer.
    config.root_cert_file = None;
}

/// The `proxy-url` of the kubeconfig.
fn kubeconfigs_proxy() -> Result<Option<Proxy>, String> {
    // Without a readable kubeconfig it is the ServiceAccount that is used.
    let Ok(read) = Kubeconfig::read() else { return Ok(None) };
    let current = read.contexts.iter().find(|c| Some(&c.name) == read.current_context.as_ref());
    let name = current.and_then(|c| c.context.as_ref()).map(|context| &context.cluster);
    let cluster = read.clusters.iter().find(|c| Some(&c.name) == name).and_then(|c| c.cluster.as_ref());
    let url = cluster.and_then(|cluster| cluster.proxy_url.clone()).filter(|url| !url.is_empty());
    url.map(|url| Proxy::parse(&url.into()))
        .transpose()
        .map_err(|e| format!("the kubeconfig's proxy-url cannot be used: {e}"))
}

/// Lists once. A CRD that was installed a moment ago is served, but its objects for some seconds only with a 429.
async fn list_one(
    api: &kube::Api<kube::core::DynamicObject>,
    which: &kube::api::ListParams,
) -> kube::Result<()> {
    loop {
        match api.list_metadata(which).await {
            Err(kube::Error::Api(s)) if s.code == 429 => tokio::time::sleep(Duration::from_millis(500)).await,
            result => return result.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::api::{ListParams, WatchParams};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    /// How long a call waits until it fails, if a server accepts it and sends this and no more.
    async fn waited<T>(
        answer: &'static [u8],
        call: impl AsyncFnOnce(kube::Api<Namespace>) -> kube::Result<T>,
    ) -> Duration {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let api = kube::Api::all(client(kube::Config::new(url.parse().unwrap())).unwrap());
        let server = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.read_buf(&mut vec![]).await.unwrap();
            connection.write_all(answer).await.unwrap();
            // From here on the clock runs on whenever there is nothing to do but wait.
            tokio::time::pause();
            let asked = Instant::now();
            // Until the caller closes it.
            let _ = connection.read_to_end(&mut vec![]).await;
            asked.elapsed()
        };
        let (failed, waited) = tokio::join!(call(api), server);
        assert!(failed.is_err());
        waited
    }

    fn about(waited: Duration, limit: Duration) -> bool {
        waited >= limit - Duration::from_secs(1) && waited < limit + Duration::from_secs(1)
    }

    #[tokio::test]
    async fn a_watch_that_is_never_answered_fails_at_last() {
        let waited = waited(b"", async |api| api.watch(&WatchParams::default(), "0").await.map(drop)).await;
        assert!(about(waited, cluster::TIMEOUT), "{waited:?}");
    }

    #[tokio::test]
    async fn a_list_that_stops_in_the_middle_fails_at_last() {
        let part = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
        let waited = waited(part, async |api| api.list(&ListParams::default()).await).await;
        assert!(about(waited, SILENCE), "{waited:?}");
    }

    /// The name from a cluster with this response.
    async fn named_by(status: &str, body: &str) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = client(kube::Config::new(url.parse().unwrap())).unwrap();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let server = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.read_buf(&mut vec![]).await.unwrap();
            connection.write_all(answer.as_bytes()).await.unwrap();
        };
        tokio::join!(uid_of_cluster(&client), server).0
    }

    #[tokio::test]
    async fn a_cluster_without_a_readable_uid_gives_no_name() {
        let namespace = |uid: &str| {
            format!(
                r#"{{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{{"name":"kube-system"{uid}}}}}"#
            )
        };
        let refusal = |code: u16, reason: &str| {
            format!(
                r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","message":"it says no","reason":"{reason}","code":{code}}}"#
            )
        };
        assert_eq!(named_by("200 OK", &namespace(r#","uid":"7c1e""#)).await.as_deref(), Ok("7c1e"));
        for (status, body, says) in [
            ("200 OK", namespace(""), "no UID"),
            ("200 OK", namespace(r#","uid":"""#), "no UID"),
            ("200 OK", namespace(r#","uid":"a/b""#), "no UID"),
            ("403 Forbidden", refusal(403, "Forbidden"), "it says no"),
            ("404 Not Found", refusal(404, "NotFound"), "no such namespace"),
            ("500 Internal Server Error", refusal(500, "InternalError"), "it says no"),
        ] {
            let error = named_by(status, &body).await.unwrap_err();
            assert!(error.contains(says), "{status} {body}: {error}");
        }
    }

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn a_right_is_missing_where_no_rule_gives_it() {
        let rule = |group: &str, resources: &str, verbs: &str| PolicyRule {
            api_groups: words(group),
            resources: words(resources),
            verbs: words(verbs).unwrap_or_default(),
            ..PolicyRule::default()
        };
        let granted = |group: &str, resources: &str, verbs: &str| ResourceRule {
            api_groups: words(group),
            resources: words(resources),
            verbs: words(verbs).unwrap_or_default(),
            ..ResourceRule::default()
        };
        let needed = [rule("g", "cats dogs", "list watch"), rule("g", "cats/status", "patch")];
        let all = ["list cats", "watch cats", "list dogs", "watch dogs", "patch cats/status"];
        assert_eq!(missing(&needed, &[]), all);
        assert_eq!(missing(&needed, &[granted("other", "*", "*")]), all);
        assert_eq!(
            missing(&needed, &[granted("g", "cats dogs", "list"), granted("g", "*/status", "*")]),
            ["watch cats", "watch dogs"]
        );
        assert_eq!(missing(&needed, &[granted("*", "*", "list watch patch")]), [""; 0]);
        assert_eq!(
            missing(&needed, &[granted("g", "*", "list watch"), granted("g", "cats/status", "patch")]),
            [""; 0]
        );
    }
}
