# A workspace and what it is built from. Changed: role and network are replaced below a running workspace, whose update names the new ones
# before the old ones are deleted; it gets a key for its storage, and another tag.
resource "databricks_mws_credentials" "main" {
  credentials_name = "tf-credentials${local.suffix}"
  role_arn         = "arn:aws:iam::123456789012:role/tf${local.suffix}"

  lifecycle {
    create_before_destroy = true
  }
}

resource "databricks_mws_storage_configurations" "main" {
  account_id                 = var.account_id
  storage_configuration_name = "tf-storage"
  bucket_name                = "tf-root"
}

resource "databricks_mws_vpc_endpoint" "rest" {
  account_id          = var.account_id
  vpc_endpoint_name   = "tf-rest"
  aws_vpc_endpoint_id = "vpce-0a1"
  region              = local.region
}

resource "databricks_mws_vpc_endpoint" "relay" {
  account_id          = var.account_id
  vpc_endpoint_name   = "tf-relay"
  aws_vpc_endpoint_id = "vpce-0b2"
  region              = local.region
}

resource "databricks_mws_networks" "main" {
  account_id         = var.account_id
  network_name       = "tf-network${local.suffix}"
  vpc_id             = "vpc-0c3"
  subnet_ids         = var.changed ? ["subnet-3", "subnet-4"] : ["subnet-1", "subnet-2"]
  security_group_ids = var.changed ? ["sg-2"] : ["sg-1"]

  vpc_endpoints {
    rest_api        = [databricks_mws_vpc_endpoint.rest.vpc_endpoint_id]
    dataplane_relay = [databricks_mws_vpc_endpoint.relay.vpc_endpoint_id]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "databricks_mws_private_access_settings" "main" {
  private_access_settings_name = "tf-access${local.suffix}"
  region                       = local.region
  public_access_enabled        = var.changed
  private_access_level         = var.changed ? "ENDPOINT" : "ACCOUNT"
  allowed_vpc_endpoint_ids     = var.changed ? [databricks_mws_vpc_endpoint.rest.vpc_endpoint_id] : []
}

resource "databricks_mws_customer_managed_keys" "services" {
  account_id = var.account_id
  use_cases  = ["MANAGED_SERVICES"]

  aws_key_info {
    key_arn   = "arn:aws:kms:eu-west-1:123456789012:key/services"
    key_alias = "alias/tf-services"
  }
}

resource "databricks_mws_customer_managed_keys" "storage" {
  account_id = var.account_id
  use_cases  = ["STORAGE"]

  aws_key_info {
    key_arn   = "arn:aws:kms:eu-west-1:123456789012:key/storage"
    key_alias = "alias/tf-storage"
  }
}

resource "databricks_mws_workspaces" "main" {
  account_id                               = var.account_id
  workspace_name                           = "tf-workspace"
  aws_region                               = local.region
  credentials_id                           = databricks_mws_credentials.main.credentials_id
  storage_configuration_id                 = databricks_mws_storage_configurations.main.storage_configuration_id
  network_id                               = databricks_mws_networks.main.network_id
  private_access_settings_id               = databricks_mws_private_access_settings.main.private_access_settings_id
  managed_services_customer_managed_key_id = databricks_mws_customer_managed_keys.services.customer_managed_key_id
  storage_customer_managed_key_id          = var.changed ? databricks_mws_customer_managed_keys.storage.customer_managed_key_id : null
  custom_tags                              = { team = var.changed ? "platform" : "data" }

  # The provider cannot take a configuration from a workspace, so the workspace goes first.
  depends_on = [databricks_mws_network_connectivity_config.main, databricks_mws_network_connectivity_config.other]
}

# The API deletes none, so a destroy leaves it behind, disabled.
resource "databricks_mws_log_delivery" "audit" {
  account_id               = var.account_id
  credentials_id           = databricks_mws_credentials.log_writer.credentials_id
  storage_configuration_id = databricks_mws_storage_configurations.main.storage_configuration_id
  config_name              = "tf-audit"
  delivery_path_prefix     = "audit"
  log_type                 = "AUDIT_LOGS"
  output_format            = "JSON"
  status                   = var.changed ? "DISABLED" : "ENABLED"
}

resource "databricks_mws_credentials" "log_writer" {
  credentials_name = "tf-log-writer"
  role_arn         = "arn:aws:iam::123456789012:role/tf-log-writer"
}
