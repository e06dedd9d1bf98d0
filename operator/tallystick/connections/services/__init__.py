"""The reconciler and use cases of connections: observe, decide, act through the ports."""
