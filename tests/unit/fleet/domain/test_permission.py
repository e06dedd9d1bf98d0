"""A device may start if each rule permits it: one table with one row for each way in which it may not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.batches import Batch
from tallystick.fleet.domain.facts import Lock, Offer, Opening, Strategy
from tallystick.fleet.domain.permission import is_open, may_start, why_not
from tallystick.fleet.domain.quantities import Quantity
from tallystick.pairing.api.device_project import RotationState
from tests.fakes import NOON
from tests.worlds.rotating import ROTATION_UID, a_device, a_rotation, a_target

LOCK = Lock("rot-1", ROTATION_UID, 2, RotationState.RUNNING)
TARGET = a_target(generation=2, lock=LOCK)
RUNNING = a_rotation(state=RotationState.RUNNING, generation=2, start_time=NOON, open=Opening(1), cuts=(None,))
SECOND = timedelta(seconds=1)


def test_a_device_of_an_open_batch_may_start() -> None:
    assert why_not(a_device(1), TARGET, RUNNING, NOON) is None
    assert may_start(a_device(1), TARGET, RUNNING, NOON)
    assert not may_start(a_device(1), TARGET, None, NOON)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        pytest.param({"lock": None}, "not locked", id="no rotation holds the lock"),
        pytest.param({"lock": replace(LOCK, state=RotationState.SUCCEEDED)}, "not locked", id="the lock is released"),
        pytest.param({"lock": replace(LOCK, uid="another")}, "not locked", id="another rotation of the name holds it"),
        pytest.param({"lock": replace(LOCK, generation=3)}, "not locked", id="the lock is for another generation"),
        pytest.param({"generation": 3}, "not locked", id="the token has a newer generation"),
    ],
)
def test_without_the_lock_no_device_starts(target: dict[str, Any], why: str) -> None:
    assert why_not(a_device(1), replace(TARGET, **target), RUNNING, NOON) == why


@pytest.mark.parametrize(
    ("rotation", "why"),
    [
        pytest.param({"order": DesiredState.PAUSED}, "stopped", id="paused in the spec"),
        pytest.param({"order": DesiredState.ABORTED}, "stopped", id="aborted in the spec"),
        pytest.param({"deleting": True}, "stopped", id="deleted"),
        pytest.param({"state": RotationState.HALTED}, "stopped", id="halted in the status"),
        pytest.param({"state": RotationState.ABORTING}, "stopped", id="aborting in the status"),
        pytest.param({"open": None}, "not open", id="nothing is open"),
        pytest.param({"open": Opening(1, "d-a000")}, "not open", id="open up to the device before"),
        pytest.param({"open": Opening(1, "d-a001")}, None, id="open up to this device"),
        pytest.param({"open": Opening(1, until=NOON)}, "out of time", id="the opening ends now"),
        pytest.param({"open": Opening(1, until=NOON + SECOND)}, None, id="the opening ends in a second"),
    ],
)
def test_a_rotation_lets_in_while_it_runs_and_as_far_as_it_is_open(rotation: dict[str, Any], why: str | None) -> None:
    assert why_not(a_device(1), TARGET, replace(RUNNING, **rotation), NOON) == why


@pytest.mark.parametrize(
    ("device", "compromised", "why"),
    [
        pytest.param({"generation": 2}, False, "not behind", id="it has the generation"),
        pytest.param({"first_generation": 2}, False, "not behind", id="it enrolled with it"),
        pytest.param({"offer": Offer(2, "key", NOON, "rot-1")}, False, "not behind", id="it was offered"),
        pytest.param({"key_thumbprint": None}, True, "keyless", id="after a compromise, without a key"),
        pytest.param({"key_thumbprint": None}, False, None, id="in a routine rotation, without a key"),
        pytest.param({}, True, None, id="after a compromise, with a key"),
    ],
)
def test_a_device_starts_if_it_is_behind_and_can_be_trusted(
    device: dict[str, Any], compromised: bool, why: str | None
) -> None:
    assert why_not(a_device(1, **device), TARGET, replace(RUNNING, compromised=compromised), NOON) == why


@pytest.mark.parametrize(
    ("opening", "opened"),
    [
        (None, []),
        (Opening(1, "d-a000"), [0]),
        (Opening(1), [0, 1]),
        (Opening(2, "d-a002"), [0, 1, 2]),
        (Opening(2), [0, 1, 2, 3]),
    ],
)
def test_batches_open_in_order_and_the_earlier_ones_stay_open(opening: Opening | None, opened: list[int]) -> None:
    strategy = Strategy((Batch("first", limit=Quantity(2)),))
    rotation = replace(RUNNING, strategy=strategy, cuts=("d-a001", None))

    assert [number for number in range(4) if is_open(a_device(number), rotation, opening)] == opened
