"""What one replica keeps of heartbeats, as tests fill, turn and read it."""

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.connections.domain.instance_maps import stored_records
from tallystick.connections.services.instance_log import InstanceLog
from tallystick.schema.builtin import CONFIG_MAPS
from tallystick.schema.meta import ObjectMeta
from tests.fakes import NOON, MemoryEvents

OWN, REPLICA = "tallystick-system", "exchange-0"
MAP = f"tallystick-instances-{REPLICA}"
WEST = ObjectMeta(name="dc-west", namespace="edge", uid="uid-west")
EAST = ObjectMeta(name="dc-east", namespace="edge", uid="uid-east")
SEEN = int(NOON.timestamp())


def a_log(cluster, clock, replica=REPLICA, events=None):
    """A log beside an API server that has both configurations."""
    for meta in (WEST, EAST):
        cluster.put(CONNECTION_CONFIGURATIONS, {"metadata": meta.to_json(), "spec": {}})
    return InstanceLog(cluster, clock, events or MemoryEvents(), namespace=OWN, replica=replica)


class EnoughError(Exception):
    """Ends the loop of `keep`."""


async def turn(instances, clock):
    """One turn of the loop of `keep`; returns for how long it would wait then."""

    async def pause(seconds):
        raise EnoughError(seconds)

    clock.pause = pause
    with pytest.raises(EnoughError) as waited:
        await instances.keep()
    return waited.value.args[0]


def writes(cluster):
    """The writes since the last look, by their verbs."""
    found = [call.verb for call in cluster.writes()]
    cluster.calls.clear()
    return found


def stored(cluster, name=MAP):
    body = cluster.peek(CONFIG_MAPS, OWN, name)
    return stored_records(body) if body is not None else None


def last_seen(cluster, configuration=WEST):
    return dict(stored(cluster)[configuration.uid].heartbeats.last_seen)


def fill(instances, configuration, count, start=0):
    return [instances.note(configuration, f"i-{number:05}", 1) for number in range(start, start + count)]
