"""What a replica keeps of heartbeats and when it writes: the cost is that of time, not of heartbeats (R23, S19)."""

import itertools

import pytest

from tallystick.api.core import CONFIG_MAPS
from tallystick.api.meta import ObjectMeta
from tallystick.domain.instance_maps import Record, instance_map, stored_records
from tallystick.domain.presence import Presence, Sighting
from tallystick.services.instance_log import (
    CHANGES_SECONDS,
    GROUP_BYTES,
    INSTANCE_BYTES,
    MOST_BYTES,
    POLL_SECONDS,
    TIMES_SECONDS,
    InstanceLog,
)
from tallystick.services.ports import ConflictError, RefusedError, UnavailableError
from tests.fakes import NOON, FakeClock, FakeCluster

OWN, REPLICA = "tallystick-system", "exchange-0"
MAP = f"tallystick-instances-{REPLICA}"
WEST = ObjectMeta(name="dc-west", namespace="edge", uid="uid-west")
EAST = ObjectMeta(name="dc-east", namespace="edge", uid="uid-east")
SEEN = int(NOON.timestamp())
DAY = 86_400
# What the API server takes in all values of a ConfigMap together, with their names.
LARGEST_MAP = 1024 * 1024


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cluster(clock):
    return FakeCluster(clock=clock)


@pytest.fixture
def instances(cluster, clock):
    return a_log(cluster, clock)


def a_log(cluster, clock, replica=REPLICA):
    return InstanceLog(cluster, clock, namespace=OWN, replica=replica)


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


def sightings(cluster, configuration=WEST):
    return dict(stored(cluster)[configuration.uid].presence.sightings)


# What is news.


def test_an_instance_is_news_and_so_is_another_token_and_nothing_else(instances, clock):
    first = instances.note(WEST, "press-1", 1)
    clock.advance(15)

    told = [
        instances.note(WEST, "press-1", 1),
        instances.note(WEST, "press-1", 2),
        instances.note(WEST, "press-1", 2),
        instances.note(WEST, "press-2", 2),
        instances.note(EAST, "press-1", 2),
        instances.note(WEST, "press-1", 1),
    ]

    assert first
    assert told == [False, True, False, True, True, True]


# When it writes.


async def test_news_is_written_at_once_as_one_map_that_says_who_uses_which_token(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    instances.note(WEST, "press-2", 2)
    instances.note(EAST, "press-1", 1)

    waits = await turn(instances, clock)

    assert (waits, writes(cluster)) == (POLL_SECONDS, ["create"])
    assert stored(cluster) == {
        WEST.uid: Record("edge", "dc-west", Presence({"press-1": Sighting(1, SEEN), "press-2": Sighting(2, SEEN)})),
        EAST.uid: Record("edge", "dc-east", Presence({"press-1": Sighting(1, SEEN)})),
    }


async def test_where_nobody_is_nothing_is_written_or_read(instances, cluster, clock):
    await turn(instances, clock)
    await instances.store()

    assert writes(cluster) == []
    assert stored(cluster) is None


async def test_many_changes_within_seconds_are_one_write(instances, cluster, clock):
    instances.note(WEST, "press-0", 1)
    await turn(instances, clock)
    writes(cluster)

    waits = []
    for number in range(1, 200):
        instances.note(WEST, f"press-{number}", 1)
        waits.append(await turn(instances, clock))
    early = writes(cluster)
    clock.advance(CHANGES_SECONDS - 0.01)
    waits.append(await turn(instances, clock))
    early += writes(cluster)
    clock.advance(0.01)
    await turn(instances, clock)

    assert (early, set(waits)) == ([], {POLL_SECONDS})
    assert writes(cluster) == ["replace"]
    assert len(sightings(cluster)) == 200


async def test_heartbeats_that_say_nothing_new_are_one_write_a_minute(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    writes(cluster)

    wrote_at = []
    for second in range(1, 301):
        clock.advance(1)
        if second % 15 == 0:
            instances.note(WEST, "press-1", 1)
        await turn(instances, clock)
        wrote_at += [second for _ in writes(cluster)]

    assert wrote_at == [60, 120, 180, 240, 300]
    assert sightings(cluster) == {"press-1": Sighting(1, SEEN + 300)}


async def test_without_heartbeats_nothing_is_written(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    writes(cluster)

    for _ in range(10):
        clock.advance(TIMES_SECONDS)
        await turn(instances, clock)

    assert writes(cluster) == []


async def test_at_worst_it_writes_each_3_seconds(instances, cluster, clock):
    wrote = []
    for number in range(120):
        instances.note(WEST, "press-1", number % 2 + 1)
        await turn(instances, clock)
        wrote += writes(cluster)
        clock.advance(POLL_SECONDS)

    assert len(wrote) == 60 / CHANGES_SECONDS


async def test_what_comes_in_while_a_write_is_under_way_is_written_next_time(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    cluster.before_next("create", "configmaps", lambda: instances.note(WEST, "press-2", 1))
    await turn(instances, clock)
    first = sightings(cluster)
    clock.advance(CHANGES_SECONDS)

    await turn(instances, clock)

    assert set(first) == {"press-1"}
    assert set(sightings(cluster)) == {"press-1", "press-2"}


async def test_what_the_last_seconds_have_told_is_stored_when_a_replica_ends(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    instances.note(WEST, "press-1", 2)

    await instances.store()

    assert sightings(cluster) == {"press-1": Sighting(2, SEEN)}


# After a restart, and beside others.


async def test_a_restart_loses_nobody(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    instances.note(WEST, "press-2", 1)
    instances.note(EAST, "press-9", 3)
    await instances.store()
    clock.advance(30)
    again = a_log(cluster, clock)

    again.note(WEST, "press-2", 2)
    await turn(again, clock)

    assert sightings(cluster) == {"press-1": Sighting(1, SEEN), "press-2": Sighting(2, SEEN + 30)}
    assert sightings(cluster, EAST) == {"press-9": Sighting(3, SEEN)}


async def test_replicas_have_maps_of_their_own(instances, cluster, clock):
    other = a_log(cluster, clock, "exchange-1")
    instances.note(WEST, "press-1", 1)
    other.note(WEST, "press-2", 1)

    await instances.store()
    await other.store()

    assert set(sightings(cluster)) == {"press-1"}
    assert set(stored(cluster, "tallystick-instances-exchange-1")[WEST.uid].presence.sightings) == {"press-2"}


@pytest.mark.parametrize("theirs", [1, 3], ids=["they used an older token", "they used a newer token"])
async def test_two_replicas_of_one_name_lose_nobody_and_the_later_sighting_counts(instances, cluster, clock, theirs):
    """The write of the one is a conflict to the other, which reads it and writes both."""
    instances.note(WEST, "press-1", 2)
    await instances.store()
    clock.advance(5)
    body = instance_map(OWN, REPLICA, {WEST.uid: Record("edge", "dc-west", Presence(seen_by_another(theirs)))})
    cluster.edit(CONFIG_MAPS, OWN, MAP, lambda found: found.update(data=body["data"]))
    writes(cluster)

    instances.note(WEST, "press-1", 2)
    instances.note(WEST, "press-3", 2)
    conflict = await turn(instances, clock)
    clock.advance(CHANGES_SECONDS)
    await turn(instances, clock)

    assert conflict == POLL_SECONDS
    assert writes(cluster) == ["replace", "replace"]
    assert sightings(cluster) == {
        "press-1": Sighting(2, SEEN + 5),
        "press-2": Sighting(theirs, SEEN + 4),
        "press-3": Sighting(2, SEEN + 5),
    }


def seen_by_another(serial):
    return {"press-1": Sighting(serial, SEEN + 4), "press-2": Sighting(serial, SEEN + 4)}


async def test_a_map_that_another_of_this_name_makes_first_is_taken_over(instances, cluster, clock):
    body = instance_map(OWN, REPLICA, {WEST.uid: Record("edge", "dc-west", Presence(seen_by_another(1)))})
    cluster.before_next("create", "configmaps", lambda: cluster.put(CONFIG_MAPS, body))
    instances.note(WEST, "press-9", 1)

    await turn(instances, clock)
    clock.advance(CHANGES_SECONDS)
    await turn(instances, clock)

    assert set(sightings(cluster)) == {"press-1", "press-2", "press-9"}


async def test_a_map_that_somebody_has_deleted_is_made_again(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    cluster.remove(CONFIG_MAPS, OWN, MAP)
    instances.note(WEST, "press-2", 1)

    for _ in range(2):
        clock.advance(CHANGES_SECONDS)
        await turn(instances, clock)

    assert set(sightings(cluster)) == {"press-1", "press-2"}


async def test_garbage_in_its_map_is_written_over(instances, cluster, clock):
    body = instance_map(OWN, REPLICA, {})
    cluster.put(CONFIG_MAPS, {**body, "data": {WEST.uid: "garbage", "uid-other": "[]"}})
    instances.note(WEST, "press-1", 1)

    await turn(instances, clock)

    assert stored(cluster).keys() == {WEST.uid}
    assert cluster.peek(CONFIG_MAPS, OWN, MAP)["data"].keys() == {WEST.uid}


# When the API server does not take it.


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        pytest.param(UnavailableError("down"), CHANGES_SECONDS, id="it does not answer"),
        pytest.param(UnavailableError("busy", retry_after=7.0), 7.0, id="it says when to come back"),
        pytest.param(RefusedError("forbidden"), TIMES_SECONDS, id="it refuses"),
    ],
)
@pytest.mark.parametrize("verb", ["get", "create"])
async def test_a_write_that_fails_is_tried_again_and_nothing_is_lost(instances, cluster, clock, verb, error, waits):
    instances.note(WEST, "press-1", 1)
    cluster.fail_next(verb, "configmaps", error)

    waited = await turn(instances, clock)
    clock.advance(waited)
    await turn(instances, clock)

    assert waited == waits
    assert sightings(cluster) == {"press-1": Sighting(1, SEEN)}


async def test_times_that_could_not_be_written_are_written_later(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    clock.advance(TIMES_SECONDS)
    instances.note(WEST, "press-1", 1)
    cluster.fail_next("replace", "configmaps", UnavailableError("down"))

    clock.advance(await turn(instances, clock))
    await turn(instances, clock)

    assert sightings(cluster) == {"press-1": Sighting(1, SEEN + 60)}


async def test_an_answer_that_is_lost_costs_another_look_and_loses_nobody(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    instances.note(WEST, "press-2", 1)
    clock.advance(CHANGES_SECONDS)
    cluster.fail_next("replace", "configmaps", UnavailableError("no answer"), applied=True)

    for _ in range(3):
        clock.advance(await turn(instances, clock))
        clock.advance(CHANGES_SECONDS)
        instances.note(WEST, "press-3", 1)

    assert set(sightings(cluster)) == {"press-1", "press-2", "press-3"}


@pytest.mark.parametrize("error", [ConflictError("changed"), UnavailableError("down")], ids=["conflict", "no answer"])
async def test_who_stores_for_the_last_time_hears_of_a_failure_and_can_try_again(instances, cluster, error):
    instances.note(WEST, "press-1", 1)
    await instances.store()
    instances.note(WEST, "press-2", 1)
    cluster.fail_next("replace", "configmaps", error)

    with pytest.raises(type(error)):
        await instances.store()
    await instances.store()

    assert set(sightings(cluster)) == {"press-1", "press-2"}


# S19: bounds.


def fill(instances, configuration, count, start=0):
    return [instances.note(configuration, f"i-{number:05}", 1) for number in range(start, start + count)]


async def test_s19_of_one_configuration_1000_ids_are_kept_and_the_rest_are_counted(instances, cluster, clock):
    assert fill(instances, WEST, 1000) == [True] * 1000
    for _ in range(4):  # a minute of heartbeats of 7 more, each 15 s
        assert fill(instances, WEST, 7, start=1000) == [False] * 7
    assert instances.note(EAST, "another-configuration", 1)

    await turn(instances, clock)

    presence = stored(cluster)[WEST.uid].presence
    assert (len(presence.sightings), presence.unlisted) == (1000, 7)
    assert stored(cluster)[EAST.uid].presence.unlisted == 0


async def test_s19_an_id_that_is_kept_is_never_refused_and_may_change_its_token(instances, cluster):
    fill(instances, WEST, 1001)

    told = [instances.note(WEST, "i-00007", 2), instances.note(WEST, "i-00007", 2), instances.note(WEST, "i-01000", 2)]

    await instances.store()
    assert told == [True, False, False]
    assert sightings(cluster)["i-00007"].serial == 2
    assert "i-01000" not in sightings(cluster)


async def test_s19_whoever_is_not_kept_costs_no_more_than_one_write_a_minute(instances, cluster, clock):
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
    in_between = stored(cluster)[WEST.uid].presence.unlisted
    clock.advance(30)
    instances.note(WEST, "i-00000", 2)
    await turn(instances, clock)

    assert (in_between, stored(cluster)[WEST.uid].presence.unlisted) == (7, 0)


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
    assert sum(len(record.presence.sightings) for record in records) == kept
    assert kept == (MOST_BYTES - len(records) * (GROUP_BYTES + len("edge") + len("c-000"))) // (INSTANCE_BYTES + 7)


async def test_s19_a_configuration_of_which_no_id_has_room_is_counted_all_the_same(instances, cluster):
    """Else its owner reads that nobody is there, and may revoke what is in use."""
    instances.note(WEST, "i-00000", 1)
    until_full(instances)
    for _ in range(4):
        fill(instances, WEST, 7, start=1)

    await instances.store()

    assert stored(cluster)[WEST.uid].presence.unlisted == 7


async def test_s19_after_a_restart_the_same_bounds_hold(instances, cluster, clock):
    kept = until_full(instances)
    await instances.store()
    again = a_log(cluster, clock)
    clock.advance(5)
    again.note(ObjectMeta(name="c-000", namespace="edge", uid="uid-0"), "i-00000", 1)
    await again.store()

    assert again.note(WEST, "one-too-many", 1) is False
    assert sum(len(record.presence.sightings) for record in stored(cluster).values()) == kept


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


# Forgetting.


async def test_after_a_day_of_silence_an_instance_is_forgotten_and_its_place_is_free(instances, cluster, clock):
    fill(instances, WEST, 1000)
    await turn(instances, clock)
    clock.advance(DAY - 1)
    instances.note(WEST, "i-00000", 1)
    await turn(instances, clock)
    before = len(sightings(cluster))
    clock.advance(1)
    refused = instances.note(WEST, "new", 1)
    instances.note(WEST, "i-00000", 2)

    clock.advance(CHANGES_SECONDS)
    await turn(instances, clock)

    assert (before, refused) == (1000, False)
    assert sightings(cluster) == {"i-00000": Sighting(2, SEEN + DAY)}
    assert instances.note(WEST, "new", 1)


async def test_a_configuration_without_instances_leaves_the_map(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    clock.advance(DAY)
    instances.note(EAST, "press-1", 1)

    await turn(instances, clock)

    assert stored(cluster).keys() == {EAST.uid}
