-- What is suspended is only resumed: the operator makes no calls for it.
local suspended = obj.spec.suspend == true
return {
  reconcile = { disabled = suspended },
  suspend = { disabled = suspended },
  resume = { disabled = not suspended },
}
