"""One use case per file: observe, decide, act through the ports."""
