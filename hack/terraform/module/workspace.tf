# What the workspace itself serves, at a host of its own. Changed: an address more, and the lists come into force.
resource "databricks_ip_access_list" "office" {
  provider     = databricks.workspace
  label        = "tf-office"
  list_type    = "ALLOW"
  ip_addresses = var.changed ? ["203.0.113.0/24", "198.51.100.7"] : ["203.0.113.0/24"]
}

resource "databricks_workspace_conf" "main" {
  provider      = databricks.workspace
  custom_config = { enableIpAccessLists = var.changed ? "true" : "false" }
  depends_on    = [databricks_ip_access_list.office]
}
