//! Which resources the server has: those of the CRDs, and the few built-in ones that the operator and its tests use.

use std::collections::BTreeMap;

use crate::schema::Schema;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};

/// A collection of the API.
pub struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
    /// Whether it has a status subresource, which is then the only way to write the status.
    pub status: bool,
    pub sort: Sort,
}

/// What the rules of a resource come from.
pub enum Sort {
    Custom(Box<Schema>),
    ConfigMap,
    Event,
    Lease,
    Namespace,
    Secret,
}

impl Resource {
    fn builtin(group: &str, version: &str, kind: &str, plural: &str, sort: Sort) -> Resource {
        let namespaced = !matches!(sort, Sort::Namespace);
        let [group, version, kind, plural] = [group, version, kind, plural].map(str::to_owned);
        Resource { group, version, kind, plural, namespaced, status: !namespaced, sort }
    }

    /// The resources of a CRD's served versions.
    fn custom(crd: &CustomResourceDefinition) -> impl Iterator<Item = Resource> + '_ {
        let spec = &crd.spec;
        spec.versions.iter().filter(|version| version.served).map(move |version| Resource {
            group: spec.group.clone(),
            version: version.name.clone(),
            kind: spec.names.kind.clone(),
            plural: spec.names.plural.clone(),
            namespaced: spec.scope == "Namespaced",
            status: version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()),
            sort: Sort::Custom(Box::new(schema(version))),
        })
    }

    pub fn schema(&self) -> Option<&Schema> {
        match &self.sort {
            Sort::Custom(schema) => Some(schema),
            _ => None,
        }
    }

    pub fn is_custom(&self) -> bool {
        matches!(self.sort, Sort::Custom(_))
    }

    /// As in most messages: `ipaccesslists.databricks-operator.io`, `secrets`.
    pub fn qualified(&self) -> String {
        joined(&self.plural, &self.group)
    }

    /// As in some messages: `IpAccessList.databricks-operator.io`, `Secret`.
    pub fn qualified_kind(&self) -> String {
        joined(&self.kind, &self.group)
    }

    /// `databricks-operator.io/v1alpha1`, `v1`.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Whether a write of an object without a resourceVersion is allowed: not a PUT of a custom object or a Lease.
    pub fn unconditional_update(&self) -> bool {
        !matches!(self.sort, Sort::Custom(_) | Sort::Lease)
    }

    /// Whether a PUT creates a missing object.
    pub fn create_on_update(&self) -> bool {
        matches!(self.sort, Sort::Event | Sort::Lease)
    }
}

fn schema(version: &CustomResourceDefinitionVersion) -> Schema {
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    Schema::compile(&serde_json::to_value(schema).expect("a schema can be written"))
}

fn joined(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

/// All resources of a server. Servers can share one, as what is compiled from CRDs is costly.
pub struct Definitions {
    all: Vec<Resource>,
    places: BTreeMap<[String; 3], usize>,
}

impl Definitions {
    /// The built-in resources and those of these CRDs.
    pub fn new(crds: &[CustomResourceDefinition]) -> Definitions {
        let mut all = vec![
            Resource::builtin("", "v1", "Namespace", "namespaces", Sort::Namespace),
            Resource::builtin("", "v1", "ConfigMap", "configmaps", Sort::ConfigMap),
            Resource::builtin("", "v1", "Secret", "secrets", Sort::Secret),
            Resource::builtin("events.k8s.io", "v1", "Event", "events", Sort::Event),
            Resource::builtin("coordination.k8s.io", "v1", "Lease", "leases", Sort::Lease),
        ];
        all.extend(crds.iter().flat_map(Resource::custom));
        let place = |(at, one): (usize, &Resource)| {
            ([one.group.clone(), one.version.clone(), one.plural.clone()], at)
        };
        let places = all.iter().enumerate().map(place).collect();
        Definitions { all, places }
    }

    /// The place of a resource, by group, version and plural.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<usize> {
        self.places.get(&[group, version, plural].map(str::to_owned)).copied()
    }

    pub(crate) fn get(&self, place: usize) -> &Resource {
        &self.all[place]
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &Resource)> {
        self.all.iter().enumerate()
    }
}

/// Where namespaces are.
pub const NAMESPACES: usize = 0;
