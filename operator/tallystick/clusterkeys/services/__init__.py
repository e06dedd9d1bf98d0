"""The reconcilers of cluster keys: observe, decide, act through the ports."""
