"""Services of both processes: clock, ids, audit log, events, metrics, logs."""
