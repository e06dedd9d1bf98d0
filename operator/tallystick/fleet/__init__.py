"""A fleet: the kinds Device and TokenRotation."""
