module tallystick.dev/interop

go 1.24
