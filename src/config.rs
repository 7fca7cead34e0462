//! Settings of the operator itself: the command line, checked. Most of it is the text of `--help`, which is also that of
//! `docs/configuration.md`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use url::Url;

use crate::databricks::{self, Egress, HostPolicy, Proxy, Settings as ClientSettings};
use crate::engine::cluster::LeaseSettings;
use crate::engine::crd::parse_duration;
use crate::engine::pass::{Pace, Settings};
use crate::telemetry::{Collector, LogFormat};

/// Settings of `databricks-operator run`. Durations are written like `10m` or `1h30m`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Watch only these namespaces, separated by commas; all by default
    #[arg(long, env = "NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// Watch only objects with these labels, written as for `kubectl --selector`; this operator ignores all others, also as references
    #[arg(long, env = "SELECTOR")]
    pub selector: Option<String>,
    /// Of several replicas, only the holder of the lease acts. Set to `false` only if no other replica can run at the same time
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    /// Name of the lease; each operator with objects of its own needs its own lease
    #[arg(long, env = "LEASE_NAME", default_value = "databricks-operator")]
    pub lease_name: String,
    /// Namespace of the lease; by default that of the pod or of the kubeconfig
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// How long the lease is valid without a renewal; when it has expired, another replica may acquire it
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub lease_duration: Duration,
    /// How often the holder renews the lease; the other replicas read it five times as often
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub lease_renew_interval: Duration,
    /// Name of this replica in the lease; a random part is added
    #[arg(long, env = "POD_NAME", default_value = "databricks-operator", hide_default_value = true)]
    pub identity: String,
    /// Name of this installation, part of the mark on workspaces. No other cluster with the same account may have the same name, and it must stay the same after a re-install. By default the UID of namespace `kube-system`
    #[arg(long, env = "INSTALLATION")]
    pub installation: Option<String>,
    /// How often objects are compared with the account by default, or `Never`
    #[arg(long, default_value = "10m", value_parser = interval)]
    pub resync_interval: Interval,
    /// First delay after a failure; doubled each time
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub backoff_min: Duration,
    /// Longest delay after a failure
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub backoff_max: Duration,
    /// First delay while Databricks is creating or changing something
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub poll_min: Duration,
    /// Longest delay while Databricks is creating or changing something
    #[arg(long, default_value = "1m", value_parser = duration)]
    pub poll_max: Duration,
    /// How often to reconcile an object that waits for another one; a change of that one triggers it at once
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub recheck_waiting: Duration,
    /// First delay after a refusal; doubled each time, up to --recheck-stalled
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub recheck_stalled_min: Duration,
    /// Longest delay after a refusal, and between retries of a stalled object
    #[arg(long, default_value = "30m", value_parser = duration)]
    pub recheck_stalled: Duration,
    /// How often Databricks must refuse the same call before the object is Stalled; until then the operator retries it. With 1 the first refusal counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub refusal_tries: u32,
    /// For how long Databricks must refuse the same call before the object is Stalled
    #[arg(long, default_value = "1m", value_parser = duration)]
    pub refusal_period: Duration,
    /// After a create with an unknown result: how long until the account certainly shows the created object
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub quarantine: Duration,
    /// How long an object must be missing in the account before the operator treats it as deleted
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub absence: Duration,
    /// Upper limit of the time for which a new object may be missing from reads; within it, each kind sets what its API needs, at least --quarantine
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub read_lag: Duration,
    /// How long Databricks may take to create or change an object before it is Stalled
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub operation_timeout: Duration,
    /// Objects of one kind that are reconciled at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Time limit of one call to Databricks that reads
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub request_timeout: Duration,
    /// Time limit of one call to Databricks that changes something; none may outlive the lease
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub write_timeout: Duration,
    /// Objects of one account that may be deleted within an hour; the next one stops all deletions there. 0 means no limit
    #[arg(long, default_value_t = 100)]
    pub max_deletions_per_hour: u32,
    /// Calls per second to one account and class of endpoints
    #[arg(long, default_value_t = 20.0)]
    pub requests_per_second: f64,
    /// Calls that may be sent at once after a quiet time
    #[arg(long, default_value_t = 40)]
    pub burst: u32,
    /// Additional suffixes of hosts that credentials may be sent to, separated by commas, such as `.databricks.example.com`
    #[arg(long, env = "ALLOWED_HOST_SUFFIXES", value_delimiter = ',')]
    pub allowed_host_suffixes: Vec<String>,
    /// Namespaces whose DatabricksAuths may sign in as the operator's own Google service account, separated by commas. A user who may edit a DatabricksAuth there has the rights of that account; none by default
    #[arg(long, value_delimiter = ',')]
    pub google_identity_namespaces: Vec<String>,
    /// Allow credentials to be sent to http on this machine. For demos and tests only
    #[arg(long)]
    pub allow_insecure_loopback: bool,
    /// PEM file with additional certificate authorities to trust, for the API server and for Databricks; read at the start
    #[arg(long, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
    /// Proxy for https to the API server and to Databricks, such as `http://proxy.example.com:3128`. The environment is not used
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub https_proxy: Option<SecretString>,
    /// Hosts to call without the proxy, separated by commas: names including their subdomains, addresses, networks such as `10.0.0.0/8`
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub no_proxy: Vec<String>,
    /// Address for health and readiness
    #[arg(long, env = "HEALTH_ADDRESS", default_value = "0.0.0.0:8081")]
    pub health_address: SocketAddr,
    /// Address for metrics, or `Off`
    #[arg(long, env = "METRICS_ADDRESS", default_value = "0.0.0.0:8080", value_parser = listen)]
    pub metrics_address: Listen,
    /// PEM file with the certificate for metrics and its intermediate certificates: metrics are then served over TLS. Read again when it changes
    #[arg(long, value_name = "FILE")]
    pub metrics_tls_cert: Option<PathBuf>,
    /// PEM file with the private key of that certificate. Read again when it changes
    #[arg(long, value_name = "FILE")]
    pub metrics_tls_key: Option<PathBuf>,
    /// Serve metrics only to tokens of the cluster whose user may `get` the nonResourceURL `/metrics`. Needs TLS
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub metrics_auth: bool,
    /// Format of the log lines
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// What is logged, such as `info` or `databricks_operator=debug`
    #[arg(long, env = "RUST_LOG", default_value = "info,kube_runtime=error,kube_client=warn")]
    pub log: String,
    /// Collector that traces are sent to (OTLP over HTTP, protobuf), such as `http://collector.example.com:4318`; none by default
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

/// A duration, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(pub Option<Duration>);

/// The address of a listener; `None` is no listener.
#[derive(Clone, Copy, Debug)]
pub struct Listen(pub Option<SocketAddr>);

fn listen(text: &str) -> Result<Listen, String> {
    if text == "Off" {
        return Ok(Listen(None));
    }
    text.parse()
        .map(|address| Listen(Some(address)))
        .map_err(|_| "write an address such as 0.0.0.0:8080, or Off".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = parse_duration(text).filter(|duration| !duration.is_zero());
    read.ok_or_else(|| "write a duration such as 30s, 10m or 1h30m, and not zero".into())
}

/// Not checked here: clap would show the value in its message.
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(text.into())
}

fn interval(text: &str) -> Result<Interval, String> {
    if text == "Never" { Ok(Interval(None)) } else { duration(text).map(|d| Interval(Some(d))) }
}

/// What [`is_dns`] asks for.
const DNS: &str = "write lower-case letters, digits, '-' and '.'";

/// Whether this can be the name of an object of Kubernetes (RFC 1123), with at most this many bytes.
fn is_dns(name: &str, longest: usize) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = bytes.first().zip(bytes.last()).is_some_and(|(first, last)| plain(*first) && plain(*last));
        ends && bytes.iter().all(|c| plain(*c) || *c == b'-')
    };
    name.len() <= longest && name.split('.').all(label)
}

fn is_namespace(name: &str) -> bool {
    is_dns(name, 63) && !name.contains('.')
}

/// Whether this can be the name of an installation. It has no '/', which separates the parts of the mark.
pub fn is_installation(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=63).contains(&name.len()) && name.chars().all(plain)
}

impl Run {
    /// What is wrong with the settings together, in one line.
    pub fn check(&self) -> Result<(), String> {
        if self.backoff_min > self.backoff_max {
            return Err("--backoff-min is longer than --backoff-max".into());
        }
        if self.poll_min > self.poll_max {
            return Err("--poll-min is longer than --poll-max".into());
        }
        if self.requests_per_second <= 0.0 || !self.requests_per_second.is_finite() || self.burst == 0 {
            return Err("--requests-per-second and --burst must be greater than zero".into());
        }
        if self.installation.as_ref().is_some_and(|name| !is_installation(name)) {
            return Err("--installation must be 1 to 63 letters, digits, '-', '_' or '.'".into());
        }
        // An empty one would be the whole cluster.
        if let Some(wrong) = self.namespaces.iter().find(|name| !is_namespace(name)) {
            return Err(format!("--namespaces has {wrong:?}, which is no name of a namespace"));
        }
        if let Some(twice) = self.namespaces.iter().find(|name| self.times(name) > 1) {
            return Err(format!("--namespaces has {twice} more than once"));
        }
        if let Some(wrong) = self.google_identity_namespaces.iter().find(|name| !is_namespace(name)) {
            return Err(format!(
                "--google-identity-namespaces has {wrong:?}, which is no name of a namespace"
            ));
        }
        if self.https_proxy.is_none() && !self.no_proxy.is_empty() {
            return Err("--no-proxy is given without --https-proxy".into());
        }
        self.check_metrics()?;
        if self.leader_elect {
            if !is_dns(&self.lease_name, 253) {
                return Err(format!("--lease-name {:?} is no name of a Lease: {DNS}", self.lease_name));
            }
            if let Some(wrong) = self.lease_namespace.as_ref().filter(|name| !is_dns(name, 63)) {
                return Err(format!("--lease-namespace {wrong:?} is no name of a namespace: {DNS}"));
            }
            self.lease(String::new()).check()?;
        }
        self.traces().map(drop)
    }

    fn check_metrics(&self) -> Result<(), String> {
        if self.metrics_tls_cert.is_some() != self.metrics_tls_key.is_some() {
            return Err(
                "--metrics-tls-cert and --metrics-tls-key belong together: give both or neither".into()
            );
        }
        if self.metrics_auth && self.metrics_tls_cert.is_none() {
            return Err("--metrics-auth needs --metrics-tls-cert and --metrics-tls-key: tokens are accepted over TLS only".into());
        }
        Ok(())
    }

    fn times(&self, namespace: &str) -> usize {
        self.namespaces.iter().filter(|name| *name == namespace).count()
    }

    /// How to hold the lease. `namespace` applies if the flag names none.
    pub fn lease(&self, namespace: String) -> LeaseSettings {
        LeaseSettings {
            namespace: self.lease_namespace.clone().unwrap_or(namespace),
            name: self.lease_name.clone(),
            identity: format!("{}_{}", self.identity, uuid::Uuid::new_v4()),
            duration: self.lease_duration,
            renew: self.lease_renew_interval,
            write_timeout: self.write_timeout,
        }
    }

    /// Settings of the engine, in the installation of this name.
    pub fn engine(&self, installation: String) -> Settings {
        Settings {
            resync: self.resync_interval.0,
            pace: Pace {
                backoff_min: self.backoff_min,
                backoff_max: self.backoff_max,
                poll_min: self.poll_min,
                poll_max: self.poll_max,
                waiting: self.recheck_waiting,
                stalled_min: self.recheck_stalled_min.min(self.recheck_stalled),
                stalled: self.recheck_stalled,
            },
            refusal_tries: self.refusal_tries,
            refusal_period: self.refusal_period,
            quarantine: self.quarantine,
            absence: self.absence,
            read_lag: self.read_lag,
            operation: self.operation_timeout,
            installation,
            namespaces: self.namespaces.clone(),
            google_identity_namespaces: self.google_identity_namespaces.clone(),
            selector: self.selector.clone().unwrap_or_default(),
            max_deletions_per_hour: self.max_deletions_per_hour,
            concurrency: self.concurrency,
        }
    }

    /// Where credentials may be sent.
    pub fn hosts(&self) -> HostPolicy {
        HostPolicy {
            extra_suffixes: self.allowed_host_suffixes.clone(),
            allow_loopback_http: self.allow_insecure_loopback,
        }
    }

    /// The egress of both clients. Reads the file of `--ca-bundle`.
    pub fn egress(&self) -> Result<Egress, String> {
        let roots = |path: &PathBuf| {
            let pem = match std::fs::metadata(path) {
                // A read of a pipe would block until something writes to it.
                Ok(about) if !about.is_file() => Err("it is not a file".into()),
                _ => std::fs::read(path).map_err(|e| format!("it cannot be read: {e}")),
            };
            let roots = pem.and_then(|pem| databricks::roots(&pem));
            roots.map_err(|e| format!("--ca-bundle {} cannot be used: {e}", path.display()))
        };
        let proxy = |url: &SecretString| {
            let proxy = Proxy::parse(url).map_err(|e| format!("--https-proxy cannot be used: {e}"))?;
            proxy.except(&self.no_proxy).map_err(|e| format!("--no-proxy cannot be used: {e}"))
        };
        Ok(Egress {
            roots: self.ca_bundle.as_ref().map(roots).transpose()?.unwrap_or_default(),
            proxy: self.https_proxy.as_ref().map(proxy).transpose()?,
        })
    }

    /// Where traces go, if anywhere: the endpoint and what the protocol adds to its path.
    fn traces(&self) -> Result<Option<Url>, String> {
        let Some(endpoint) = &self.otlp_endpoint else { return Ok(None) };
        // Not repeated: it may hold a password.
        let advice = "write it like http://collector.example.com:4318";
        let refused = |why: &str| format!("--otlp-endpoint cannot be used: {why}; {advice}");
        let mut url = Url::parse(endpoint).map_err(|e| refused(&e.to_string()))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(refused("it begins with neither http:// nor https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it has a user or a password in it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("it has a query"));
        }
        url.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
        Ok(Some(url))
    }

    /// The collector of traces, if there is one. It is reached the same way as Databricks.
    pub fn collector(&self, egress: &Egress) -> Result<Option<Collector>, String> {
        let Some(url) = self.traces()? else { return Ok(None) };
        let http = egress.http(url.as_str()).and_then(|http| http.build());
        let http = http.map_err(|e| format!("--otlp-endpoint cannot be used: {e}"))?;
        Ok(Some(Collector { url, http, instance: self.identity.clone() }))
    }

    /// Settings of the client, without egress.
    pub fn client(&self) -> ClientSettings {
        ClientSettings {
            request_timeout: self.request_timeout,
            write_timeout: self.write_timeout,
            requests_per_second: self.requests_per_second,
            burst: self.burst,
            ..ClientSettings::default()
        }
    }
}
