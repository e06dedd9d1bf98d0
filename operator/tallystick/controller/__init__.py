"""The controller process: the kopf edge, cache, work queue, expiry heap, Lease, re-list."""
