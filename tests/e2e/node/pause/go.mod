module tallystick.dev/tests/e2e/pause

go 1.26.0
