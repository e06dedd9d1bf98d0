"""The kopf edge: observe an event, mark the key as dirty, nothing else."""
