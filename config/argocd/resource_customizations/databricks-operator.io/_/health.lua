-- All kinds of databricks-operator.io follow kstatus: conditions Ready, Reconciling and Stalled, and a
-- status.observedGeneration that is there from the start, as -1. The order of the conditions means nothing.
local generation = obj.metadata.generation
local observed = nil
local conditions = {}
if obj.status ~= nil then
  observed = obj.status.observedGeneration
  for _, condition in ipairs(obj.status.conditions or {}) do
    conditions[condition.type] = condition
  end
end

local function is_true(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

-- A health status with what a condition says.
local function tell(status, condition)
  local message = condition.reason
  if condition.message ~= nil and condition.message ~= "" then
    message = message .. ": " .. condition.message
  end
  return { status = status, message = message }
end

if obj.spec ~= nil and obj.spec.suspend == true then
  return { status = "Suspended", message = "spec.suspend is true" }
end
if observed == generation and is_true("Stalled") then
  return tell("Degraded", conditions["Stalled"])
end
if observed == generation and is_true("Ready") and not is_true("Reconciling") then
  -- What works may still differ from its spec, or be out of reach for a while.
  local synced = conditions["Synced"]
  if synced ~= nil and synced.status == "False" then
    return tell("Healthy", synced)
  end
  return tell("Healthy", conditions["Ready"])
end

-- What was said about an older generation is not said about this one.
local progress = conditions["Reconciling"] or conditions["Ready"]
if progress ~= nil and progress.observedGeneration == generation then
  return tell("Progressing", progress)
end
return { status = "Progressing", message = "Waiting for the operator to look at the newest generation" }
