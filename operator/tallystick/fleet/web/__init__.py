"""The HTTP endpoints of devices."""
