"""How much a replica keeps of heartbeats at most, and what happens to the rest (S19)."""

import itertools

import pytest

from tallystick.connections.services.instance_log import (
    CHANGES_SECONDS,
    GROUP_BYTES,
    INSTANCE_BYTES,
    MOST_BYTES,
    TIMES_SECONDS,
)
from tallystick.schema.builtin import CONFIG_MAPS
from tallystick.schema.meta import ObjectMeta
from tests.worlds.instance_logs import EAST, MAP, OWN, WEST, a_log, fill, last_seen, stored, turn, writes

# What the API server takes in all values of a ConfigMap together, with their names.
LARGEST_MAP = 1024 * 1024


async def test_s19_of_one_configuration_1000_ids_are_kept_and_the_rest_are_counted(instances, cluster, clock):
    assert fill(instances, WEST, 1000) == [True] * 1000
    for _ in range(4):  # a minute of heartbeats of 7 more, each 15 s
        assert fill(instances, WEST, 7, start=1000) == [False] * 7
    assert instances.note(EAST, "another-configuration", 1)

    await turn(instances, clock)

    presence = stored(cluster)[WEST.uid].heartbeats
    assert (len(presence.last_seen), presence.unlisted) == (1000, 7)
    assert stored(cluster)[EAST.uid].heartbeats.unlisted == 0


async def test_s19_an_id_that_is_kept_is_never_refused_and_may_change_its_token(instances, cluster):
    fill(instances, WEST, 1001)

    reported = [
        instances.note(WEST, "i-00007", 2),
        instances.note(WEST, "i-00007", 2),
        instances.note(WEST, "i-01000", 2),
    ]

    await instances.store()
    assert reported == [True, False, False]
    assert last_seen(cluster)["i-00007"].serial == 2
    assert "i-01000" not in last_seen(cluster)


async def test_s19_instances_that_are_not_kept_cost_at_most_one_write_a_minute(instances, cluster, clock):
    fill(instances, WEST, 1000)
    await turn(instances, clock)
    writes(cluster)

    for _ in range(100):
        fill(instances, WEST, 10, start=5000)
        clock.advance(CHANGES_SECONDS)
        await turn(instances, clock)

    assert len(writes(cluster)) == 100 * CHANGES_SECONDS / TIMES_SECONDS


async def test_the_count_of_those_that_are_not_kept_is_that_of_the_last_minute(instances, cluster, clock):
    fill(instances, WEST, 1000)
    for _ in range(4):
        fill(instances, WEST, 7, start=1000)
    await turn(instances, clock)
    clock.advance(30)
    instances.note(WEST, "i-00000", 2)
    await turn(instances, clock)
    in_between = stored(cluster)[WEST.uid].heartbeats.unlisted
    clock.advance(30)
    instances.note(WEST, "i-00000", 2)
    await turn(instances, clock)

    assert (in_between, stored(cluster)[WEST.uid].heartbeats.unlisted) == (7, 0)


def until_full(instances):
    """Fill configurations of the same size until there is room for no more ids; return how many ids were kept."""
    kept = 0
    for number in itertools.count():
        meta = ObjectMeta(name=f"c-{number:03}", namespace="edge", uid=f"uid-{number}")
        news = [instances.note(meta, f"i-{instance:05}", 1) for instance in range(1000)]
        kept += sum(news)
        if not all(news):
            return kept
    raise AssertionError


async def test_s19_of_all_configurations_together_as_many_ids_are_kept_as_fit(instances, cluster):
    kept = until_full(instances)

    assert instances.note(WEST, "one-too-many", 1) is False
    await instances.store()

    records = stored(cluster).values()
    assert sum(len(record.heartbeats.last_seen) for record in records) == kept
    assert kept == (MOST_BYTES - len(records) * (GROUP_BYTES + len("edge") + len("c-000"))) // (INSTANCE_BYTES + 7)


async def test_s19_a_configuration_of_which_no_id_has_room_is_counted_all_the_same(instances, cluster):
    """Else its owner reads that nobody is there, and may revoke what is in use."""
    instances.note(WEST, "i-00000", 1)
    until_full(instances)
    for _ in range(4):
        fill(instances, WEST, 7, start=1)

    await instances.store()

    assert stored(cluster)[WEST.uid].heartbeats.unlisted == 7


async def test_s19_after_a_restart_the_same_bounds_hold(instances, cluster, clock):
    kept = until_full(instances)
    await instances.store()
    again = a_log(cluster, clock)
    clock.advance(5)
    again.note(ObjectMeta(name="c-000", namespace="edge", uid="uid-0"), "i-00000", 1)
    await again.store()

    assert again.note(WEST, "one-too-many", 1) is False
    assert sum(len(record.heartbeats.last_seen) for record in stored(cluster).values()) == kept


@pytest.mark.parametrize("configurations", [10, 100, 1_000, 10_000])
async def test_s19_what_is_kept_fits_into_one_map(instances, cluster, configurations):
    """The API server takes 1 MiB; a map that it refuses would be refused for ever, and nobody's heartbeats stored."""
    for number in range(configurations):
        meta = ObjectMeta(name=f"{number:063}", namespace="n" * 63, uid=f"{number:036}")
        for instance in range(12_000 // configurations):
            instances.note(meta, f"{instance:064}", 10**9)

    await instances.store()

    data = cluster.peek(CONFIG_MAPS, OWN, MAP)["data"]
    assert LARGEST_MAP / 2 < sum(len(name) + len(value) for name, value in data.items()) <= LARGEST_MAP
