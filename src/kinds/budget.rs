//! Budget: how much the account may spend in a month before alerts are sent. It reports and, with BLOCK_USAGE, stops usage; it is no
//! policy of prices.
//!
//! The API replaces a budget as a whole, and takes an alert without its id for a new one. The operator reads the budget before each
//! change, carries the ids over, and keeps what the spec does not name. A change of the filter may give the budget another id.

mod body;
pub mod spec;
mod state;

use crate::apis::advised;
use crate::engine::kind::Base;
use crate::engine::prelude::*;

use body::merged;

pub use spec::{Budget, BudgetSpec};
pub use state::BudgetState;

#[derive(Deserialize)]
struct Envelope<T> {
    budget: T,
}

#[derive(Deserialize)]
struct Remote {
    budget_configuration_id: String,
    #[serde(flatten)]
    state: BudgetState,
    create_time: Option<Int64>,
}

impl From<Remote> for Observed<Budget> {
    fn from(remote: Remote) -> Self {
        // The API does not state the unit: what is too large for seconds is milliseconds.
        let seconds = |time: i64| if time > 100_000_000_000 { time / 1000 } else { time };
        let about = About { created: remote.create_time.map(|time| seconds(time.0)), ..About::default() };
        let state = remote.state.filled();
        Observed { id: remote.budget_configuration_id, state, facts: NoFacts {}, about }
    }
}

impl ExternalResource for Budget {
    type State = BudgetState;
    type Id = String;
    type Facts = NoFacts;

    const IMMUTABLE: &'static [Immutable] =
        &[Immutable { state: "include_external_spend", spec: &["includeExternalSpend"] }];
    const NAME: &'static [&'static str] = &["displayName"];
    const REQUIRED: &'static [&'static str] = &["alertConfigurations"];

    fn desired(spec: &BudgetSpec, _: &Resolved) -> Result<BudgetState> {
        BudgetState::of(spec).map_err(|e| {
            Error::terminal(Reason::InvalidSpec, format!("the spec of the budget cannot be read: {e}"))
        })
    }

    fn key(state: &BudgetState) -> Key {
        Key { within: String::new(), name: state.display_name.clone().unwrap_or_default() }
    }

    /// The account chose the id, and others may change the name.
    fn recognises(_: &BudgetState, _: &Observed<Self>) -> bool {
        true
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found = api.get::<Envelope<Remote>>(path(api, &[id])).await.map_err(advised).optional()?;
        Ok(found.map(|found| found.budget.into()))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(path(api, &[]), Pages::Token("budgets")).await.map_err(advised)?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &BudgetState) -> ApiResult<Created<Self>> {
        let body = json!({"budget": merged(Map::new(), want, &state::FIELDS)});
        let created: Envelope<Remote> = api.post(path(api, &[]), body).await.map_err(advised)?;
        Ok(Observed::from(created.budget).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &BudgetState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let path = path(api, &[&seen.id]);
        let gone = || Error::retry("the budget is gone, or a read does not show it yet");
        let whole: Option<Envelope<Map<String, Value>>> =
            api.get(path.clone()).await.map_err(advised).optional()?;
        let whole = whole.ok_or_else(gone)?;
        let body = json!({"budget": merged(whole.budget, want, now)});
        let changed: Envelope<Remote> = api.put(path, body).await.map_err(advised)?;
        Ok(changed.budget.into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(path(api, &[&seen.id])).await.map_err(advised)?)
    }
}

fn path(api: &Reader, of: &[&str]) -> Path {
    api.path_at(Base::V21, &[&["budgets"], of].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_either_unit() {
        for (time, seconds) in [(1_700_000_000_123_i64, 1_700_000_000), (1_700_000_000, 1_700_000_000)] {
            let remote = json!({"budget_configuration_id": "b", "create_time": time});
            let seen: Observed<Budget> = serde_json::from_value::<Remote>(remote).unwrap().into();
            assert_eq!(seen.about.created, Some(seconds));
        }
    }
}
