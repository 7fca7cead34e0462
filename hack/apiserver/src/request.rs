//! What a request asks for, from its method, path, query and headers.

use std::collections::BTreeMap;

use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};

use crate::failure::{Failure, Result};
use crate::resources::Definitions;

/// A request for a resource.
#[derive(Clone, Debug)]
pub struct Ask {
    pub verb: Verb,
    /// The place of the resource in the definitions.
    pub resource: usize,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
    pub query: BTreeMap<String, String>,
    pub user: String,
    /// Only metadata is wanted: `PartialObjectMetadata`.
    pub metadata_only: bool,
    pub content_type: String,
    pub agent: String,
}

/// What is to be done, in the words of RBAC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    fn of(method: &Method, named: bool, watch: bool) -> Option<Verb> {
        Some(match (method.as_str(), named) {
            ("GET", true) => Verb::Get,
            ("GET", false) if watch => Verb::Watch,
            ("GET", false) => Verb::List,
            ("POST", false) => Verb::Create,
            ("PUT", true) => Verb::Update,
            ("PATCH", true) => Verb::Patch,
            ("DELETE", true) => Verb::Delete,
            ("DELETE", false) => Verb::DeleteCollection,
            _ => return None,
        })
    }
}

impl Ask {
    /// `None`: no resource has this path.
    pub fn parse(
        request: &http::request::Parts,
        definitions: &Definitions,
        user: &str,
    ) -> Option<Result<Ask>> {
        let path: Vec<&str> = request.uri.path().trim_matches('/').split('/').collect();
        let Place { group, version, namespace, rest } = Place::of(&path)?;
        let (plural, name, subresource) = match *rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(name.to_owned()), None),
            [plural, name, sub] => (plural, Some(name.to_owned()), Some(sub.to_owned())),
            _ => return None,
        };
        let place = definitions.find(group, version, plural)?;
        let resource = definitions.get(place);
        let fits = match &subresource {
            None => true,
            Some(sub) => (sub == "status" && resource.status) || is_namespace_subresource(rest),
        };
        if !fits || (namespace.is_some() && !resource.namespaced) {
            return None;
        }
        let query = request.uri.query().unwrap_or_default();
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let watch = query.get("watch").is_some_and(|watch| watch == "1" || watch == "true");
        let Some(verb) = Verb::of(&request.method, name.is_some(), watch) else {
            let message = "the server does not allow this method on the requested resource";
            return Some(Err(Failure::new(405, "MethodNotAllowed", message)));
        };
        let header =
            |name| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let agent = header(USER_AGENT).split('/').next().unwrap_or_default();
        let agent: String = agent.chars().take(128).collect();
        Some(Ok(Ask {
            verb,
            resource: place,
            namespace,
            name,
            subresource,
            user: user.to_owned(),
            metadata_only: header(ACCEPT).contains("as=PartialObjectMetadata"),
            content_type: header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_owned(),
            query,
            agent,
        }))
    }

    pub fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// Under which name managed fields are recorded.
    pub fn manager(&self) -> &str {
        match self.query("fieldManager") {
            "" if self.agent.is_empty() => "unknown",
            "" => &self.agent,
            named => named,
        }
    }

    /// Whether it is a server-side apply.
    pub fn is_apply(&self) -> bool {
        self.verb == Verb::Patch && self.content_type == "application/apply-patch+yaml"
    }

    pub fn dry_run(&self) -> bool {
        self.query("dryRun") == "All"
    }

    pub fn strict(&self) -> bool {
        self.query("fieldValidation") == "Strict"
    }

    pub fn is_status(&self) -> bool {
        self.subresource.as_deref() == Some("status")
    }

    /// The key of the named object.
    pub fn key(&self) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        }
    }
}

/// The parts of a path.
struct Place<'a> {
    group: &'a str,
    version: &'a str,
    namespace: Option<String>,
    /// What comes after the namespace.
    rest: &'a [&'a str],
}

impl<'a> Place<'a> {
    fn of(path: &'a [&'a str]) -> Option<Place<'a>> {
        let (group, version, rest) = match path {
            ["api", version, rest @ ..] => ("", version, rest),
            ["apis", group, version, rest @ ..] => (*group, version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, _, ..] if !is_namespace_subresource(rest) => {
                (Some((*namespace).to_owned()), &rest[2..])
            }
            _ => (None, rest),
        };
        Some(Place { group, version, namespace, rest })
    }
}

/// Whether this is `namespaces/NAME/status` or `/finalize`, which look like a collection in a namespace.
fn is_namespace_subresource(path: &[&str]) -> bool {
    matches!(path, ["namespaces", _, "status" | "finalize"])
}
