//! Fields that cannot change inside an optional object of a spec, with a kind planted for that: its rules are made like those
//! of all kinds. No operator runs; the test writes the status that one would write.

use databricks_operator::engine::kind::of;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::planted::PlantedPolicy;
use crate::support::cluster;

const NAMESPACE: &str = "optional-block";

/// The API server's view of the planted kind.
struct Server {
    api: Api<DynamicObject>,
}

impl Server {
    async fn start() -> Server {
        let driver = of::<PlantedPolicy>();
        let crd = json!(driver.crd()).to_string();
        cluster().kubectl(&["apply", "--server-side", "-f", "-"], &crd).await.unwrap();
        let established =
            ["wait", "crd", "plantedpolicies.planted.example.org", "--for=condition=Established"];
        cluster().kubectl(&established, "").await.unwrap();
        cluster().kubectl(&["create", "namespace", NAMESPACE], "").await.unwrap();
        let client = cluster().client().await.unwrap();
        Server { api: Api::namespaced_with(client, NAMESPACE, &driver.api_resource()) }
    }

    /// Creates an object with this value of `endpoints`, or without it, and binds it as an operator does.
    async fn bound(&self, name: &str, endpoints: Value, observed: Value) {
        let mut spec = json!({"authRef": {"name": "account"}});
        if !endpoints.is_null() {
            spec["endpoints"] = endpoints;
        }
        let object = json!({
            "apiVersion": "planted.example.org/v1alpha1", "kind": "PlantedPolicy", "metadata": {"name": name}, "spec": spec,
        });
        self.api.create(&Default::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        // The first write binds it; each later one has to pass the rules as well.
        for generation in [1, 2] {
            let status = json!({"externalId": "1", "observedGeneration": generation, "observed": observed});
            let patch = Patch::Merge(json!({"status": status}));
            let written = self.api.patch_status(name, &PatchParams::default(), &patch).await;
            assert!(written.is_ok(), "write {generation} of the status of {name}: {written:?}");
        }
    }

    /// What the API server says to this value of `endpoints`; a `null` in it removes a field.
    async fn change(&self, name: &str, endpoints: Value) -> Result<(), String> {
        let patch = Patch::Merge(json!({"spec": {"endpoints": endpoints}}));
        match self.api.patch(name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 422 => Err(status.message.clone()),
            Err(error) => panic!("{name}: {error}"),
        }
    }

    async fn refuses(&self, name: &str, endpoints: Value, field: &str) {
        let shown = endpoints.to_string();
        let said = self.change(name, endpoints).await.expect_err(&shown);
        assert!(said.contains(&format!("spec.{field} cannot be changed")), "{name} {shown}: {said}");
    }
}

/// Covers IM-02. A status can be written whether or not the object around such a field is there, and the field is neither
/// changed, added nor removed, alone or together with the object around it, unless the account has no value of it.
#[tokio::test]
async fn a_fixed_field_of_an_optional_object_holds_up_no_status_and_stays_as_it_is() {
    let server = Server::start().await;
    let (api, port) = ("endpoints.restApi", "endpoints.relay.portName");
    let whole = json!({"restApi": "a", "comment": "c", "relay": {"portName": "p"}});
    server.bound("whole", whole, json!({"restApi": "a", "portName": "p"})).await;
    server.bound("empty", json!({}), Value::Null).await;
    server.bound("none", Value::Null, Value::Null).await;
    server.bound("wrong", json!({"restApi": "a"}), json!({"restApi": "right"})).await;
    let lacking = json!({"restApi": "a", "relay": {"portName": "p"}});
    server.bound("lacking", lacking.clone(), json!({"portName": "p"})).await;
    server.bound("unread", lacking, Value::Null).await;

    server.change("whole", json!({"comment": "other"})).await.unwrap();
    server.refuses("whole", json!({"restApi": "b"}), api).await;
    server.refuses("whole", json!({"restApi": null}), api).await;
    server.refuses("whole", json!({"relay": {"portName": "q"}}), port).await;
    server.refuses("whole", json!({"relay": null}), port).await;
    server.refuses("whole", Value::Null, api).await;
    for name in ["empty", "none"] {
        server.change(name, json!({"comment": "first"})).await.unwrap();
        server.refuses(name, json!({"restApi": "a"}), api).await;
        server.refuses(name, json!({"relay": {"portName": "p"}}), port).await;
        server.change(name, Value::Null).await.unwrap();
    }
    server.bound("set", json!({"groups": ["a", "b"]}), Value::Null).await;
    server.change("set", json!({"groups": ["b", "a"]})).await.unwrap();
    server.refuses("set", json!({"groups": ["a", "c"]}), "endpoints.groups").await;
    server.refuses("wrong", json!({"restApi": "b"}), api).await;
    server.change("wrong", json!({"restApi": "right"})).await.unwrap();
    // The account has no value of it: so may the spec.
    server.refuses("unread", json!({"restApi": null}), api).await;
    server.refuses("lacking", json!({"relay": null}), port).await;
    server.change("lacking", json!({"restApi": null})).await.unwrap();
    server.refuses("lacking", json!({"restApi": "a"}), api).await;
}
