//! Settings of the account: one value each, which is always there. None is created; some can be put back. A kind of one setting says
//! what its value is ([`SettingKind`]); all else is the same for each.
//!
//! A setting that was never set is reported as missing, with the etag that its first change must name, or shows its default; both
//! are the default here. A change names the version that was read. If another client changed the setting since then, nothing is
//! changed, and the object is read again.

use kube::core::NamespaceResourceScope;
use kube::core::object::HasSpec;
use kube::{CustomResourceExt, Resource};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::databricks;
use crate::engine::crd::{NoFacts, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, ApiResult, ExternalResource, Key, Lifecycle, Observed, Path, Phase, Reader, Resolved, Writer,
    stale,
};

/// A kind that is one setting of the account.
pub trait SettingKind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + CustomResourceExt
    + HasSpec<Spec: DeserializeOwned + Send + Sync>
    + Send
    + Sync
    + Sized
    + 'static
{
    /// Its value, in Databricks' field names: what a spec controls. A field that is `None` is not managed, or was never set.
    type Value: Serialize + DeserializeOwned + Default + Send + Sync + 'static;

    /// Which setting it is.
    const SETTING: Setting;
    /// The fields of the spec, in camelCase, that it needs to be set.
    const NEEDED: &'static [&'static str];
    /// Whether the API can put it back to its default.
    const RESETTABLE: bool = false;

    /// The value that a spec wants.
    fn wanted(spec: &Self::Spec) -> Self::Value;
    /// Fills in the default of what was never set, if it is known; returns whether nothing manages it, and its state in a word.
    fn shown(state: &mut Self::Value) -> (Phase, Option<String>);
}

impl<K: SettingKind> ExternalResource for K {
    type State = K::Value;
    type Id = String;
    type Facts = NoFacts;

    const REQUIRED: &'static [&'static str] = K::NEEDED;
    const LIFECYCLE: Lifecycle = Lifecycle::Standing;
    const REMOVABLE: bool = K::RESETTABLE;

    fn desired(spec: &K::Spec, _: &Resolved) -> Result<K::Value> {
        Ok(K::wanted(spec))
    }

    fn key(_: &K::Value) -> Key {
        Key { within: String::new(), name: K::SETTING.kind.into() }
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        Ok(vec![observed::<K>(K::SETTING.read::<K::Value>(api).await?)])
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &K::Value,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        Ok(observed::<K>(K::SETTING.write(api, seen.about.etag.as_deref(), want).await?))
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        if K::RESETTABLE {
            return K::SETTING.reset(api, seen.about.etag.as_deref()).await;
        }
        Err(Error::terminal(Reason::InternalError, "this setting cannot be put back").into())
    }
}

/// The value of a flag whose envelope is there without it, as an API may leave out what is false. Of a setting that was never set there
/// is no envelope.
pub fn off() -> Option<bool> {
    Some(false)
}

/// A setting as it was read.
pub fn observed<K: SettingKind>(read: Version<K::Value>) -> Observed<K> {
    let Version { mut value, etag } = read;
    let (phase, state) = K::shown(&mut value);
    let about = About { phase, state, etag, ..About::default() };
    Observed { id: K::SETTING.kind.into(), state: value, facts: NoFacts {}, about }
}

/// A setting of the account.
pub struct Setting {
    /// The segment of its path; also its id.
    pub kind: &'static str,
    /// The field of a body that holds its value.
    pub key: &'static str,
}

/// A value with the version that a change must name.
pub struct Version<V> {
    /// The value; the default if it was never set.
    pub value: V,
    /// The version, as far as a response names it.
    pub etag: Option<String>,
}

#[derive(Deserialize)]
struct Remote {
    etag: Option<String>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Setting {
    fn path(&self, api: &Reader) -> Path {
        api.path(&["settings", "types", self.kind, "names", "default"])
    }

    /// The value in the account.
    pub async fn read<V: DeserializeOwned + Default>(&self, api: &Reader) -> ApiResult<Version<V>> {
        match api.get(self.path(api)).await {
            Ok(remote) => self.shown(remote),
            Err(error) if error.is_absence() => {
                let etag = error.etag().map(str::to_owned);
                // Without an etag the response may be about the account.
                if etag.is_none() {
                    api.find_account().await?;
                }
                Ok(Version { value: V::default(), etag })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The value, if it was set and the account shows it: none if the account has no such setting, or does not let it be read. For a
    /// caller that can go without.
    pub async fn known<V: DeserializeOwned + Default>(&self, api: &Reader) -> ApiResult<Option<V>> {
        match api.get(self.path(api)).await {
            Ok(remote) => Ok(Some(self.shown(remote)?.value)),
            Err(error) if matches!(error.status(), Some(400 | 403 | 404 | 501)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the fields of `want` that are not null, and no others, if `etag` still is the version in the account.
    pub async fn write<V: Serialize + DeserializeOwned + Default>(
        &self,
        api: &Writer,
        etag: Option<&str>,
        want: &V,
    ) -> ApiResult<Version<V>> {
        let mut value = json!(want);
        value.as_object_mut().into_iter().for_each(|fields| fields.retain(|_, field| !field.is_null()));
        let sent = match self.patch(api, etag, &value).await {
            // Only the refusal of a first change names the version.
            Err(error) if etag.is_none() && error.etag().is_some() => {
                self.patch(api, error.etag(), &value).await
            }
            sent => sent,
        };
        self.shown(sent.map_err(stale)?)
    }

    /// Puts the setting back to its default, if `etag` still is the version in the account.
    pub async fn reset(&self, api: &Writer, etag: Option<&str>) -> ApiResult<()> {
        let path = |etag: &str| self.path(api).with("etag", etag);
        let sent = match etag {
            Some(etag) => api.delete(path(etag)).await,
            None => match api.delete(self.path(api)).await {
                Err(error) if error.etag().is_some() => {
                    api.delete(path(error.etag().unwrap_or_default())).await
                }
                sent => sent,
            },
        };
        sent.map_err(stale)
    }

    async fn patch(
        &self,
        api: &Writer,
        etag: Option<&str>,
        value: &Value,
    ) -> Result<Remote, databricks::Error> {
        let fields = value.as_object().into_iter().flatten();
        let mask: Vec<String> = fields.map(|(field, _)| format!("{}.{field}", self.key)).collect();
        let mut setting = json!({"setting_name": "default", self.key: value});
        if let Some(etag) = etag {
            setting["etag"] = json!(etag);
        }
        let body = json!({"allow_missing": true, "field_mask": mask.join(","), "setting": setting});
        api.patch(self.path(api), body).await
    }

    fn shown<V: DeserializeOwned + Default>(&self, remote: Remote) -> ApiResult<Version<V>> {
        let value = match remote.fields.get(self.key) {
            None | Some(Value::Null) => V::default(),
            // The error would quote the value.
            Some(value) => V::deserialize(value).map_err(|_| {
                Error::retry(format!("Databricks returns the setting {} in an unexpected form", self.kind))
            })?,
        };
        Ok(Version { value, etag: remote.etag.filter(|etag| !etag.is_empty()) })
    }
}
