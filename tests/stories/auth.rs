//! Credentials.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{AUTH, Story};

#[tokio::test]
async fn a_wrong_secret_is_named_and_a_right_one_is_used_at_once() {
    let mut story = Story::start("wrong-secret").await;
    let right = story.account.client_secret.clone();
    story.set_secret("a-canary-that-is-no-secret-of-the-account").await;
    story.wait_condition("DatabricksAuth", AUTH, "Ready", "False", "CredentialsInvalid").await;

    story.set_secret(&right).await;
    let changed = Instant::now();
    story.wait_ready("DatabricksAuth", AUTH).await;
    assert!(changed.elapsed() < Duration::from_secs(1), "it took {:?}", changed.elapsed());
    story.end().await;
}
