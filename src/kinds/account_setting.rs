//! AccountSetting: a setting of the account that has no kind of its own, by its name. Databricks adds settings, also switches of
//! previews, without a new API: so the name is not checked against a list here, but against that of the account.
//!
//! This API has no versions: of two clients that write in the same moment, the later one wins. It shows what was set apart from what
//! holds, so what was never set is known. It cannot unset a value. So a deletion keeps it, or sets back what the status says was there
//! before, which is then a value like any other.
//!
//! What has a kind of its own is refused, under the names of both APIs: two objects would undo each other's changes, and a guard would
//! be passed by. The schema refuses it, and so does the operator, as an object may be older than the kind. Values that are objects are not
//! managed. As no list here says what a setting decides, a grant must name this kind.

pub mod spec;

use crate::engine::kind::{Base, Lifecycle};
use crate::engine::prelude::*;

use spec::typed;
pub use spec::{AccountSetting, AccountSettingFacts, AccountSettingSpec};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct AccountSettingState {
    name: String,
    boolean_val: Option<bool>,
    string_val: Option<String>,
    integer_val: Option<i64>,
}

impl AccountSettingState {
    /// The value as text, if it is one of those that a spec can have.
    fn text(&self) -> Option<String> {
        let boolean = self.boolean_val.map(|value| value.to_string());
        let integer = || self.integer_val.map(|value| value.to_string());
        boolean.or_else(integer).or_else(|| self.string_val.clone())
    }
}

/// A response. What was set, and what holds.
#[derive(Deserialize, Default)]
struct Remote {
    boolean_val: Option<Message<bool>>,
    string_val: Option<Message<String>>,
    integer_val: Option<Message<Int64>>,
    effective_boolean_val: Option<Message<bool>>,
    effective_string_val: Option<Message<String>>,
    effective_integer_val: Option<Message<Int64>>,
}

/// A value. The API may leave out one that is false, empty or zero.
#[derive(Deserialize)]
struct Message<T> {
    value: Option<T>,
}

/// The name of a setting that the account has.
#[derive(Deserialize)]
struct Metadata {
    name: Option<String>,
}

/// One setting as it was read; or, if there is none of that name, the names that there are.
type Read = Result<Observed<AccountSetting>, Vec<String>>;

fn state(
    name: &str,
    boolean: Option<Message<bool>>,
    string: Option<Message<String>>,
    integer: Option<Message<Int64>>,
) -> AccountSettingState {
    AccountSettingState {
        name: name.to_owned(),
        boolean_val: boolean.map(|found| found.value.unwrap_or_default()),
        string_val: string.map(|found| found.value.unwrap_or_default()),
        integer_val: integer.map(|found| found.value.map_or(0, |number| number.0)),
    }
}

fn observed(name: &str, remote: Remote) -> Observed<AccountSetting> {
    let set = state(name, remote.boolean_val, remote.string_val, remote.integer_val);
    let holds =
        state(name, remote.effective_boolean_val, remote.effective_string_val, remote.effective_integer_val);
    let effective_value = holds.text();
    let is_set = set.text().is_some();
    let (phase, state) = if is_set { (Phase::Ready, set) } else { (Phase::Vacant, holds) };
    let shown = state.text();
    let other = effective_value.as_ref().filter(|holds| Some(*holds) != shown.as_ref());
    let remark = other.map(|holds| {
        format!("{holds} is in effect in the account in place of this value: ask Databricks support what overrides the setting {name}")
    });
    let about = About { phase, state: shown, remark, ..About::default() };
    Observed { id: name.to_owned(), state, facts: AccountSettingFacts { effective_value }, about }
}

fn path(api: &Reader, name: &str) -> Path {
    api.path_at(Base::V21, &["settings", name])
}

/// Reads a setting. The account lists the settings that it has: one that it does not show and lists was never set.
async fn read(api: &Reader, name: &str) -> ApiResult<Read> {
    match api.get::<Remote>(path(api, name)).await {
        Ok(remote) => Ok(Ok(observed(name, remote))),
        Err(error) if error.is_absence() => {
            let path = api.path_at(Base::V21, &["settings-metadata"]);
            let all: Vec<Metadata> = api.list(path, Pages::Token("settings_metadata")).await?;
            let names: Vec<String> = all.into_iter().filter_map(|one| one.name).collect();
            let is_known = names.iter().any(|known| known == name);
            Ok(if is_known { Ok(observed(name, Remote::default())) } else { Err(names) })
        }
        Err(error) => Err(error.into()),
    }
}

impl ExternalResource for AccountSetting {
    type State = AccountSettingState;
    type Id = String;
    type Facts = AccountSettingFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "name", spec: &["name"] }];
    const LIFECYCLE: Lifecycle = Lifecycle::Standing;
    const GRANTED_BY_NAME: bool = true;
    const REMOVABLE: bool = false;
    const RESTORED: bool = true;

    fn desired(spec: &AccountSettingSpec, _: &Resolved) -> Result<AccountSettingState> {
        of_no_other_kind(&spec.name)?;
        Ok(AccountSettingState {
            name: spec.name.clone(),
            boolean_val: spec.boolean_val,
            string_val: spec.string_val.clone(),
            integer_val: spec.integer_val,
        })
    }

    fn within(id: &String) -> String {
        id.clone()
    }

    // Each is read by itself, as no LIST has values.
    fn key(state: &AccountSettingState) -> Key {
        Key { within: state.name.clone(), name: String::new() }
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        Ok(read(api, id).await?.ok())
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let seen = read(api, within).await?.map_err(|names| unknown(within, names))?;
        Ok(vec![seen])
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &AccountSettingState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        // What is changed is what was read, by whatever record the desired value came.
        let name = &seen.id;
        of_no_other_kind(name)?;
        let all = json!(want);
        let mut body = json!({"name": name});
        for field in now {
            body[*field] = json!({"value": all[*field]});
        }
        let changed: Remote = api.patch(path(api, name), body).await.map_err(advised)?;
        Ok(observed(name, changed))
    }
}

/// Refuses a setting that another kind manages.
fn of_no_other_kind(name: &str) -> Result<()> {
    let Some(kind) = typed(name) else { return Ok(()) };
    let text = format!(
        "{name} is a setting with a kind of its own: apply an object of kind {kind} in place of this"
    );
    Err(Error::terminal(Reason::InvalidSpec, text))
}

/// The longest list of names in a message.
const NAMED: usize = 20;

/// Why there is no such setting, with those that there are.
fn unknown(name: &str, mut names: Vec<String>) -> Error {
    names.retain(|name| typed(name).is_none());
    names.sort();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Error::terminal(
        Reason::InvalidSpec,
        format!(
            "the account has no setting {name}: correct spec.name. It has {}{more}; GET settings-metadata of the account describes them",
            names.join(", ")
        ),
    )
}

/// Adds where the form of a value stands to the refusal of one.
fn advised(mut error: databricks::Error) -> databricks::Error {
    if let databricks::Error::Api { status: 400, message, .. } = &mut error {
        message.push_str(
            "; the type of the setting in GET settings-metadata of the account says which of spec.booleanVal, spec.stringVal and \
             spec.integerVal it takes",
        );
    }
    error
}
