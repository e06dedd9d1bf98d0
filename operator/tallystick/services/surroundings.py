"""What every use case of a process has around it, in one value."""

from dataclasses import dataclass

from tallystick.services.freshness import ServerClock
from tallystick.services.ports import Audit, Clock, Events


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The ports that are the same for all use cases of one process.

    Args:
        clock: time.
        server_clock: what is known of the API server's time.
        audit: the audit log.
        events: Kubernetes events.
    """

    clock: Clock
    server_clock: ServerClock
    audit: Audit
    events: Events
