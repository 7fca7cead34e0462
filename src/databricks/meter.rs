//! Counts of the calls, for `/metrics`. Each label has a closed set of values: none has an account or a path, and a host
//! that responds with a thousand different statuses creates no thousand series.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Method;
use super::rate::Class;

/// Values of the label `code`: the statuses that the API is known to return, the classes of all others, and `none` without
/// a response.
pub const CODES: &[&str] = &[
    "200", "201", "202", "204", "400", "401", "403", "404", "409", "412", "422", "429", "500", "501", "502",
    "503", "504", "1xx", "2xx", "3xx", "4xx", "5xx", "none",
];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// Counts of all calls of all clients that share it.
#[derive(Debug)]
pub struct Meter {
    requests: Family<Labels<3>, Counter>,
    durations: Histograms<2>,
    throttled: Family<Labels<1>, Counter>,
    waits: Histograms<1>,
    refreshes: Family<Labels<1>, Counter>,
}

impl Default for Meter {
    fn default() -> Meter {
        let seconds = || Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let waits = || Histogram::new([0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]);
        let meter = Meter {
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            throttled: Family::default(),
            waits: Family::new_with_constructor(waits),
            refreshes: Family::default(),
        };
        // All series exist from the start, so that a first increase shows.
        for api in Class::ALL {
            for method in Method::ALL {
                drop(meter.requests.get_or_create(&request(api, method, "200")));
                drop(meter.durations.get_or_create(&[("api", api.name()), ("method", method.name())]));
            }
            drop(meter.throttled.get_or_create(&[("api", api.name())]));
            drop(meter.waits.get_or_create(&[("api", api.name())]));
        }
        for result in ["success", "failure"] {
            drop(meter.refreshes.get_or_create(&[("result", result)]));
        }
        meter
    }
}

impl Meter {
    /// Puts everything under its name into a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "api_requests",
            "Calls that were sent to Databricks, by the class of endpoints that share a limit; code is the HTTP status, \
             the class of an unusual one, or none if there was no response",
            self.requests.clone(),
        );
        registry.register(
            "api_request_duration_seconds",
            "How long Databricks took to respond to a call, or until the call timed out",
            self.durations.clone(),
        );
        registry.register(
            "api_throttled",
            "Responses that asked for fewer calls (429, or 503 with Retry-After)",
            self.throttled.clone(),
        );
        registry.register(
            "api_bucket_wait_seconds",
            "How long calls waited for the rate limit before they were sent or postponed",
            self.waits.clone(),
        );
        registry.register(
            "auth_token_refresh",
            "Attempts to get a token with the credentials of a DatabricksAuth",
            self.refreshes.clone(),
        );
    }

    /// A call waited this long for the rate.
    pub(super) fn waited(&self, api: Class, wait: Duration) {
        self.waits.get_or_create(&[("api", api.name())]).observe(wait.as_secs_f64());
    }

    /// A call was sent, and got this status or no response.
    pub(super) fn sent(&self, api: Class, method: Method, status: Option<u16>, took: Duration) {
        self.requests.get_or_create(&request(api, method, code(status))).inc();
        let labels = [("api", api.name()), ("method", method.name())];
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A response asked for fewer calls.
    pub(super) fn throttled(&self, api: Class) {
        self.throttled.get_or_create(&[("api", api.name())]).inc();
    }

    /// A token was requested.
    pub(super) fn refreshed(&self, success: bool) {
        let result = if success { "success" } else { "failure" };
        self.refreshes.get_or_create(&[("result", result)]).inc();
    }
}

fn request(api: Class, method: Method, code: &'static str) -> Labels<3> {
    [("api", api.name()), ("method", method.name()), ("code", code)]
}

fn code(status: Option<u16>) -> &'static str {
    let Some(status) = status else { return "none" };
    let exact = status.to_string();
    let class = format!("{}xx", (status / 100).clamp(1, 5));
    let known = |wanted: &str| CODES.iter().find(|code| **code == wanted).copied();
    known(&exact).or_else(|| known(&class)).unwrap_or("none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_counted_exactly_by_its_class_or_as_missing() {
        for (status, label) in [
            (Some(200), "200"),
            (Some(429), "429"),
            (Some(418), "4xx"),
            (Some(599), "5xx"),
            (Some(999), "5xx"),
        ] {
            assert_eq!(code(status), label);
        }
        assert_eq!(code(None), "none");
    }

    #[test]
    fn a_host_with_many_statuses_makes_few_series() {
        let meter = Meter::default();
        for status in 0..=999 {
            meter.sent(Class::Other, Method::Get, Some(status), Duration::ZERO);
        }
        let (mut registry, mut text) = (Registry::default(), String::new());
        meter.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let series = text.lines().filter(|line| line.starts_with("api_requests_total{")).count();
        assert!(series <= Class::ALL.len() * Method::ALL.len() + CODES.len(), "{series}");
    }
}
