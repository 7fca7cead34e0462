# Networks of serverless compute. Changed: the workspace moves to the other configuration, and the rule leads to another target.
resource "databricks_mws_network_connectivity_config" "main" {
  name   = "tf-ncc"
  region = local.region
}

resource "databricks_mws_network_connectivity_config" "other" {
  name   = "tf-ncc-other"
  region = local.region
}

resource "databricks_mws_ncc_private_endpoint_rule" "storage" {
  network_connectivity_config_id = databricks_mws_network_connectivity_config.main.network_connectivity_config_id
  resource_id                    = "/subscriptions/1/storageAccounts/tf${local.suffix}"
  group_id                       = "blob"
}

resource "databricks_mws_ncc_binding" "main" {
  workspace_id                   = databricks_mws_workspaces.main.workspace_id
  network_connectivity_config_id = var.changed ? databricks_mws_network_connectivity_config.other.network_connectivity_config_id : databricks_mws_network_connectivity_config.main.network_connectivity_config_id
}
