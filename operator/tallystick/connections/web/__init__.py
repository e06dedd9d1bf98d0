"""The HTTP endpoint of connections."""
