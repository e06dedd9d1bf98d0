"""The model of ConnectionConfiguration, and its CEL rules."""
