// The cache of Argo CD in memory: a server of the Redis protocol.
module tallystick.dev/tests/gitops/redis

go 1.24

require github.com/alicebob/miniredis/v2 v2.38.0

require github.com/yuin/gopher-lua v1.1.1 // indirect
