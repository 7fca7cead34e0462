-- Asks for one look at the account now. Any new value of the annotation does; the version of the object is new each time.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
local version = obj.metadata.resourceVersion
obj.metadata.annotations["databricks-operator.io/reconcile-requested-at"] = "resourceVersion " .. version
return obj
