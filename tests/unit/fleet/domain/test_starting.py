"""One rotation runs for each token, oldest first, and a name that has run is not run again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain import starting
from tallystick.fleet.domain.facts import Lock, PastRotation, RotationFacts, Strategy, Target
from tallystick.fleet.domain.starting import GoOn, Hold, Never, Start
from tallystick.fleet.domain.windows import Window
from tallystick.pairing.api.device_project import RotationState
from tests.fakes import NOON
from tests.worlds.rotating import ROTATION_UID, a_rotation, a_target

OTHER = a_rotation(name="rot-0", uid="00000000-0000-0000-0000-000000000006", created=NOON - timedelta(minutes=1))
RUNS = Lock("rot-0", OTHER.uid, 2, RotationState.RUNNING)
NO_WINDOW = Strategy(windows=(Window("0 2 * *", timedelta(hours=1)),))
PAST = PastRotation("rot-1", OTHER.uid, 1, RotationState.SUCCEEDED, NOON)


@pytest.mark.parametrize(
    ("rotation", "target", "others", "decision"),
    [
        pytest.param({}, {}, [], Start(), id="alone"),
        pytest.param({}, {"rotatable": False}, [], Hold(Reason.NOT_ROTATABLE, stalled=True), id="purpose Service"),
        pytest.param({}, {"revoked": True}, [], Never(Reason.TARGET_REVOKED, RotationState.FAILED), id="revoked"),
        pytest.param({}, {"lock": RUNS}, [], Hold(Reason.WAITING_FOR_ROTATION, behind="rot-0"), id="another runs"),
        pytest.param({}, {}, [OTHER], Hold(Reason.WAITING_FOR_ROTATION, behind="rot-0"), id="an older one waits"),
        pytest.param({}, {}, [replace(OTHER, order=DesiredState.PAUSED)], Start(), id="the older one is paused"),
        pytest.param({}, {"past": (PAST,)}, [], Hold(Reason.ALREADY_RUN, stalled=True), id="the name has run"),
        pytest.param({"strategy": NO_WINDOW}, {}, [], Hold(Reason.INVALID_WINDOW, stalled=True), id="no such window"),
        pytest.param({}, {}, [replace(OTHER, strategy=NO_WINDOW)], Start(), id="the older one has no such window"),
        pytest.param({"order": DesiredState.PAUSED}, {}, [], Hold(Reason.PAUSED), id="paused"),
        pytest.param({"deleting": True}, {}, [], Never(Reason.ABORTED, RotationState.ABORTED), id="deleted"),
        pytest.param(
            {}, {"lock": Lock("rot-1", ROTATION_UID, 2, RotationState.RUNNING)}, [], GoOn(2), id="after a crash"
        ),
    ],
)
def test_a_rotation_starts_or_waits(
    rotation: dict[str, object], target: dict[str, object], others: list[RotationFacts], decision: object
) -> None:
    assert starting.decide(a_rotation(**rotation), a_target(**target), others, NOON) == decision


@pytest.mark.parametrize(("age", "stalled"), [(59, False), (60, True)])
def test_a_missing_target_stalls_a_rotation_after_a_minute(age: int, stalled: bool) -> None:
    decision = starting.decide(a_rotation(), None, [], NOON + timedelta(seconds=age))

    assert decision == Hold(Reason.TARGET_NOT_FOUND, stalled=stalled)


def test_the_start_takes_the_lock_and_the_end_keeps_the_name() -> None:
    rotation = a_rotation(revokes_immediately=True)

    target = starting.started(a_target(), rotation)
    ended = starting.finished(target, replace(rotation, state=RotationState.ABORTED), NOON)

    assert (target.generation, target.revoked_below, target.lock) == (
        2,
        2,
        Lock("rot-1", ROTATION_UID, 2, RotationState.RUNNING),
    )
    assert ended.past == (PastRotation("rot-1", ROTATION_UID, 2, RotationState.ABORTED, NOON),)
    assert starting.finished(ended, replace(rotation, state=RotationState.ABORTED), NOON) == ended
    assert again(ended) == Hold(Reason.ALREADY_RUN, stalled=True)


def test_the_lock_of_a_rotation_that_is_gone_is_released() -> None:
    target = starting.started(a_target(), a_rotation())

    assert starting.orphan_released(target, [ROTATION_UID], NOON) == target
    assert starting.orphan_released(target, [], NOON).past[0].state is RotationState.ABORTED


def again(target: Target) -> starting.Decision:
    return starting.decide(a_rotation(uid=OTHER.uid), target, [], NOON)
