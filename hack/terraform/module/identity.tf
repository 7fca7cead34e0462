# Principals of the account and what they may do. Changed: names, a member, a permission, a grant.
data "databricks_user" "ada" {
  user_name = "ada@example.com"
}

data "databricks_group" "analysts" {
  display_name = "analysts"
}

data "databricks_service_principal" "pipeline" {
  display_name = "pipeline"
}

resource "databricks_user" "tf" {
  user_name                = "Tf@example.com"
  display_name             = "Terraform${local.suffix}"
  disable_as_user_deletion = false
}

resource "databricks_service_principal" "robot" {
  display_name             = "tf-robot${local.suffix}"
  disable_as_user_deletion = false
}

resource "databricks_service_principal_secret" "robot" {
  service_principal_id = databricks_service_principal.robot.id
}

resource "databricks_group" "team" {
  display_name = "tf-team${local.suffix}"
}

resource "databricks_group_member" "of_team" {
  group_id  = databricks_group.team.id
  member_id = var.changed ? databricks_service_principal.robot.id : databricks_user.tf.id
}

resource "databricks_group_member" "ada" {
  group_id  = databricks_group.team.id
  member_id = data.databricks_user.ada.id
}

# This group keeps its name: version 1.50 of the provider reads a group without its roles before it replaces it as a whole.
resource "databricks_group" "admins" {
  display_name = "tf-admins"
}

resource "databricks_group_role" "admins" {
  group_id = databricks_group.admins.id
  role     = "account_admin"
}

resource "databricks_user_role" "tf" {
  user_id = databricks_user.tf.id
  role    = "account_admin"
}

resource "databricks_service_principal_role" "robot" {
  service_principal_id = databricks_service_principal.robot.id
  role                 = "account_admin"
}

resource "databricks_access_control_rule_set" "robot" {
  name = "accounts/${var.account_id}/servicePrincipals/${databricks_service_principal.robot.application_id}/ruleSets/default"

  grant_rules {
    role       = "roles/servicePrincipal.user"
    principals = var.changed ? [data.databricks_user.ada.acl_principal_id, data.databricks_group.analysts.acl_principal_id] : [data.databricks_user.ada.acl_principal_id]
  }
}

resource "databricks_mws_permission_assignment" "team" {
  workspace_id = databricks_mws_workspaces.main.workspace_id
  principal_id = databricks_group.team.id
  permissions  = [var.changed ? "ADMIN" : "USER"]
}

resource "databricks_mws_permission_assignment" "pipeline" {
  workspace_id = databricks_mws_workspaces.main.workspace_id
  principal_id = data.databricks_service_principal.pipeline.id
  permissions  = ["USER"]
}
