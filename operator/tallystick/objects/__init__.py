"""The shared parts of every reconciler: Kind, ports, conditions, owned Secrets, self-healing, fresh reads."""
