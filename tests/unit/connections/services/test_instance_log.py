"""What a replica keeps of heartbeats and when it writes: the cost is that of time, not of heartbeats (R23)."""

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.connections.domain.heartbeat_records import HeartbeatRecords, LastSeen
from tallystick.connections.domain.instance_maps import Record
from tallystick.connections.services.instance_log import (
    CHANGES_SECONDS,
    MOST_READS,
    POLL_SECONDS,
    SILENT_SECONDS,
    TIMES_SECONDS,
)
from tallystick.objects.ports import UnavailableError
from tests.worlds.instance_logs import EAST, SEEN, WEST, fill, last_seen, stored, turn, writes

DAY = 86_400


# What is news.


def test_an_instance_is_news_and_so_is_another_token_and_nothing_else(instances, clock):
    first = instances.note(WEST, "press-1", 1)
    clock.advance(15)

    reported = [
        instances.note(WEST, "press-1", 1),
        instances.note(WEST, "press-1", 2),
        instances.note(WEST, "press-1", 2),
        instances.note(WEST, "press-2", 2),
        instances.note(EAST, "press-1", 2),
        instances.note(WEST, "press-1", 1),
    ]

    assert first
    assert reported == [False, True, False, True, True, True]


# When it writes.


async def test_news_is_written_at_once_as_one_map_that_says_who_uses_which_token(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    instances.note(WEST, "press-2", 2)
    instances.note(EAST, "press-1", 1)

    waits = await turn(instances, clock)

    assert (waits, writes(cluster)) == (POLL_SECONDS, ["create"])
    assert stored(cluster) == {
        WEST.uid: Record(
            "edge", "dc-west", HeartbeatRecords({"press-1": LastSeen(1, SEEN), "press-2": LastSeen(2, SEEN)})
        ),
        EAST.uid: Record("edge", "dc-east", HeartbeatRecords({"press-1": LastSeen(1, SEEN)})),
    }


async def test_where_no_instance_is_nothing_is_written_or_read(instances, cluster, clock):
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
    assert len(last_seen(cluster)) == 200


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
    assert last_seen(cluster) == {"press-1": LastSeen(1, SEEN + 300)}


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
    first = last_seen(cluster)
    clock.advance(CHANGES_SECONDS)

    await turn(instances, clock)

    assert set(first) == {"press-1"}
    assert set(last_seen(cluster)) == {"press-1", "press-2"}


async def test_the_heartbeats_of_the_last_seconds_are_stored_when_a_replica_ends(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    instances.note(WEST, "press-1", 2)

    await instances.store()

    assert last_seen(cluster) == {"press-1": LastSeen(2, SEEN)}


# Forgetting.


async def test_after_a_day_of_silence_an_instance_is_forgotten_and_its_place_is_free(instances, cluster, clock):
    fill(instances, WEST, 1000)
    await turn(instances, clock)
    clock.advance(DAY - 1)
    instances.note(WEST, "i-00000", 1)
    await turn(instances, clock)
    before = len(last_seen(cluster))
    clock.advance(1)
    refused = instances.note(WEST, "new", 1)
    instances.note(WEST, "i-00000", 2)

    clock.advance(CHANGES_SECONDS)
    await turn(instances, clock)

    assert (before, refused) == (1000, False)
    assert last_seen(cluster) == {"i-00000": LastSeen(2, SEEN + DAY)}
    assert instances.note(WEST, "new", 1)


async def test_a_configuration_without_instances_leaves_the_map(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    clock.advance(DAY)
    instances.note(EAST, "press-1", 1)

    await turn(instances, clock)

    assert stored(cluster).keys() == {EAST.uid}


# Deleted configurations.


async def test_w_the_record_of_a_deleted_configuration_is_dropped_and_that_of_a_silent_one_stays(
    instances, cluster, clock
):
    instances.note(WEST, "press-1", 1)
    instances.note(EAST, "press-1", 1)
    await turn(instances, clock)

    cluster.remove(CONNECTION_CONFIGURATIONS, "edge", "dc-west")
    clock.advance(SILENT_SECONDS)
    await turn(instances, clock)

    assert stored(cluster).keys() == {EAST.uid}


async def test_w_the_record_of_a_configuration_that_was_created_again_is_dropped(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)

    cluster.put(CONNECTION_CONFIGURATIONS, {"metadata": {**WEST.to_json(), "uid": "another"}, "spec": {}})
    clock.advance(SILENT_SECONDS)
    await turn(instances, clock)

    assert stored(cluster) == {}


async def test_w_silent_configurations_cost_few_reads_and_an_outage_drops_no_record(instances, cluster, clock):
    many = [WEST.model_copy(update={"name": f"c-{number}", "uid": f"u-{number}"}) for number in range(3 * MOST_READS)]
    for meta in many:
        instances.note(meta, "press-1", 1)
    await turn(instances, clock)
    cluster.calls.clear()

    clock.advance(SILENT_SECONDS)
    cluster.fail_next("get", "connectionconfigurations", UnavailableError("down"))
    await turn(instances, clock)
    first = [call.verb for call in cluster.calls].count("get")
    await turn(instances, clock)

    assert [call.verb for call in cluster.calls].count("get") == first == MOST_READS
    assert len(stored(cluster)) == 2 * MOST_READS + 1
