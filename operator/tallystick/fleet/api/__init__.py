"""The models of Device and TokenRotation, and their CEL rules."""
