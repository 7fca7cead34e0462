# What the provider lists. Each must show what the module created.
data "databricks_mws_workspaces" "all" {
  depends_on = [databricks_mws_workspaces.main]

  lifecycle {
    postcondition {
      condition     = lookup(self.ids, "tf-workspace", null) == databricks_mws_workspaces.main.workspace_id
      error_message = "The workspace is not listed."
    }
  }
}

data "databricks_mws_credentials" "all" {
  depends_on = [databricks_mws_credentials.log_writer]

  lifecycle {
    postcondition {
      condition     = lookup(self.ids, "tf-log-writer", null) == databricks_mws_credentials.log_writer.credentials_id
      error_message = "The credentials are not listed."
    }
  }
}

data "databricks_metastores" "all" {
  depends_on = [databricks_metastore.main]

  lifecycle {
    postcondition {
      condition     = lookup(self.ids, "tf-metastore", null) == databricks_metastore.main.id
      error_message = "The metastore is not listed."
    }
  }
}

data "databricks_service_principals" "robots" {
  display_name_contains = "tf-robot"
  depends_on            = [databricks_service_principal.robot]

  lifecycle {
    postcondition {
      condition     = contains(self.application_ids, databricks_service_principal.robot.application_id)
      error_message = "The service principal is not listed."
    }
  }
}
