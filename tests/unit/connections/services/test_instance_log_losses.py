"""What a replica keeps of heartbeats is lost neither in a restart, nor to another writer, nor for want of an answer."""

import pytest

from tallystick.connections.domain.heartbeat_records import HeartbeatRecords, LastSeen
from tallystick.connections.domain.instance_maps import Record, instance_map
from tallystick.connections.services.instance_log import CHANGES_SECONDS, POLL_SECONDS, TIMES_SECONDS
from tallystick.objects.ports import ConflictError, RefusedError, UnavailableError
from tallystick.schema.builtin import CONFIG_MAPS
from tests.builders import OTHER_UID
from tests.fakes import MemoryEvents
from tests.worlds.instance_logs import (
    EAST,
    MAP,
    OWN,
    REPLICA,
    SEEN,
    WEST,
    a_log,
    last_seen,
    stored,
    turn,
    writes,
)

# After a restart, and beside others.


async def test_a_restart_loses_no_instance(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    instances.note(WEST, "press-2", 1)
    instances.note(EAST, "press-9", 3)
    await instances.store()
    clock.advance(30)
    again = a_log(cluster, clock)

    again.note(WEST, "press-2", 2)
    await turn(again, clock)

    assert last_seen(cluster) == {"press-1": LastSeen(1, SEEN), "press-2": LastSeen(2, SEEN + 30)}
    assert last_seen(cluster, EAST) == {"press-9": LastSeen(3, SEEN)}


@pytest.mark.parametrize(
    "error", [ConflictError("another version"), UnavailableError("no answer")], ids=["a conflict", "an outage"]
)
async def test_the_last_write_of_a_process_is_tried_once_more(instances, cluster, error):
    instances.note(WEST, "press-1", 1)
    cluster.fail_next("create", "configmaps", error)

    await instances.store_last()

    assert set(last_seen(cluster)) == {"press-1"}


async def test_a_process_that_cannot_store_its_last_heartbeats_ends_all_the_same(instances, cluster):
    instances.note(WEST, "press-1", 1)
    for _ in range(2):
        cluster.fail_next("create", "configmaps", UnavailableError("no answer"))

    await instances.store_last()

    assert stored(cluster) is None


async def test_replicas_have_maps_of_their_own(instances, cluster, clock):
    other = a_log(cluster, clock, "exchange-1")
    instances.note(WEST, "press-1", 1)
    other.note(WEST, "press-2", 1)

    await instances.store()
    await other.store()

    assert set(last_seen(cluster)) == {"press-1"}
    assert set(stored(cluster, "tallystick-instances-exchange-1")[WEST.uid].heartbeats.last_seen) == {"press-2"}


@pytest.mark.parametrize("theirs", [1, 3], ids=["they used an older token", "they used a newer token"])
async def test_two_replicas_of_one_name_lose_no_instance_and_the_later_heartbeat_counts(
    instances, cluster, clock, theirs
):
    """The write of the one is a conflict to the other, which reads it and writes both."""
    instances.note(WEST, "press-1", 2)
    await instances.store()
    clock.advance(5)
    body = instance_map(OWN, REPLICA, {WEST.uid: Record("edge", "dc-west", HeartbeatRecords(seen_by_another(theirs)))})
    cluster.edit(CONFIG_MAPS, OWN, MAP, lambda found: found.update(data=body["data"]))
    writes(cluster)

    instances.note(WEST, "press-1", 2)
    instances.note(WEST, "press-3", 2)
    conflict = await turn(instances, clock)
    clock.advance(CHANGES_SECONDS)
    await turn(instances, clock)

    assert conflict == POLL_SECONDS
    assert writes(cluster) == ["replace", "replace"]
    assert last_seen(cluster) == {
        "press-1": LastSeen(2, SEEN + 5),
        "press-2": LastSeen(theirs, SEEN + 4),
        "press-3": LastSeen(2, SEEN + 5),
    }


def seen_by_another(serial):
    return {"press-1": LastSeen(serial, SEEN + 4), "press-2": LastSeen(serial, SEEN + 4)}


async def test_a_map_that_another_of_this_name_makes_first_is_taken_over(instances, cluster, clock):
    body = instance_map(OWN, REPLICA, {WEST.uid: Record("edge", "dc-west", HeartbeatRecords(seen_by_another(1)))})
    cluster.before_next("create", "configmaps", lambda: cluster.put(CONFIG_MAPS, body))
    instances.note(WEST, "press-9", 1)

    await turn(instances, clock)
    clock.advance(CHANGES_SECONDS)
    await turn(instances, clock)

    assert set(last_seen(cluster)) == {"press-1", "press-2", "press-9"}


async def test_a_map_that_another_client_has_deleted_is_made_again(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    cluster.remove(CONFIG_MAPS, OWN, MAP)
    instances.note(WEST, "press-2", 1)

    for _ in range(2):
        clock.advance(CHANGES_SECONDS)
        await turn(instances, clock)

    assert set(last_seen(cluster)) == {"press-1", "press-2"}


async def test_garbage_in_its_map_is_written_over(instances, cluster, clock):
    body = instance_map(OWN, REPLICA, {})
    cluster.put(CONFIG_MAPS, {**body, "data": {WEST.uid: "garbage", OTHER_UID: "[]"}})
    instances.note(WEST, "press-1", 1)

    await turn(instances, clock)

    assert stored(cluster).keys() == {WEST.uid}
    assert cluster.peek(CONFIG_MAPS, OWN, MAP)["data"].keys() == {WEST.uid}


async def test_what_others_have_added_to_its_map_stays(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)

    def add(body):
        body["metadata"]["labels"] |= {"team": "blue"}
        body["metadata"] |= {"annotations": {"note": "mine"}, "finalizers": ["example.com/kept"]}
        body["data"] |= {"README": "who wrote this"}
        body["binaryData"] = {"logo": "AAAA"}

    added = cluster.edit(CONFIG_MAPS, OWN, MAP, add)
    for name in ("press-2", "press-3"):
        instances.note(WEST, name, 1)
        for _ in range(2):
            clock.advance(CHANGES_SECONDS)
            await turn(instances, clock)

    after = cluster.peek(CONFIG_MAPS, OWN, MAP)
    assert set(last_seen(cluster)) == {"press-1", "press-2", "press-3"}
    assert after["metadata"] == added["metadata"] | {"resourceVersion": after["metadata"]["resourceVersion"]}
    assert (after["data"]["README"], after["binaryData"]) == ("who wrote this", {"logo": "AAAA"})


async def test_a_map_of_this_name_that_was_there_before_keeps_what_it_holds(instances, cluster, clock):
    meta = {"name": MAP, "namespace": OWN, "annotations": {"note": "mine"}}
    cluster.put(CONFIG_MAPS, {"metadata": meta, "data": {"README": "mine"}})
    instances.note(WEST, "press-1", 1)

    await turn(instances, clock)

    after = cluster.peek(CONFIG_MAPS, OWN, MAP)
    assert (after["data"].keys(), after["metadata"]["annotations"]) == ({"README", WEST.uid}, {"note": "mine"})
    assert after["metadata"]["labels"]["tallystick.dev/instances"] == "true"


# When the API server does not take it.


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        pytest.param(UnavailableError("down"), CHANGES_SECONDS, id="it does not answer"),
        pytest.param(UnavailableError("busy", retry_after=7.0), 7.0, id="it says when to come back"),
        pytest.param(RefusedError("forbidden"), CHANGES_SECONDS, id="it refuses"),
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
    assert last_seen(cluster) == {"press-1": LastSeen(1, SEEN)}


async def test_after_each_refusal_the_next_attempt_is_later_and_a_success_starts_again(instances, cluster, clock):
    """A refusal may end within seconds, as while an API server starts, or never."""
    waits = []
    for refusals in (7, 1):
        instances.note(WEST, f"press-{refusals}", 1)
        for _ in range(refusals):
            cluster.fail_next("get" if refusals > 1 else "replace", "configmaps", RefusedError("forbidden"))
        for _ in range(refusals):
            waits.append(await turn(instances, clock))
            clock.advance(waits[-1])
        await turn(instances, clock)
        clock.advance(CHANGES_SECONDS)

    assert waits == [3, 6, 12, 24, 48, 60, 60, 3]
    assert set(last_seen(cluster)) == {"press-7", "press-1"}


async def test_a_record_that_is_refused_is_an_event_about_each_configuration_once(cluster, clock):
    events = MemoryEvents()
    instances = a_log(cluster, clock, events=events)
    for configuration in (WEST, EAST):
        instances.note(configuration, "press-1", 1)
    cluster.refusing["create", "configmaps"] = RefusedError("exceeded quota: none")

    for _ in range(3):
        clock.advance(await turn(instances, clock))
        instances.note(WEST, "press-1", 1)
    told = [(event.kind, event.namespace, event.name, event.reason) for event in events.warnings]
    cluster.refusing.clear()
    clock.advance(await turn(instances, clock))

    assert told == [("ConnectionConfiguration", "edge", name, "HeartbeatsNotStored") for name in ("dc-west", "dc-east")]
    assert "exceeded quota: none; raise the quota" in events.warnings[0].message
    assert set(last_seen(cluster)) == {"press-1"}


async def test_times_that_could_not_be_written_are_written_later(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    clock.advance(TIMES_SECONDS)
    instances.note(WEST, "press-1", 1)
    cluster.fail_next("replace", "configmaps", UnavailableError("down"))

    clock.advance(await turn(instances, clock))
    await turn(instances, clock)

    assert last_seen(cluster) == {"press-1": LastSeen(1, SEEN + 60)}


async def test_an_answer_that_is_lost_costs_another_look_and_loses_no_instance(instances, cluster, clock):
    instances.note(WEST, "press-1", 1)
    await turn(instances, clock)
    instances.note(WEST, "press-2", 1)
    clock.advance(CHANGES_SECONDS)
    cluster.fail_next("replace", "configmaps", UnavailableError("no answer"), applied=True)

    for _ in range(3):
        clock.advance(await turn(instances, clock))
        clock.advance(CHANGES_SECONDS)
        instances.note(WEST, "press-3", 1)

    assert set(last_seen(cluster)) == {"press-1", "press-2", "press-3"}


@pytest.mark.parametrize("error", [ConflictError("changed"), UnavailableError("down")], ids=["conflict", "no answer"])
async def test_the_last_write_raises_its_failure_and_can_be_tried_again(instances, cluster, error):
    instances.note(WEST, "press-1", 1)
    await instances.store()
    instances.note(WEST, "press-2", 1)
    cluster.fail_next("replace", "configmaps", error)

    with pytest.raises(type(error)):
        await instances.store()
    await instances.store()

    assert set(last_seen(cluster)) == {"press-1", "press-2"}
