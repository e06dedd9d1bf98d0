"""The reconcilers and use cases of pairing: observe, decide, act through the ports."""
