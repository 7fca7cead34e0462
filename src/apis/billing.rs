//! What the APIs of budgets and of budget policies have in common: the role that their calls need.

use crate::databricks;

/// The API names the role that a caller lacks, in its own words. The rest of the error stays as it is, and so does its class.
pub fn advised(mut error: databricks::Error) -> databricks::Error {
    if let databricks::Error::Api { status: 403, message, .. } = &mut error
        && message.to_lowercase().contains("billing.admin")
    {
        message.push_str(
            "; give the service principal of the DatabricksAuth the role billing.admin or account_admin of the account",
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::crd::Reason;
    use crate::engine::error::Error;

    #[test]
    fn the_missing_role_is_named_and_nothing_else_is_changed() {
        let text = "You are not allowed to call this API, consider getting billing.admin role for : a";
        let error = |status, message: &str| databricks::Error::Api {
            call: "GET /budgets".into(),
            status,
            code: (status == 404).then(|| "RESOURCE_DOES_NOT_EXIST".into()),
            message: message.into(),
            retry_after: None,
            request_id: None,
        };
        let denied = Error::from(advised(error(403, text)));
        assert!(denied.is_rejected(Reason::PermissionDenied), "{denied:?}");
        let denied = denied.to_string();
        assert!(
            denied.contains(text) && denied.contains("service principal of the DatabricksAuth"),
            "{denied}"
        );
        for other in [error(403, "Forbidden"), error(500, text), error(404, "no such budget")] {
            let before = other.to_string();
            assert_eq!(advised(other).to_string(), before);
        }
        assert!(advised(error(404, "no such budget")).is_absence());
    }
}
