"""Events: few, bounded, and never in anybody's way."""

import asyncio

import pytest

from tallystick.objects.ports import RefusedError
from tallystick.runtime import events
from tallystick.runtime.events import EventRecorder
from tallystick.schema.builtin import EVENTS
from tests.fakes import NOON, FakeClock, FakeCluster

LOOKS_LIKE_A_TOKEN = "ey" + "JhbGciOiJub25lIn0.e30.c2ln"


def an_object(name: str = "press-1", namespace: str = "edge", uid: str = "u1") -> dict:
    return {
        "apiVersion": "tallystick.dev/v1alpha1",
        "kind": "PairingToken",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "7"},
    }


class World:
    """A recorder, its clock and cluster, and how many events were suppressed."""

    def __init__(self) -> None:
        self.cluster, self.clock, self.suppressed = FakeCluster(), FakeClock(), 0
        self.recorder = EventRecorder(self.cluster, self.clock, "tallystick-controller", on_suppressed=self.suppress)

    def suppress(self) -> None:
        self.suppressed += 1

    async def written(self) -> list[dict]:
        """Let the recorder write what waits, and look at all events in the order of their names."""
        self.recorder.close()
        await self.recorder.run()
        return self.cluster.all(EVENTS)


async def test_an_event_names_its_object_and_says_why():
    world = World()

    world.recorder.warn(an_object(), "SecretConflict", "Secret press-1-pairing-token belongs to somebody else.")

    (event,) = await world.written()
    assert event["involvedObject"] == {
        "apiVersion": "tallystick.dev/v1alpha1",
        "kind": "PairingToken",
        "namespace": "edge",
        "name": "press-1",
        "uid": "u1",
        "resourceVersion": "7",
    }
    assert (event["type"], event["reason"], event["count"]) == ("Warning", "SecretConflict", 1)
    assert event["message"] == "Secret press-1-pairing-token belongs to somebody else."
    assert event["lastTimestamp"] == "2030-01-01T12:00:00Z"
    assert event["source"] == {"component": "tallystick-controller"}
    assert event["metadata"]["namespace"] == "edge"
    name, _, number = event["metadata"]["name"].partition(".")
    assert name == "press-1"
    assert int(number, 16) > NOON.timestamp()


async def test_an_event_about_a_cluster_scoped_object_lives_in_default():
    world = World()

    world.recorder.warn(an_object(namespace=""), "Odd", "text")

    (event,) = await world.written()
    assert (event["metadata"]["namespace"], event["involvedObject"]["namespace"]) == ("default", "")


async def test_one_event_a_minute_per_object_and_reason_and_the_next_one_counts_the_others():
    world = World()
    for _ in range(5):
        world.recorder.warn(an_object(), "ReplayDetected", "text")
        world.clock.advance(10)
    world.clock.advance(10)
    world.recorder.warn(an_object(), "ReplayDetected", "text")

    first, second = await world.written()
    assert (first["count"], second["count"]) == (1, 5)
    assert (second["firstTimestamp"], second["lastTimestamp"]) == ("2030-01-01T12:00:10Z", "2030-01-01T12:01:00Z")
    assert world.suppressed == 4


async def test_another_reason_or_object_is_not_held_up():
    world = World()

    world.recorder.warn(an_object(), "ReplayDetected", "text")
    world.recorder.warn(an_object(), "SecretConflict", "text")
    world.recorder.warn(an_object(uid="u2"), "ReplayDetected", "text")

    assert len(await world.written()) == 3


async def test_what_is_remembered_is_bounded_and_the_oldest_is_forgotten(monkeypatch):
    monkeypatch.setattr(events, "REMEMBERED", 2)
    world = World()

    for uid in ("u1", "u2", "u3", "u1", "u3"):
        world.recorder.warn(an_object(uid=uid), "ReplayDetected", "text")

    uids = sorted(event["involvedObject"]["uid"] for event in await world.written())
    assert uids == ["u1", "u1", "u2", "u3"]


async def test_events_beyond_what_may_wait_are_dropped_and_counted():
    world = World()

    for number in range(events.WAITING + 7):
        world.recorder.warn(an_object(uid=f"u{number}"), "Odd", "text")

    assert world.suppressed == 7
    assert len(await world.written()) == events.WAITING


async def test_an_event_that_the_server_refuses_is_dropped_and_the_next_is_written():
    world = World()
    world.cluster.fail_next("create", "events", RefusedError("namespace is being terminated"))
    world.recorder.warn(an_object(uid="u1"), "Odd", "text")
    world.recorder.warn(an_object(uid="u2"), "Odd", "text")

    (event,) = await world.written()

    assert event["involvedObject"]["uid"] == "u2"
    assert world.suppressed == 1


async def test_a_closed_recorder_takes_no_more_events():
    world = World()
    await world.written()

    world.recorder.warn(an_object(), "Odd", "text")

    assert await world.written() == []


async def test_a_running_recorder_writes_each_event_as_it_comes():
    world, written = World(), asyncio.Event()
    world.cluster.after_next("create", "events", written.set)
    running = asyncio.create_task(world.recorder.run())

    world.recorder.warn(an_object(), "Odd", "text")
    async with asyncio.timeout(5):
        await written.wait()
    world.recorder.close()
    await running

    assert len(world.cluster.all(EVENTS)) == 1


@pytest.mark.parametrize(
    ("message", "written"),
    [
        pytest.param("x" * 2000, "x" * 1021 + "...", id="too long"),
        pytest.param("é" * 1000, "é" * 510 + "...", id="counted in bytes"),
        pytest.param("a\x1b[31mb\nc", "a [31mb c", id="control characters"),
        pytest.param(f"token {LOOKS_LIKE_A_TOKEN} was bad", "token [redacted] was bad", id="a token"),
    ],
)
async def test_a_message_is_made_fit(message, written):
    world = World()

    world.recorder.warn(an_object(), "Odd", message)

    (event,) = await world.written()
    assert event["message"] == written


async def test_nothing_is_too_odd_to_warn_about():
    world = World()

    world.recorder.warn({}, "Odd", "text")

    (event,) = await world.written()
    assert event["involvedObject"]["name"] == ""
