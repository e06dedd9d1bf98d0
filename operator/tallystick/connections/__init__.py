"""Connections: the kind ConnectionConfiguration."""
