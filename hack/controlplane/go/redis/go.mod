// The Redis of Argo CD, see main.go; built by the crate above this folder.
module redis

go 1.25.0

require github.com/alicebob/miniredis/v2 v2.35.0

require github.com/yuin/gopher-lua v1.1.1 // indirect
