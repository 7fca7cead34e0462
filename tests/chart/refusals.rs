//! Values that are refused, each with the name of what is wrong.

use crate::helm::text;

/// What refuses these arguments says.
fn refusal(args: &[&str]) -> String {
    match text(args) {
        Ok(_) => panic!("{args:?} is not refused"),
        Err(message) => message,
    }
}

/// Values that are all wrong: one call says what is wrong with each.
fn refused_together(cases: &[(&str, &[&str])]) {
    let values: Vec<&str> = cases.iter().map(|(values, _)| *values).collect();
    let message = refusal(&["--set", &values.join(",")]);
    for (values, words) in cases {
        for word in *words {
            assert!(message.contains(word), "{values}: no {word} in {message}");
        }
    }
}

/// Covers H-05: values that contradict each other, each named.
#[test]
fn contradictions_are_refused_by_name() {
    refused_together(&[
        (
            "operator.leaseDuration=20s",
            &[
                "operator.leaseDuration (20s)",
                "operator.leaseRenewInterval (5s)",
                "operator.writeTimeout (10s)",
            ],
        ),
        ("networkPolicy.databricksCidrs={192.0.2.0/24}", &["networkPolicy.databricksCidrs narrows nothing"]),
        ("auth.create=true,scope.watchLabelSelector=shard=a", &["which scope.watchLabelSelector excludes"]),
        ("helmTest.enabled=true", &["helmTest.enabled needs an operator that watches all objects"]),
    ]);
    refused_together(&[
        ("enabled=false", &["enabled is false: only an umbrella chart"]),
        ("scope.watchNamespaces={a}", &["scope.watchNamespaces is for scope.mode namespaces"]),
        (
            "operator.leaderElect=false,replicaCount=2",
            &["replicaCount is 2 and operator.leaderElect is false"],
        ),
        (
            "strategy.type=RollingUpdate",
            &["strategy.type must be Recreate while operator.leaderElect is false"],
        ),
        ("operator.backoffMin=6m", &["operator.backoffMin is longer than operator.backoffMax"]),
        ("operator.pollMin=61s", &["operator.pollMin is longer than operator.pollMax"]),
        (
            "caBundle.configMapName=a,caBundle.secretName=b",
            &["caBundle.configMapName and caBundle.secretName"],
        ),
        ("proxy.noProxy={a}", &["proxy.noProxy is given without proxy.https"]),
        (
            "podDisruptionBudget.minAvailable=1,podDisruptionBudget.maxUnavailable=1",
            &["podDisruptionBudget.minAvailable and podDisruptionBudget.maxUnavailable"],
        ),
        ("metrics.auth=true", &["metrics.auth needs metrics.tls.secretName"]),
        ("metrics.port=8081", &["metrics.port is that of operator.healthAddress"]),
        ("serviceAccount.create=false", &["serviceAccount.name is needed"]),
        ("extraArgs={--burst=3}", &["extraArgs has --burst"]),
        ("storageMigration.enabled=true", &["storageMigration.image is needed"]),
        ("helmTest.enabled=true", &["helmTest.image is needed", "helmTest.authName is needed"]),
        (
            "auth.create=true,auth.secretName=s,rbac.secretNames={t},rbac.secretNamespaces={t}",
            &[
                "auth.accountId is needed",
                "auth.clientId is needed",
                "auth.secretName (s) is not in rbac.secretNames",
                "auth.namespace (ops) is not in rbac.secretNamespaces",
            ],
        ),
    ]);
}

/// Covers H-05, H-17: what is for metrics where there are none.
#[test]
fn what_metrics_need_is_refused_without_them() {
    for set in ["metrics.auth=true", "metrics.tls.secretName=a"] {
        let message = refusal(&["--set", &format!("metrics.enabled=false,{set}")]);
        assert!(message.contains("are for metrics.enabled"), "{message}");
    }
}

/// Covers H-05: what is for the whole cluster only, and what chosen namespaces leave out.
#[test]
fn what_chosen_namespaces_cannot_have_is_refused_by_name() {
    refused_together(&[(
        "scope.mode=namespaces,auth.create=true",
        &["scope.watchNamespaces is empty", "auth.secretName is needed", "installation is empty"],
    )]);
    refused_together(&[
        ("scope.mode=namespaces,scope.watchNamespaces={a}", &[]),
        (
            "rbac.secretNamespaces={b}",
            &["rbac.secretNamespaces has b, which is not in scope.watchNamespaces"],
        ),
        (
            "rbac.outputSecrets.namespaces={c}",
            &["rbac.outputSecrets.namespaces has c, which is not in scope.watchNamespaces"],
        ),
        (
            "rbac.outputConfigMaps.namespaces={d}",
            &["rbac.outputConfigMaps.namespaces has d, which is not in scope.watchNamespaces"],
        ),
        ("storageMigration.enabled=true", &["storageMigration.enabled needs scope.mode cluster"]),
        ("metrics.auth=true,metrics.tls.secretName=a", &["metrics.auth needs scope.mode cluster"]),
        (
            "auth.create=true,auth.grants[0].namespaces.from=Selector",
            &[
                "auth.namespace (ops) is not in scope.watchNamespaces",
                "auth.grants[0].namespaces.from is Selector",
            ],
        ),
    ]);
}

/// Covers H-39: without rights outside its namespaces an operator cannot tell its cluster from others, so its name is demanded,
/// with what to write. In a whole cluster, nothing has to be written.
#[test]
fn chosen_namespaces_need_a_name_of_the_installation() {
    let chosen = "scope.mode=namespaces,scope.watchNamespaces={a}";
    let message = refusal(&["--set", chosen]);
    for word in ["installation is empty", "kube-system", "no other cluster", "the tag databricks-operator"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    text(&["--set", &format!("{chosen},installation=prod-eu")]).unwrap();
    assert_eq!(crate::helm::flag(crate::helm::ci("default"), "installation"), None);
    assert_eq!(crate::helm::flag(crate::helm::ci("namespaces"), "installation"), Some("prod-eu"));
}

/// Covers H-05: names that Kubernetes would refuse in the middle of an installation, whatever they come from.
#[test]
fn what_cannot_be_a_name_is_refused_by_name() {
    for value in ["nameOverride", "fullnameOverride"] {
        for name in ["Foo", "fooBar", "foo.bar", "foo_bar", "-foo", "foo-", "foo bar", "fo\u{f6}"] {
            let message = refusal(&["--set-string", &format!("{value}={name}")]);
            let says = format!("{value} is {name:?}: write lower-case letters");
            assert!(message.contains(&says), "{says}: {message}");
        }
        text(&["--set", &format!("{value}=foo-2")]).unwrap();
    }
    // A Service takes no digit in front, and no dot; a release may have both.
    let message = refusal(&["--set", "fullnameOverride=2nd"]);
    assert!(message.contains("\"2nd\", which a Service cannot have"), "{message}");
    for release in ["2nd", "db.ops"] {
        let chart = crate::helm::chart();
        let as_release = ["template", release, chart.to_str().unwrap()];
        let message = crate::helm::run(&as_release).unwrap_err();
        let says =
            format!("the release \"{release}\" gives objects the name \"{release}-databricks-operator\"");
        assert!(message.contains(&says) && message.contains("set fullnameOverride"), "{message}");
        crate::helm::run(&[&as_release[..], &["--set", "fullnameOverride=second"]].concat()).unwrap();
    }
    refused_together(&[
        ("auth.name=Account", &["/auth/name"]),
        ("serviceAccount.name=Ops", &["/serviceAccount/name"]),
        ("operator.leaseName=Lease", &["/operator/leaseName"]),
    ]);
    assert!(refusal(&["--set", "auth.name=a..b"]).contains("/auth/name"));
}

/// Whether the operator takes these values, as flags.
fn taken(values: &[(&str, &str)]) -> bool {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        run: databricks_operator::config::Run,
    }
    let kebab = |key: &str| {
        key.chars().fold(String::new(), |text, c| {
            if c.is_uppercase() { format!("{text}-{}", c.to_ascii_lowercase()) } else { format!("{text}{c}") }
        })
    };
    let flags = values.iter().map(|(key, value)| format!("--{}={value}", kebab(key)));
    let line =
        <Line as clap::Parser>::try_parse_from(std::iter::once("run".to_owned()).chain(flags)).unwrap();
    line.run.check().is_ok()
}

/// Covers H-05: the boundary of what a lease needs, by each of its three times.
#[test]
fn a_lease_that_is_long_enough_is_not_refused() {
    for just_not in [
        "operator.leaseDuration=20s",
        "operator.leaseDuration=30500ms",
        "operator.leaseRenewInterval=9501ms",
        "operator.writeTimeout=0h19s1ms",
    ] {
        assert!(refusal(&["--set", just_not]).contains("operator.leaseDuration ("), "{just_not}");
        // The operator is of the same mind.
        let flag = just_not.trim_start_matches("operator.").split_once('=').unwrap();
        assert!(!taken(&[flag]), "{just_not}");
    }
    for just in [
        &[("leaseDuration", "21s")][..],
        &[("leaseRenewInterval", "9500ms")],
        &[("leaseDuration", "1h"), ("leaseRenewInterval", "10m"), ("writeTimeout", "39m59s")],
        &[("leaderElect", "false"), ("writeTimeout", "60s")],
    ] {
        let set: Vec<String> = just.iter().map(|(key, value)| format!("operator.{key}={value}")).collect();
        text(&["--set", &set.join(",")]).unwrap();
        assert!(taken(just), "{just:?}");
    }
}

/// Covers H-01, H-05: unknown names and words, and values of the wrong form, wherever they are.
#[test]
fn what_the_schema_does_not_know_is_refused_by_name() {
    refused_together(&[
        ("operator.resyncInterval=never", &["/operator/resyncInterval"]),
        ("operator.leaseDuration=Never", &["/operator/leaseDuration"]),
    ]);
    refused_together(&[
        ("replicas=2", &["'replicas'"]),
        ("image.name=x", &["'name'"]),
        ("operator.resync=1m", &["'resync'"]),
        ("rbac.aggregate.all=true", &["/rbac/aggregate", "'all'"]),
        ("auth.clientSecret=hush", &["'clientSecret'"]),
        ("scope.mode=everything", &["/scope/mode", "cluster"]),
        ("operator.resyncInterval=10", &["/operator/resyncInterval"]),
        ("operator.logFormat=xml", &["/operator/logFormat", "json"]),
        ("operator.requestsPerSecond=0", &["/operator/requestsPerSecond"]),
        ("operator.concurrency=257", &["/operator/concurrency"]),
        ("operator.healthAddress=:8081", &["/operator/healthAddress"]),
        ("operator.otlpEndpoint=collector:4318", &["/operator/otlpEndpoint"]),
        ("operator.leaderElect=maybe", &["/operator/leaderElect"]),
        ("installation=a b", &["/installation"]),
        ("image.digest=sha256:12", &["/image/digest"]),
        ("image.pullPolicy=Sometimes", &["/image/pullPolicy"]),
        ("proxy.https=http://user:pass@proxy", &["/proxy/https"]),
        ("scope.watchNamespaces={Team}", &["/scope/watchNamespaces/0"]),
        ("rbac.secretNames={a,a}", &["/rbac/secretNames"]),
        ("terminationGracePeriodSeconds=10", &["/terminationGracePeriodSeconds"]),
        ("podDisruptionBudget.minAvailable=half", &["/podDisruptionBudget/minAvailable"]),
        ("networkPolicy.apiServerPorts={0}", &["/networkPolicy/apiServerPorts/0"]),
        ("auth.cloud=aws", &["/auth/cloud", "AWS"]),
    ]);
}

/// Covers H-05: a cluster that is too old.
#[test]
fn kubernetes_before_1_30_is_refused() {
    let message = refusal(&["--kube-version", "1.29.14"]);
    assert!(message.contains("1.29.14") && message.contains(">=1.30.0"), "{message}");
    // Builds of providers have an ending.
    for version in ["1.30.0", "1.30.14-eks-1234", "1.36.3"] {
        text(&["--kube-version", version]).unwrap();
    }
}

/// Covers H-05, H-14, H-15, H-16: monitors without metrics, two for one endpoint, alerts that do not exist.
#[test]
fn monitoring_that_cannot_work_is_refused_by_name() {
    refused_together(&[
        (
            "metrics.enabled=false,metrics.serviceMonitor.enabled=true",
            &["metrics.serviceMonitor.enabled needs"],
        ),
        ("metrics.podMonitor.enabled=true", &["metrics.podMonitor.enabled needs", "are both true"]),
        (
            "metrics.prometheusRule.disabled={DatabricksOperatorBroken}",
            &["metrics.prometheusRule.disabled has DatabricksOperatorBroken"],
        ),
        (
            "metrics.dashboard.grafanaDashboard.enabled=true",
            &["metrics.dashboard.grafanaDashboard.enabled needs"],
        ),
    ]);
    refused_together(&[
        (
            "metrics.podMonitor.enabled=true,metrics.auth=true,metrics.tls.secretName=cert",
            &["metrics.podMonitor.authorization is needed"],
        ),
        ("metrics.podMonitor.namespace=monitoring", &["metrics.podMonitor.tlsConfig is needed"]),
    ]);
}

/// Covers H-05: a budget that no node could be drained under, addresses that a proxy hides.
#[test]
fn what_does_harm_later_is_refused_by_name() {
    let hidden = "proxy.https=http://proxy:3128,networkPolicy.databricksCidrs={192.0.2.0/24}";
    refused_together(&[(hidden, &["networkPolicy.databricksCidrs is given with proxy.https"])]);
    let budget = |replicas: &str, value: &str, set: &str| {
        format!("replicaCount={replicas},podDisruptionBudget.{value}={set}")
    };
    // Kubernetes rounds percentages up.
    for (replicas, value, set) in [
        ("2", "minAvailable", "100%"),
        ("2", "minAvailable", "51%"),
        ("2", "minAvailable", "2"),
        ("2", "minAvailable", "3"),
        ("3", "minAvailable", "67%"),
        ("2", "maxUnavailable", "0"),
        ("2", "maxUnavailable", "0%"),
    ] {
        let message = refusal(&["--set", &budget(replicas, value, set)]);
        let says = format!(
            "podDisruptionBudget.{value} ({set}) with replicaCount {replicas} prevents that nodes are drained"
        );
        assert!(message.contains(&says), "{says}: {message}");
    }
    for (replicas, value, set) in [
        ("2", "minAvailable", "50%"),
        ("3", "minAvailable", "66%"),
        ("2", "maxUnavailable", "1%"),
        // One replica has no budget.
        ("1", "minAvailable", "1"),
        ("1", "maxUnavailable", "0"),
    ] {
        text(&["--set", &budget(replicas, value, set)]).unwrap();
    }
}

/// Covers H-26: each variable that the operator reads as a flag is the chart's to set.
#[test]
fn a_variable_that_is_a_flag_is_refused_by_name() {
    let run = databricks_operator::cli::command();
    let run = run.find_subcommand("run").unwrap().clone();
    let variables: Vec<String> =
        run.get_arguments().filter_map(|flag| Some(flag.get_env()?.to_str()?.to_owned())).collect();
    assert!(variables.len() > 5, "{variables:?}");
    let values = (0..).zip(&variables).map(|(n, name)| format!("extraEnv[{n}].name={name}"));
    let message = refusal(&["--set", &values.collect::<Vec<_>>().join(",")]);
    for name in variables {
        assert!(message.contains(&format!("extraEnv has {name},")), "{name} is taken: {message}");
    }
}

/// Covers H-05: what the schema can tell of one value alone.
#[test]
fn values_out_of_bounds_are_refused_by_name() {
    refused_together(&[
        ("operator.healthAddress=999.1.1.1:9999", &["operator/healthAddress"]),
        ("operator.maxDeletionsPerHour=99999999999", &["operator/maxDeletionsPerHour"]),
        ("operator.leaseName=a..b", &["operator/leaseName"]),
        ("operator.leaseNamespace=a.b", &["operator/leaseNamespace"]),
        ("operator.requestTimeout=0s", &["operator/requestTimeout"]),
        ("operator.resyncInterval=0h0m", &["operator/resyncInterval"]),
        ("proxy.https=http://p:99999", &["proxy/https"]),
        ("proxy.noProxy={a:443}", &["proxy/noProxy/0"]),
        ("scope.watchNamespaces={a.b}", &["scope/watchNamespaces/0"]),
    ]);
    for proxy in ["http://fd00::1", "http://a?b", "http://a:0"] {
        assert!(refusal(&["--set", &format!("proxy.https={proxy}")]).contains("proxy/https"), "{proxy}");
    }
    for (name, value) in [
        ("operator.requestTimeout", "1m0s"),
        ("operator.requestTimeout", "010s"),
        ("operator.healthAddress", "[::]:65535"),
        ("proxy.https", "http://[fd00::1]:3128"),
        ("proxy.https", "http://proxy.example.com"),
    ] {
        text(&["--set", &format!("{name}={value}")]).unwrap();
    }
}
