// A verifier of Tallystick's tokens that shares no code with Tallystick: go-jose, pinned, and nothing else.
module tallystick.dev/foreign-verifier

go 1.26.0

require github.com/go-jose/go-jose/v4 v4.1.8
