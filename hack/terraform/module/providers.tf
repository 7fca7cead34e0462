# The provider is configured twice: for the account, and for the workspace that the module creates. The proxy of
# `make terraform` knows both hosts, and leads to the simulated account.
terraform {
  required_providers {
    databricks = { source = "databricks/databricks" }
  }
}

variable "account_id" {
  type = string
}

variable "client_id" {
  type = string
}

variable "client_secret" {
  type      = string
  sensitive = true
}

# Off in the first steps, on in the later ones: each `var.changed` below is something that a user edits.
variable "changed" {
  type    = bool
  default = false
}

locals {
  region = "eu-west-1"
  suffix = var.changed ? "-next" : ""
}

provider "databricks" {
  host          = "https://accounts.cloud.databricks.com"
  account_id    = var.account_id
  client_id     = var.client_id
  client_secret = var.client_secret
}

provider "databricks" {
  alias         = "workspace"
  host          = databricks_mws_workspaces.main.workspace_url
  client_id     = var.client_id
  client_secret = var.client_secret
}
