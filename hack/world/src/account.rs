//! The manifests that give an operator access to a simulated account.

use serde_json::{Value, json};
use simulator::Simulator;

/// The Secret `databricks` and the DatabricksAuth `account` for an account, without a namespace. They come from the account
/// itself: each has ids and a secret of its own, so that nothing intended for one can reach another.
pub fn access(account: &Simulator) -> [Value; 2] {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks"},
        "stringData": {"client-secret": account.client_secret},
    });
    let auth = json!({
        "apiVersion": "databricks-operator.io/v1alpha1", "kind": "DatabricksAuth", "metadata": {"name": "account"},
        "spec": {
            "cloud": "AWS", "accountId": account.account_id, "host": account.url(), "authType": "OAUTH_M2M",
            "clientId": account.client_id, "clientSecretRef": {"name": "databricks", "key": "client-secret"},
            "grants": [{"namespaces": {"from": "Same"}}],
        },
    });
    [secret, auth]
}
