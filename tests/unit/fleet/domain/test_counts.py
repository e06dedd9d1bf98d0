"""The standing of a device follows from the Device, the rotation and the time, and the record from the standings."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tallystick.fleet.domain.counts import Counts, Standing, is_member, standing, time_of_change, why_failed
from tallystick.fleet.domain.facts import Failure, Offer, RotationFacts, Strategy
from tallystick.pairing.api.device_project import RotationState
from tests.fakes import NOON
from tests.worlds.rotating import a_device, a_rotation, a_target

TARGET = a_target(generation=3)
TIMEOUT, DEADLINE = timedelta(minutes=5), timedelta(minutes=20)
SECOND = timedelta(seconds=1)
OFFER = Offer(3, "key", NOON, "rot-1")
OLDER = Offer(2, "key", NOON, "rot-0")


def a_running(**changes: Any) -> RotationFacts:
    strategy = Strategy(in_progress_timeout=TIMEOUT, deadline=DEADLINE)
    made = a_rotation(state=RotationState.RUNNING, generation=3, start_time=NOON, strategy=strategy)
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("device", "target", "counted"),
    [
        pytest.param({}, {}, True, id="enrolled before"),
        pytest.param({"first_generation": 2}, {}, True, id="enrolled one generation before"),
        pytest.param({"first_generation": 3}, {}, False, id="enrolled since the start"),
        pytest.param({"revoked": True}, {}, False, id="revoked"),
        pytest.param({"deleting": True}, {}, False, id="being deleted"),
        pytest.param({}, {"revoked_through": 1}, False, id="revoked with its serial"),
        pytest.param({"serial": 2}, {"serial": 2, "revoked_through": 1}, True, id="of a serial that is not revoked"),
    ],
)
def test_a_rotation_counts_the_devices_that_it_can_wait_for(
    device: dict[str, Any], target: dict[str, Any], counted: bool
) -> None:
    assert is_member(a_device(1, **device), a_running(), replace(TARGET, **target)) is counted


@pytest.mark.parametrize(
    ("device", "after", "standing_then", "why"),
    [
        pytest.param({}, timedelta(0), Standing.PENDING, None, id="not started"),
        pytest.param({}, DEADLINE - SECOND, Standing.PENDING, None, id="a second before the deadline"),
        pytest.param({}, DEADLINE, Standing.FAILED, "DeadlineExceeded", id="at the deadline"),
        pytest.param({"offer": OFFER}, TIMEOUT - SECOND, Standing.IN_PROGRESS, None, id="in progress"),
        pytest.param({"offer": OFFER}, TIMEOUT, Standing.FAILED, "NotProved", id="not proved in time"),
        pytest.param({"offer": OLDER}, TIMEOUT, Standing.PENDING, None, id="an older offer is not proved"),
        pytest.param(
            {"offer": OFFER, "failure": Failure(3, "DiskFull", "", NOON)},
            timedelta(0),
            Standing.FAILED,
            "DiskFull",
            id="it says so",
        ),
        pytest.param(
            {"offer": OFFER, "failure": Failure(2, "DiskFull", "", NOON)},
            timedelta(0),
            Standing.IN_PROGRESS,
            None,
            id="it said so of an older copy",
        ),
        pytest.param({"generation": 3}, 2 * DEADLINE, Standing.SUCCEEDED, None, id="proved"),
        pytest.param({"generation": 4}, 2 * DEADLINE, Standing.SUCCEEDED, None, id="proved a newer one"),
    ],
)
def test_the_standing_of_a_device(
    device: dict[str, Any], after: timedelta, standing_then: Standing, why: str | None
) -> None:
    found = a_device(1, **device)

    assert standing(found, a_running(), NOON + after) is standing_then
    assert why_failed(found, a_running(), NOON + after) == why


@pytest.mark.parametrize(
    ("device", "standing_then"),
    [
        ({}, Standing.NO_ROTATION),
        ({"offer": OFFER}, Standing.IN_PROGRESS),
        ({"offer": OFFER, "failure": Failure(3, "DiskFull", "", NOON)}, Standing.NO_ROTATION),
        ({"generation": 3}, Standing.SUCCEEDED),
    ],
)
def test_after_an_abort_a_device_in_progress_may_finish(device: dict[str, Any], standing_then: Standing) -> None:
    aborted = a_running(state=RotationState.ABORTING)

    assert standing(a_device(1, **device), aborted, NOON) is standing_then


@pytest.mark.parametrize(
    ("device", "strategy", "changes"),
    [
        pytest.param({}, {}, DEADLINE, id="Pending: at the deadline"),
        pytest.param({}, {"deadline": None}, None, id="Pending without a deadline: never"),
        pytest.param({"offer": OFFER}, {}, TIMEOUT, id="in progress: at its timeout"),
        pytest.param({"offer": OFFER}, {"in_progress_timeout": 2 * DEADLINE}, DEADLINE, id="or at the deadline before"),
        pytest.param({"offer": OLDER}, {}, DEADLINE, id="an older offer has no timeout in this rotation"),
        pytest.param({"generation": 3}, {}, None, id="Succeeded: never"),
    ],
)
def test_the_time_at_which_a_standing_changes_without_an_event(
    device: dict[str, Any], strategy: dict[str, Any], changes: timedelta | None
) -> None:
    running = a_running()
    running = replace(running, strategy=replace(running.strategy, **strategy))

    assert time_of_change(a_device(1, **device), running, NOON) == (None if changes is None else NOON + changes)


def test_the_record_of_the_end_names_who_is_left_failed_or_without_rotation() -> None:
    counts = Counts(pending=1, in_progress=2, succeeded=3, failed=4, no_rotation=5)

    assert counts.at_the_end(RotationState.FAILED) == Counts(succeeded=3, failed=7, no_rotation=5)
    assert counts.at_the_end(RotationState.ABORTED) == Counts(succeeded=3, no_rotation=12)
