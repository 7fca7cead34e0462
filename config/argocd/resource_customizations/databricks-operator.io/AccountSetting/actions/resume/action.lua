-- Lets the operator go on.
obj.spec.suspend = false
return obj
