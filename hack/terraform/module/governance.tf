# Unity Catalog. Changed: the metastore's owner and what it shares, a comment, the default catalog of the workspace.
resource "databricks_metastore" "main" {
  name                                              = "tf-metastore"
  region                                            = local.region
  storage_root                                      = "s3://tf-metastore/root"
  owner                                             = var.changed ? data.databricks_group.analysts.display_name : data.databricks_user.ada.user_name
  delta_sharing_scope                               = var.changed ? "INTERNAL_AND_EXTERNAL" : "INTERNAL"
  delta_sharing_recipient_token_lifetime_in_seconds = 86400
}

resource "databricks_storage_credential" "lake" {
  metastore_id = databricks_metastore.main.id
  name         = "tf-lake"
  comment      = var.changed ? "The lake of the platform team" : "The lake"

  aws_iam_role {
    role_arn = "arn:aws:iam::123456789012:role/tf-lake${local.suffix}"
  }
}

resource "databricks_metastore_data_access" "logs" {
  metastore_id = databricks_metastore.main.id
  name         = "tf-logs"
  read_only    = true

  aws_iam_role {
    role_arn = "arn:aws:iam::123456789012:role/tf-logs"
  }
}

resource "databricks_metastore_assignment" "main" {
  workspace_id         = databricks_mws_workspaces.main.workspace_id
  metastore_id         = databricks_metastore.main.id
  default_catalog_name = var.changed ? "main" : "hive_metastore"
}
