"""The counts that follow each change are those of the devices, and the names are those that a walk would find."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.fleet.domain.batches import Batch, batch_of, draw
from tallystick.fleet.domain.counts import Counts, Standing, is_member, standing
from tallystick.fleet.domain.facts import DeviceFacts, Failure, Offer, Opening, RotationFacts, Strategy, Target
from tallystick.fleet.domain.permission import is_open
from tallystick.fleet.domain.quantities import Quantity
from tallystick.fleet.domain.rotation.tally import Tally
from tallystick.pairing.api.device_project import RotationState
from tests.builders import UID
from tests.fakes import NOON

GATE, SOAK = 100, 5_000
NAMES = [f"d-{letter * 26}" for letter in "abcdefgh"]
TARGET = Target("edge", "cams", UID, generation=2)
STRATEGIES = [
    Strategy(),
    Strategy(batches=(Batch("canary", limit=Quantity(2)),)),
    Strategy(batches=(Batch("north", {"site": "north"}), Batch("half", limit=Quantity.percent(50)))),
]


def examples(rounds):
    """Try so many examples: new ones in every run."""
    return settings(max_examples=rounds, deadline=None)


def a_device(name, **changes):
    return DeviceFacts(name, f"uid of {name}", NOON, 1, 1, "k-1", key_thumbprint="T", checked_in=True, **changes)


def offered(seconds):
    return Offer(2, "k-1", NOON + timedelta(seconds=seconds), "rot-1")


STATES = st.one_of(
    st.just({}),
    st.just({"generation": 2}),
    st.builds(lambda seconds: {"offer": offered(seconds)}, st.integers(0, 400)),
    st.just({"offer": offered(0), "failure": Failure(2, "DiskFull", "", NOON)}),
    st.just({"revoked": True}),
    st.just({"labels": {"site": "north"}}),
    st.none(),
)
CHANGES = st.lists(st.tuples(st.sampled_from(NAMES), STATES, st.integers(0, 200)), max_size=30)
OPENINGS = st.lists(
    st.one_of(
        st.none(),
        st.builds(Opening, st.integers(1, 3), st.one_of(st.none(), st.sampled_from(NAMES))),
    ),
    max_size=6,
)


def a_rotation(strategy, devices):
    facts = RotationFacts("rot-1", "uid", NOON, strategy=strategy, state=RotationState.RUNNING, generation=2)
    return replace(facts, start_time=NOON, cuts=draw(devices, strategy.batches))


def played(strategy, changes):
    """Follow changes by a tally; return it with the rotation, the devices and the time."""
    devices = {name: a_device(name) for name in NAMES[:5]}
    rotation, now = a_rotation(strategy, devices.values()), NOON
    tally = Tally(rotation, TARGET, now)
    tally.fill(devices.values(), now)
    for name, state, seconds in changes:
        now += timedelta(seconds=seconds)
        for due in tally.overdue(now):
            tally.note(due, devices.get(due), now)
        if state is None:
            devices.pop(name, None)
        else:
            devices[name] = a_device(name, **state)
        tally.note(name, devices.get(name), now)
    return tally, rotation, devices, now


def members(rotation, devices):
    return [device for device in devices.values() if is_member(device, rotation, TARGET)]


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_the_counts_are_those_of_the_devices(rounds, figure):
    @examples(rounds)
    @given(strategy=st.sampled_from(STRATEGIES), changes=CHANGES)
    def check(strategy, changes):
        tally, rotation, devices, now = played(strategy, changes)

        batches = len(strategy.batches) + 1
        expected = [
            Counts.of(
                standing(device, rotation, now)
                for device in members(rotation, devices)
                if batch_of(device, strategy.batches, rotation.cuts) == number
            )
            for number in range(1, batches + 1)
        ]
        assert list(tally.counts) == expected
        failed = {device.name for device in members(rotation, devices) if standing(device, rotation, now) == "Failed"}
        found = tally.failed(20)
        assert {one.name for one in found} == failed
        assert found == sorted(found, reverse=True)
        assert tally.failed(1) == found[:1]

    check()
    figure(f"{rounds} histories")


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_the_names_are_those_that_a_walk_finds(rounds, figure):
    @examples(rounds)
    @given(strategy=st.sampled_from(STRATEGIES), changes=CHANGES, openings=OPENINGS)
    def check(strategy, changes, openings):
        tally, rotation, devices, now = played(strategy, changes)
        pending = sorted(
            (device for device in members(rotation, devices) if standing(device, rotation, now) is Standing.PENDING),
            key=lambda device: device.name,
        )
        batches = len(strategy.batches) + 1

        for opening in openings:
            if opening is not None and opening.batch > batches:
                continue
            walked = {device.name for device in pending if is_open(device, rotation, opening)}
            assert tally.open_and_pending(opening) == walked

            number, after = (1, "") if opening is None else (opening.batch, opening.through)
            if after is None:
                number, after = number + 1, ""
            upcoming = [
                device.name
                for device in pending
                if batch_of(device, strategy.batches, rotation.cuts) == number and device.name > after
            ]
            assert list(tally.upcoming(opening, 3)) == upcoming[:3]

    check()
    figure(f"{rounds} histories")


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_the_next_change_comes_not_later_than_any_change_by_time(rounds, figure):
    @examples(rounds)
    @given(strategy=st.sampled_from(STRATEGIES), changes=CHANGES)
    def check(strategy, changes):
        tally, rotation, devices, now = played(strategy, changes)

        due = tally.next_change()
        until = due - timedelta(seconds=1) if due is not None else now + timedelta(days=1)

        changed = [
            device.name
            for device in members(rotation, devices)
            if until > now and standing(device, rotation, until) != standing(device, rotation, now)
        ]
        assert changed == []

    check()
    figure(f"{rounds} histories")
