"""The engine of the controller: store, work queue, expiry, leadership, re-list, events, audit."""
