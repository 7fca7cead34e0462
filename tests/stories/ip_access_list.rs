//! IP access lists.

use serde_json::{Value, json};

use crate::support::Story;

#[tokio::test]
async fn a_list_is_made_kept_and_deleted() {
    let story = Story::start("ip-list-life").await;
    let spec = json!({"label": "office", "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.apply(&story.managed("IpAccessList", "office", spec)).await;
    let ready = story.wait_ready("IpAccessList", "office").await;
    let made = story.account.objects("ip-access-lists").remove(0);
    let id = made["list_id"].as_str().unwrap();
    assert_eq!(ready["status"]["externalId"], id);
    assert_eq!(made["ip_addresses"], json!(["203.0.113.0/24"]));

    // Somebody changes it in the console.
    story.account.edit("ip-access-lists", id, json!({"ip_addresses": ["198.51.100.7"]})).unwrap();
    let corrected = story.wait_event("IpAccessList", "office", "DriftCorrected").await;
    assert!(corrected.contains("ipAddresses"), "{corrected}");
    let now: Value = story.account.objects("ip-access-lists").remove(0);
    assert_eq!((&now["list_id"], &now["ip_addresses"]), (&made["list_id"], &made["ip_addresses"]));

    let wanted = json!(["192.0.2.0/24", "203.0.113.0/24"]);
    story.patch("IpAccessList", "office", json!({"spec": {"ipAddresses": wanted}})).await;
    story.wait_ready("IpAccessList", "office").await;
    assert_eq!(story.account.objects("ip-access-lists")[0]["ip_addresses"], wanted);

    story.delete("IpAccessList", "office").await;
    story.wait_gone("IpAccessList", "office").await;
    assert_eq!(story.account.objects("ip-access-lists"), [] as [Value; 0]);
    assert_eq!(story.account.writes().len(), 4, "{:?}", story.account.writes());
    story.end().await;
}
