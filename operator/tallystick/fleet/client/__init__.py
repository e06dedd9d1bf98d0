"""A device by its contract (docs/devices.md): `tallystick agent`."""
