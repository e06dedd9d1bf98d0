"""The controller's look at what the replicas have stored: it reads what changed, and no failure forgets anybody."""

import json

import pytest

from tallystick.connections.domain.heartbeat_records import SUPERSEDED_AFTER, HeartbeatRecords, LastSeen
from tallystick.connections.domain.instance_maps import INSTANCES_LABEL, Record, instance_map
from tallystick.connections.services.heartbeat_registry import HeartbeatRegistry
from tallystick.errors import NotYetError
from tallystick.objects.ports import ConflictError, NotFoundError, RefusedError, UnavailableError
from tallystick.schema.builtin import CONFIG_MAPS
from tests.fakes import NOON

OWN = "tallystick-system"
SEEN = int(NOON.timestamp())
DAY = 86_400
WEST, EAST = ("edge", "dc-west"), ("edge", "dc-east")


@pytest.fixture
def registry(cluster, clock):
    return HeartbeatRegistry(cluster, clock, namespace=OWN)


def a_record(where=WEST, unlisted=0, **instances):
    return Record(*where, HeartbeatRecords({name: LastSeen(*one) for name, one in instances.items()}, unlisted))


def store(cluster, replica, namespace=OWN, **records):
    """Write a replica's map, as it does: made at first, and replaced later."""
    body = instance_map(namespace, replica, {f"uid-{name}": record for name, record in records.items()})
    name = body["metadata"]["name"]
    if cluster.peek(CONFIG_MAPS, namespace, name) is None:
        cluster.put(CONFIG_MAPS, body)
    else:
        cluster.edit(CONFIG_MAPS, namespace, name, lambda found: found.update(data=body["data"]))
    return name


def calls(cluster):
    found = [(call.verb, call.name) for call in cluster.calls]
    cluster.calls.clear()
    return found


def test_before_the_first_look_no_instance_is_reported(registry):
    """Who is told that nobody uses an old token may revoke it."""
    with pytest.raises(NotYetError):
        registry.of("uid-west")


async def test_where_no_replica_has_stored_anything_no_instance_is_there(registry):
    assert await registry.refresh() == set()
    assert registry.of("uid-west") == HeartbeatRecords()


async def test_a_first_look_that_fails_is_none(registry, cluster):
    cluster.fail_next("list", "configmaps", UnavailableError("down"))

    with pytest.raises(UnavailableError):
        await registry.refresh()
    with pytest.raises(NotYetError):
        registry.of("uid-west")


async def test_replicas_are_joined_by_the_latest_heartbeat(registry, cluster):
    store(cluster, "one", west=a_record(a=(1, SEEN), b=(2, SEEN), unlisted=2))
    store(cluster, "two", west=a_record(a=(2, SEEN + 1), c=(1, SEEN), unlisted=3), east=a_record(EAST, a=(1, SEEN)))

    changed = await registry.refresh()

    assert changed == {WEST, EAST}
    expected = {"a": LastSeen(2, SEEN + 1), "b": LastSeen(2, SEEN), "c": LastSeen(1, SEEN)}
    assert registry.of("uid-west") == HeartbeatRecords(expected, unlisted=5)
    assert registry.of("uid-east") == HeartbeatRecords({"a": LastSeen(1, SEEN)})
    assert registry.of("uid-unknown") == HeartbeatRecords()


async def test_only_what_has_changed_is_read_and_reported(registry, cluster):
    store(cluster, "one", west=a_record(a=(1, SEEN)))
    two = store(cluster, "two", east=a_record(EAST, a=(1, SEEN)))
    await registry.refresh()
    calls(cluster)

    idle = await registry.refresh(), calls(cluster)
    store(cluster, "two", east=a_record(EAST, a=(2, SEEN)))
    busy = await registry.refresh(), calls(cluster)

    assert idle == (set(), [("list", "")])
    assert busy == ({EAST}, [("list", ""), ("get", two)])


async def test_a_map_that_says_the_same_in_another_version_is_no_change(registry, cluster):
    store(cluster, "one", west=a_record(a=(1, SEEN)))
    store(cluster, "two", west=a_record(a=(1, SEEN - 30)))
    await registry.refresh()

    store(cluster, "two", west=a_record(a=(1, SEEN - 15)))

    assert await registry.refresh() == set()


async def test_configmaps_of_others_are_not_looked_at(registry, cluster):
    name = store(cluster, "unlabelled", west=a_record(a=(1, SEEN)))
    cluster.edit(CONFIG_MAPS, OWN, name, lambda body: body["metadata"]["labels"].pop(INSTANCES_LABEL))
    store(cluster, "elsewhere", namespace="edge", west=a_record(a=(1, SEEN)))

    assert await registry.refresh() == set()
    assert registry.of("uid-west") == HeartbeatRecords()


async def test_s19_broken_lines_say_nothing(registry, cluster):
    name = store(cluster, "one", west=a_record(a=(1, SEEN)), east=a_record(EAST, a=(1, SEEN)))
    forger = json.dumps({"namespace": "edge", "name": "dc-west", "instances": {"\x1b[2Kpress": [1, SEEN]}})
    cluster.edit(CONFIG_MAPS, OWN, name, lambda body: body["data"].update({"uid-east": "garbage", "uid-x": forger}))

    assert await registry.refresh() == {WEST}
    assert registry.of("uid-east") == HeartbeatRecords()


@pytest.mark.parametrize("verb", ["list", "get"])
async def test_a_look_that_fails_changes_nothing_and_the_next_one_finds_it(registry, cluster, verb):
    store(cluster, "one", west=a_record(a=(1, SEEN)))
    await registry.refresh()
    store(cluster, "one", west=a_record(a=(2, SEEN)))
    cluster.fail_next(verb, "configmaps", UnavailableError("down"))

    with pytest.raises(UnavailableError):
        await registry.refresh()
    kept = registry.of("uid-west")

    assert kept == HeartbeatRecords({"a": LastSeen(1, SEEN)})
    assert await registry.refresh() == {WEST}
    assert registry.of("uid-west") == HeartbeatRecords({"a": LastSeen(2, SEEN)})


async def test_a_map_that_goes_between_list_and_get_is_gone(registry, cluster):
    store(cluster, "one", west=a_record(a=(1, SEEN)))
    cluster.fail_next("get", "configmaps", NotFoundError("gone"))

    assert await registry.refresh() == set()
    assert registry.of("uid-west") == HeartbeatRecords()


async def test_a_map_that_another_client_has_deleted_is_reported_as_a_change(registry, cluster):
    name = store(cluster, "one", west=a_record(a=(1, SEEN)))
    await registry.refresh()
    cluster.remove(CONFIG_MAPS, OWN, name)

    assert await registry.refresh() == {WEST}
    assert registry.of("uid-west") == HeartbeatRecords()
    assert await registry.refresh() == set()


async def test_the_map_of_a_replica_that_is_no_more_goes_when_no_instance_counts_for_it(registry, cluster, clock):
    name = store(cluster, "gone", west=a_record(a=(1, SEEN), b=(1, SEEN + 60)))
    await registry.refresh()
    clock.advance(DAY + 59)
    await registry.refresh()
    before = cluster.peek(CONFIG_MAPS, OWN, name)
    clock.advance(1)
    calls(cluster)

    changed = await registry.refresh()

    assert before is not None
    assert calls(cluster) == [("list", ""), ("delete", name)]
    assert cluster.peek(CONFIG_MAPS, OWN, name) is None
    assert changed == {WEST}
    assert registry.of("uid-west") == HeartbeatRecords()


async def test_a_map_that_was_just_written_is_not_deleted(registry, cluster, clock):
    """Its replica lives: the deletion holds for the version that was read alone."""
    name = store(cluster, "late", west=a_record(a=(1, SEEN)))
    await registry.refresh()
    clock.advance(DAY)
    fresh = a_record(a=(1, SEEN + DAY))
    cluster.before_next("delete", "configmaps", lambda: store(cluster, "late", west=fresh))

    with pytest.raises(ConflictError):
        await registry.refresh()
    changed = await registry.refresh()

    assert cluster.peek(CONFIG_MAPS, OWN, name) is not None
    assert changed == {WEST}
    assert registry.of("uid-west") == fresh.heartbeats


async def test_a_map_that_another_has_deleted_meanwhile_is_gone(registry, cluster, clock):
    name = store(cluster, "gone", west=a_record(a=(1, SEEN)))
    await registry.refresh()
    clock.advance(DAY)
    cluster.before_next("delete", "configmaps", lambda: cluster.remove(CONFIG_MAPS, OWN, name))

    assert await registry.refresh() == {WEST}


def add_data(body):
    body["data"]["README"] = "mine"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(add_data, id="it holds data of others"),
        pytest.param(lambda body: body.update(binaryData={"logo": "AAAA"}), id="it holds binary data of others"),
        pytest.param(
            lambda body: body["metadata"].update(deletionTimestamp="2030-01-01T12:00:00Z"),
            id="a finalizer of others delays its deletion",
        ),
    ],
)
async def test_a_map_that_others_keep_is_not_deleted(registry, cluster, clock, change):
    name = store(cluster, "gone", west=a_record(a=(1, SEEN)))
    kept = cluster.edit(CONFIG_MAPS, OWN, name, change)
    clock.advance(DAY)

    for _ in range(2):
        await registry.refresh()

    assert cluster.writes() == []
    assert cluster.peek(CONFIG_MAPS, OWN, name) == kept


async def test_a_map_that_only_has_our_label_is_not_deleted(registry, cluster):
    meta = {"name": "settings", "namespace": OWN, "labels": {INSTANCES_LABEL: "true"}}
    theirs = cluster.put(CONFIG_MAPS, {"metadata": meta})

    for _ in range(2):
        await registry.refresh()

    assert cluster.peek(CONFIG_MAPS, OWN, "settings") == theirs


def names(cluster):
    return {body["metadata"]["name"] for body in cluster.all(CONFIG_MAPS)}


async def refreshed_after(registry, clock, seconds):
    await registry.refresh()
    clock.advance(seconds)
    return await registry.refresh()


LONG = SUPERSEDED_AFTER.total_seconds()


async def test_the_map_of_a_former_replica_goes_when_its_instances_have_reported_to_others(registry, cluster, clock):
    """As after a rollout: each pod has a new name."""
    store(cluster, "old", west=a_record(a=(1, SEEN), b=(2, SEEN)), east=a_record(EAST, c=(1, SEEN)))
    new = store(cluster, "new", west=a_record(a=(2, SEEN + 60)), east=a_record(EAST, c=(1, SEEN + 60)))
    other = store(cluster, "other", west=a_record(b=(2, SEEN + 61)))
    await registry.refresh()
    before = registry.of("uid-west"), registry.of("uid-east")

    changed = await refreshed_after(registry, clock, LONG)

    assert names(cluster) == {new, other}
    assert (registry.of("uid-west"), registry.of("uid-east")) == before
    assert changed == set()


async def test_in_forty_rollouts_the_maps_do_not_heap_up(registry, cluster, clock):
    for number in range(40):
        now = int(clock.now().timestamp())
        for replica in ("a", "b"):
            store(cluster, f"{number}-{replica}", west=a_record(**{f"press-{replica}": (1, now)}))
        await refreshed_after(registry, clock, LONG)

    assert len(names(cluster)) <= 4
    assert registry.of("uid-west").last_seen.keys() == {"press-a", "press-b"}


@pytest.mark.parametrize(
    ("old", "seconds"),
    [
        pytest.param(a_record(a=(1, SEEN)), LONG - 1, id="in use until now"),
        pytest.param(a_record(a=(1, SEEN + 61)), 2 * LONG, id="the later heartbeat"),
        pytest.param(a_record(a=(2, SEEN + 60)), 2 * LONG, id="the later token"),
        pytest.param(a_record(a=(1, SEEN), z=(1, SEEN)), 2 * LONG, id="an instance of its own"),
        pytest.param(a_record(a=(1, SEEN), unlisted=1), 2 * LONG, id="instances that are only counted"),
    ],
)
async def test_a_map_that_others_cannot_replace_stays(registry, cluster, clock, old, seconds):
    kept = store(cluster, "old", west=old)
    store(cluster, "new", west=a_record(a=(1, SEEN + 60), y=(1, SEEN + int(seconds))))

    await refreshed_after(registry, clock, seconds)

    assert kept in names(cluster)


async def test_of_two_maps_with_the_same_facts_one_stays(registry, cluster, clock):
    for replica in ("one", "two"):
        store(cluster, replica, west=a_record(a=(1, SEEN)))

    for _ in range(3):
        await refreshed_after(registry, clock, LONG)

    assert len(names(cluster)) == 1
    assert registry.of("uid-west") == HeartbeatRecords({"a": LastSeen(1, SEEN)})


async def test_a_former_map_that_is_written_meanwhile_stays(registry, cluster, clock):
    old = store(cluster, "old", west=a_record(a=(1, SEEN)))
    store(cluster, "new", west=a_record(a=(1, SEEN + 60)))
    await registry.refresh()
    clock.advance(LONG)
    cluster.before_next("delete", "configmaps", lambda: store(cluster, "old", west=a_record(a=(2, SEEN + 200))))

    await registry.refresh()
    await registry.refresh()

    assert old in names(cluster)
    assert registry.of("uid-west").last_seen["a"] == LastSeen(2, SEEN + 200)


async def test_a_former_map_that_may_not_be_deleted_is_no_obstacle_and_is_not_read_again(registry, cluster, clock):
    store(cluster, "old", west=a_record(a=(1, SEEN)))
    store(cluster, "new", west=a_record(a=(1, SEEN + 60)))
    cluster.refusing["delete", "configmaps"] = RefusedError("forbidden")
    await refreshed_after(registry, clock, LONG)
    calls(cluster)

    assert await registry.refresh() == set()
    assert [verb for verb, _ in calls(cluster)] == ["list", "delete"]
