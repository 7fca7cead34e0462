//! Which programs there are, and of which Go module each is.
//!
//! Programs that need different versions of the same dependencies have a module each. Nothing is built before it is needed:
//! a user of the newest control plane alone builds nothing else.
//!
//! Of the oldest Kubernetes there is only the API server, as only that one answers clients; etcd, controller manager
//! and kubectl are the newest. A real cluster may not mix versions so far apart, but the few controllers that run here
//! use nothing that the oldest API server does not have, and a test sees them work on it.

use std::path::PathBuf;

use crate::{
    error::Error,
    module::{Module, Sources},
};

/// Without it the API server calls itself `v0.0.0-master+$Format:%H$`, which clients cannot parse.
const KUBERNETES_STAMP: &str = "-X k8s.io/component-base/version.gitVersion=vVERSION \
    -X k8s.io/component-base/version.gitMajor=MAJOR -X k8s.io/component-base/version.gitMinor=MINOR";

const NEWEST: Module = Module {
    name: "newest",
    what: "control plane",
    go_mod: include_str!("../go/newest/go.mod"),
    go_sum: include_str!("../go/newest/go.sum"),
    main_go: None,
    version_of: "k8s.io/kubernetes",
    stamp: KUBERNETES_STAMP,
    tags: "",
    from_assets: true,
};

const OLDEST: Module = Module {
    name: "oldest",
    what: "oldest control plane",
    go_mod: include_str!("../go/oldest/go.mod"),
    go_sum: include_str!("../go/oldest/go.sum"),
    // The version of an API server in that directory is unknown.
    from_assets: false,
    ..NEWEST
};

const HELM: Module = Module {
    name: "helm",
    what: "tools",
    go_mod: include_str!("../go/helm/go.mod"),
    go_sum: include_str!("../go/helm/go.sum"),
    main_go: None,
    version_of: "helm.sh/helm/v4",
    stamp: "-X helm.sh/helm/v4/internal/version.version=vVERSION",
    tags: "",
    from_assets: false,
};

const PROMTOOL: Module = Module {
    name: "promtool",
    what: "tools",
    go_mod: include_str!("../go/promtool/go.mod"),
    go_sum: include_str!("../go/promtool/go.sum"),
    main_go: None,
    version_of: "github.com/prometheus/prometheus",
    stamp: "-X github.com/prometheus/common/version.Version=VERSION",
    // The clients of twenty clouds, which only a server needs.
    tags: "remove_all_sd",
    from_assets: false,
};

const ARGO_CD: Module = Module {
    name: "argocd",
    what: "tools",
    go_mod: include_str!("../go/argocd/go.mod"),
    go_sum: include_str!("../go/argocd/go.sum"),
    main_go: None,
    version_of: "github.com/argoproj/argo-cd/v3",
    stamp: "-X github.com/argoproj/argo-cd/v3/common.version=VERSION",
    tags: "",
    from_assets: false,
};

/// The same modules and versions, with a program of our own.
const ARGO_CD_LUA: Module =
    Module { name: "argocd-lua", main_go: Some(include_str!("../go/argocd-lua/main.go")), ..ARGO_CD };

/// Helm brings the library.
const KSTATUS: Module = Module {
    name: "kstatus",
    main_go: Some(include_str!("../go/kstatus/main.go")),
    version_of: "github.com/fluxcd/cli-utils",
    stamp: "",
    ..HELM
};

const REDIS: Module = Module {
    name: "redis",
    what: "tools",
    go_mod: include_str!("../go/redis/go.mod"),
    go_sum: include_str!("../go/redis/go.sum"),
    main_go: Some(include_str!("../go/redis/main.go")),
    version_of: "github.com/alicebob/miniredis/v2",
    stamp: "",
    tags: "",
    from_assets: false,
};

const TOFU: Module = Module {
    name: "tofu",
    what: "tools",
    go_mod: include_str!("../go/tofu/go.mod"),
    go_sum: include_str!("../go/tofu/go.sum"),
    main_go: None,
    version_of: "github.com/opentofu/opentofu",
    // Its version is in its sources; without this it calls itself a development build.
    stamp: "-X github.com/opentofu/opentofu/version.dev=no",
    tags: "",
    from_assets: false,
};

const TERRAFORM_PROVIDER: Module = Module {
    name: "terraform-provider",
    what: "tools",
    go_mod: include_str!("../go/terraform-provider/go.mod"),
    go_sum: include_str!("../go/terraform-provider/go.sum"),
    main_go: None,
    version_of: "github.com/databricks/terraform-provider-databricks",
    // Its version is in its sources.
    stamp: "",
    tags: "",
    from_assets: false,
};

/// Which Kubernetes an API server is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The newest that the operator is tested with: what is used where nothing else is said.
    Newest,
    /// The oldest that the operator promises to run on.
    Oldest,
}

/// A program for tests that no control plane needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The client for charts, version 4. Set `HOME` for it, or it reads and writes the user's.
    Helm,
    /// Checks and tests rules of Prometheus.
    Promtool,
    /// All of Argo CD in one program: the environment variable `ARGOCD_BINARY_NAME` says which part of it to be, such as
    /// `argocd-repo-server`; it is the command line `argocd` without. Set `HOME` for that, or it reads and writes the
    /// user's. Its build takes three minutes on two cores. See also [`argo_cd_source`].
    ArgoCd,
    /// Runs scripts for health and actions as Argo CD does; `go/argocd-lua/main.go` says how to call it.
    ArgoCdLua,
    /// Reports how kstatus judges objects; `go/kstatus/main.go` says how to call it.
    Kstatus,
    /// A Redis in memory, for Argo CD. It listens on its one argument, `HOST:PORT`.
    Redis,
    /// OpenTofu's command line, `tofu`.
    Tofu,
    /// Databricks' provider for OpenTofu and Terraform, under the name that these look for. It is alone in its directory, but for
    /// the folder of its Go module.
    TerraformProvider,
}

impl Tool {
    /// Finds the program in the cache that [`Binaries::locate`] uses, else builds it there with Go: some minutes, with
    /// progress on standard error. `PATH` and `KUBEBUILDER_ASSETS` are ignored, so that all users have the same version.
    ///
    /// # Errors
    /// No cache directory; the program is missing and Go is too, is too old, or fails.
    pub fn locate(self) -> Result<PathBuf, Error> {
        let sources = Sources::of_environment()?;
        match self {
            Tool::Helm => HELM.locate("helm", "helm.sh/helm/v4/cmd/helm", &sources),
            Tool::Promtool => {
                PROMTOOL.locate("promtool", "github.com/prometheus/prometheus/cmd/promtool", &sources)
            }
            Tool::ArgoCd => ARGO_CD.locate("argocd", "github.com/argoproj/argo-cd/v3/cmd", &sources),
            Tool::ArgoCdLua => ARGO_CD_LUA.locate("argocd-lua", ".", &sources),
            Tool::Kstatus => KSTATUS.locate("kstatus", ".", &sources),
            Tool::Redis => REDIS.locate("redis", ".", &sources),
            Tool::Tofu => TOFU.locate("tofu", "github.com/opentofu/opentofu/cmd/tofu", &sources),
            Tool::TerraformProvider => {
                let name = "terraform-provider-databricks";
                TERRAFORM_PROVIDER.locate(name, TERRAFORM_PROVIDER.version_of, &sources)
            }
        }
    }
}

/// The folder with the sources of Argo CD, of the version of [`Tool::ArgoCd`], for its manifests. It is in Go's module
/// cache, so it must not be written to; it is fetched if it is missing.
///
/// # Errors
/// As [`Tool::locate`].
pub fn argo_cd_source() -> Result<PathBuf, Error> {
    let program = Tool::ArgoCd.locate()?;
    ARGO_CD.source(&program, &Sources::of_environment()?)
}

/// Paths of the programs of a control plane.
#[derive(Debug)]
pub struct Binaries {
    /// The store of the API server.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Finalises namespaces, collects garbage, creates default ServiceAccounts.
    pub kube_controller_manager: PathBuf,
    /// The command line client.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// Finds each program in the directory `KUBEBUILDER_ASSETS` names (which need not hold all of them), else in the
    /// cache below `XDG_CACHE_HOME` or `~/.cache`, else builds it there with Go: some five minutes on two cores,
    /// with progress on standard error. Processes that need the same build wait for the first one.
    ///
    /// The API server of [`Release::Oldest`] is never taken from `KUBEBUILDER_ASSETS`, as it may be of any version
    /// there; its build takes some three minutes more.
    ///
    /// # Errors
    /// No cache directory; a program is missing and Go is too, is too old, or fails.
    pub fn locate(release: Release) -> Result<Binaries, Error> {
        Self::locate_in(release, &Sources::of_environment()?)
    }

    fn locate_in(release: Release, sources: &Sources) -> Result<Binaries, Error> {
        let program =
            |module: Module, name| module.locate(name, &format!("k8s.io/kubernetes/cmd/{name}"), sources);
        let api_server_of = match release {
            Release::Newest => NEWEST,
            Release::Oldest => OLDEST,
        };
        // The small one first, so that a broken set-up shows early.
        Ok(Binaries {
            etcd: NEWEST.locate("etcd", "go.etcd.io/etcd/server/v3", sources)?,
            kube_apiserver: program(api_server_of, "kube-apiserver")?,
            kube_controller_manager: program(NEWEST, "kube-controller-manager")?,
            kubectl: program(NEWEST, "kubectl")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, fs};

    use super::*;
    use crate::module::tests::fake_go;

    #[test]
    fn assets_come_first_and_only_the_missing_program_is_built_once() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["etcd", "kube-apiserver", "kubectl"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let go = fake_go(dir.path(), "go1.26.0", "echo built >$out");
        let mut sources =
            Sources { assets: Some(dir.path().into()), cache: dir.path().join("cache"), go: go.into() };
        let found = Binaries::locate_in(Release::Newest, &sources).unwrap();
        assert_eq!(found.etcd, dir.path().join("etcd"));
        assert_eq!(fs::read_to_string(&found.kube_controller_manager).unwrap(), "built\n");

        sources.go = "/no/go/needed".into();
        let again = Binaries::locate_in(Release::Newest, &sources).unwrap();
        assert_eq!(again.kube_controller_manager, found.kube_controller_manager);
    }

    #[test]
    fn the_oldest_api_server_is_never_one_of_the_assets() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let go = fake_go(dir.path(), "go1.26.0", "echo built >$out");
        let mut sources =
            Sources { assets: Some(dir.path().into()), cache: dir.path().join("cache"), go: go.into() };
        let found = Binaries::locate_in(Release::Oldest, &sources).unwrap();
        assert_eq!(fs::read_to_string(found.kube_apiserver).unwrap(), "built\n");
        assert_eq!(found.etcd, dir.path().join("etcd"));

        // So they are no way out either.
        sources = Sources { go: "/no/go".into(), cache: dir.path().join("other"), ..sources };
        let message = Binaries::locate_in(Release::Oldest, &sources).unwrap_err().to_string();
        assert!(message.contains("install Go") && !message.contains("KUBEBUILDER_ASSETS"), "{message}");
    }

    #[test]
    fn without_a_usable_go_the_error_names_both_ways_out() {
        let dir = tempfile::tempdir().unwrap();
        let old = fake_go(dir.path(), "go1.9.7", "exit 1");
        for (go, problem) in
            [(OsStr::new("/no/go"), "no Go toolchain"), (old.as_os_str(), "Go 1.9.7 is too old")]
        {
            let sources = Sources { assets: None, cache: dir.path().into(), go: go.into() };
            let message = Binaries::locate_in(Release::Newest, &sources).unwrap_err().to_string();
            for part in ["etcd not found", problem, "install Go 1.26.0", "KUBEBUILDER_ASSETS", "kubectl"] {
                assert!(message.contains(part), "{part} is not in: {message}");
            }
        }
    }

    #[test]
    fn the_staging_modules_and_the_stamp_have_the_version_of_kubernetes() {
        for module in [NEWEST, OLDEST] {
            let version = module.version();
            let (minor, patch) = version.strip_prefix("1.").unwrap().split_once('.').unwrap();
            let replaced = module.go_mod.lines().filter_map(|line| line.split_once(" => "));
            let versions: Vec<_> = replaced.map(|(_, target)| target.split_once(' ').unwrap().1).collect();
            assert!(versions.len() >= 30 && versions.iter().all(|v| *v == format!("v0.{minor}.{patch}")));

            let flags = module.link_flags();
            let values: Vec<_> = flags.split("k8s.io/component-base/version.").map(str::trim).collect();
            assert!(values[1].starts_with(&format!("gitVersion=v{version} ")), "{flags}");
            assert!(
                values[2].starts_with("gitMajor=1 ") && values[3] == format!("gitMinor={minor}"),
                "{flags}"
            );
        }
        assert!(OLDEST.version().starts_with("1.30."));
    }
}
