-- Stops all calls to the account for this object.
obj.spec.suspend = true
return obj
