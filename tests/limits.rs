//! Kinds of which an account has so many objects at most: one more is refused as `QuotaExceeded`, as only a person can make room.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use referents::{driver_of, prepare};
use serde_json::json;
use simulator::{Config, Simulator};

#[path = "account/connect.rs"]
mod connect;
#[path = "account/referents.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod referents;
#[path = "account/samples.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod samples;

/// A kind, how many of it there may be beside each other, and the field of its state in which they differ, if they must.
const LIMITS: [(&str, usize, &str); 5] = [
    ("AccountFederationPolicy", 20, "policy_id"),
    ("LogDelivery", 2, "delivery_path_prefix"),
    ("ServicePrincipalFederationPolicy", 20, "policy_id"),
    ("ServicePrincipalSecret", 5, ""),
    ("StorageConfiguration", 50, "storage_configuration_name"),
];

#[tokio::test]
async fn one_more_than_there_may_be_is_refused_for_its_number() {
    for (kind, most, field) in LIMITS {
        let simulator = Simulator::start(Config::default()).await.unwrap();
        let (api, driver) = (connect(&simulator), driver_of(kind));
        let want = prepare(driver, &simulator, &api, 1000).await.want;
        let another = |n: usize| {
            let mut want = want.clone();
            if !field.is_empty() {
                want[field] = json!(format!("{}-{n}", want[field].as_str().unwrap()));
            }
            want
        };
        for n in 0..most {
            let created = driver.create(&api, &another(n)).await;
            assert!(created.is_ok(), "{kind} {n} of {most}: {created:?}");
        }
        let refused = driver.create(&api, &another(most)).await;
        let surplus = refused.as_ref().is_err_and(|error| error.is_rejected(Reason::QuotaExceeded));
        assert!(surplus, "{kind} beyond {most}: {refused:?}");
    }
}
