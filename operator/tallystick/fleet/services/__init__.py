"""The use cases and reconcilers of a fleet, through ports."""
