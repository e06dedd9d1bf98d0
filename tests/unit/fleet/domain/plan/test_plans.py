"""A plan says when each batch opens and how the rotation ends, and warns of what would stop it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.batches import Batch, draw
from tallystick.fleet.domain.facts import DeviceFacts, Lock, Opening, PastRotation, RotationFacts, Strategy, Target
from tallystick.fleet.domain.plan.advice import warnings
from tallystick.fleet.domain.plan.forecast import NoPlan, Plan, make_plan
from tallystick.fleet.domain.plan.shown import ending, enrolled_by_ended_value, heading, notes, rows, suspects_text
from tallystick.fleet.domain.quantities import Quantity
from tallystick.fleet.domain.starting import started
from tallystick.fleet.domain.windows import Window
from tallystick.pairing.api.device_project import RotationState
from tests.fakes import NOON
from tests.unit.prose import Text, problems
from tests.worlds.rotating import a_device, a_rotation, a_target

LONG_AGO = NOON - timedelta(days=30)


def devices(count: int, first: int = 0, **changes: Any) -> list[DeviceFacts]:
    return [a_device(number, created=LONG_AGO, **changes) for number in range(first, first + count)]


def plan_of(
    found: list[DeviceFacts],
    *,
    target: Target | None = None,
    others: tuple[RotationFacts, ...] = (),
    order: Mapping[str, Any] | None = None,
    **strategy: Any,
) -> Plan | NoPlan:
    rotation = a_rotation(strategy=Strategy(**strategy), **(order or {}))
    return make_plan(rotation, target or a_target(), found, others, now=NOON, unseen=timedelta(days=7))


def planned(found: list[DeviceFacts], **changes: Any) -> Plan:
    plan = plan_of(found, **changes)
    assert isinstance(plan, Plan)
    # Each text of a plan keeps the style rule.
    texts = [*warnings(plan), *notes(plan), ending(plan), suspects_text(2, None), suspects_text(2, NOON)]
    assert problems([Text("plan", text) for text in texts], most_words=60) == []
    return plan


def test_a_plan_has_a_row_for_each_batch_and_the_end() -> None:
    plan = planned(devices(20), batches=(Batch("canary", limit=Quantity(2)), Batch("half", limit=Quantity.percent(50))))

    table = rows(plan)

    assert heading(plan) == "TokenRotation edge/rot-1 of PairingToken edge/cams: 20 devices, if it starts now"
    assert [row[:3] for row in table] == [("canary", "2", "0"), ("half", "10", "0"), ("rest", "8", "0")]
    assert [row[5] for row in table] == ["2", "10", "8"]
    assert table[0][3] == "2030-01-01T12:00:00Z"
    assert table[0][4] <= table[1][3] <= table[1][4] <= table[2][3] <= table[2][4]
    assert ending(plan).startswith("The rotation succeeds at 2030-01-01T12:00:")
    assert warnings(plan) == ()


def test_a_gate_is_raised_at_once_and_named() -> None:
    plan = planned(devices(4), order={"open_batches": 1}, batches=(Batch("canary", limit=Quantity(1)),))

    assert rows(plan)[1][3].endswith("Z by hand")
    assert not rows(plan)[0][3].endswith("by hand")
    assert notes(plan)[1] == "`by hand`: raise spec.openBatches; the times assume that you do so at once."


def test_the_plan_of_a_rotation_that_runs_is_what_remains() -> None:
    found = [replace(one, generation=2) for one in devices(2)] + devices(2, first=2)
    batches = (Batch("canary", limit=Quantity(2)),)
    rotation = a_rotation(
        strategy=Strategy(batches=batches, min_success_time=timedelta(minutes=5)),
        state=RotationState.RUNNING,
        generation=2,
        start_time=NOON - timedelta(minutes=4),
        open=Opening(1),
        cuts=draw(found, batches),
        done_times=(NOON - timedelta(minutes=3), None),
    )
    target = started(a_target(), rotation)

    plan = make_plan(rotation, target, found, (), now=NOON, unseen=timedelta(days=7))

    assert isinstance(plan, Plan)
    assert heading(plan).endswith("edge/cams: Running, 2 of 4 devices have used the new copy")
    assert rows(plan)[0] == ("canary", "2", "2", "open", "2030-01-01T11:57:00Z", "2")
    assert rows(plan)[1][3] == "2030-01-01T12:02:00Z"


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        pytest.param(
            {"found": [*devices(18), *devices(2, 18, last_seen=LONG_AGO)]},
            "not seen for 7d, so not expected: 2 devices of 20: d-a018, d-a019",
            id="not seen",
        ),
        pytest.param(
            {"found": [*devices(9), *devices(1, 9, key_thumbprint=None)], "order": {"compromised": True}},
            "1 device without a key must enroll again, and here it is a failure: d-a009",
            id="no key after a compromise",
        ),
        pytest.param(
            {"found": [*devices(9), *devices(1, 9, key_thumbprint=None)]},
            "1 device without a key: a thief of a copy can get the new one; better enroll with a key: d-a009",
            id="no key",
        ),
        pytest.param(
            {
                "found": devices(20),
                "target": a_target(check_in_period=timedelta(hours=1)),
                "batches": (Batch("half", limit=Quantity.percent(50)),),
                "deadline": timedelta(minutes=30),
            },
            "strategy.deadline 30m is too short",
            id="deadline too short",
        ),
        pytest.param(
            {"found": devices(2), "windows": (Window("0 0 29 2 *", timedelta(hours=1)),)},
            'strategy.windows[0] never opens within a year: correct schedule "0 0 29 2 *"',
            id="a window that never opens",
        ),
        pytest.param(
            {
                "found": devices(2),
                "windows": (Window("0 2 * * *", timedelta(hours=1)),),
                "deadline": timedelta(hours=10),
            },
            'strategy.windows[0] never opens before the deadline: correct schedule "0 2 * * *"',
            id="a window that opens after the deadline",
        ),
        pytest.param(
            {"found": devices(2), "windows": (Window("0 0 * * *", timedelta(hours=1), "Mars/Olympus"),)},
            'strategy.windows[0]: timeZone "Mars/Olympus" is unknown; set a name such as Europe/Berlin; until then, no '
            "device starts",
            id="a time zone that does not exist",
        ),
        pytest.param(
            {
                "found": devices(20),
                "target": a_target(check_in_period=timedelta(hours=12)),
                "windows": (Window("0 2 * * *", timedelta(minutes=5)),),
            },
            "strategy.windows[0] is open for 5m, and a device checks in every 12h; most devices miss it, so make it "
            "longer than checkInPeriod",
            id="a window shorter than the check-in period",
        ),
        pytest.param(
            {"found": devices(2), "batches": (Batch("canary", match_labels={"ring": "canary"}),)},
            "batch canary is empty: no device that is left has the labels ring=canary; correct its selector",
            id="an empty batch by its labels",
        ),
        pytest.param(
            {"found": devices(2), "batches": (Batch("all", limit=Quantity(5)), Batch("more", limit=Quantity(1)))},
            "batch more is empty: earlier batches have all devices; correct its limit or its place",
            id="an empty batch by its place",
        ),
        pytest.param(
            {"found": []},
            "no device takes part: the rotation only replaces the value that devices enroll with",
            id="no device",
        ),
        pytest.param(
            {
                "found": [*devices(2, last_seen=LONG_AGO), *devices(8, 2)],
                "batches": (Batch("canary", limit=Quantity(4)),),
            },
            "batch rest does not open: 2 of 4 devices of batch canary succeed, and it needs 4",
            id="a batch that does not open",
        ),
        pytest.param(
            {"found": [*devices(19), *devices(1, 19, last_seen=LONG_AGO)]},
            "the rotation does not finish: 1 device does not use a new copy; set strategy.deadline",
            id="an end that does not come",
        ),
        pytest.param(
            {"found": devices(2), "order": {"order": DesiredState.PAUSED}},
            "spec.desiredState is Paused; the times count from its return to Running",
            id="paused",
        ),
        pytest.param(
            {"found": devices(2), "target": a_target(lock=Lock("rot-0", "u-0", 1, RotationState.RUNNING))},
            "TokenRotation rot-0 goes first; the times count from its end",
            id="behind another rotation",
        ),
    ],
)
def test_a_plan_warns(changes: dict[str, Any], warning: str) -> None:
    plan = planned(changes.pop("found"), **changes)

    assert any(text.startswith(warning) for text in warnings(plan)), warnings(plan)


def test_the_advised_deadline_is_long_enough() -> None:
    slow = {"target": a_target(check_in_period=timedelta(hours=1)), "batches": (Batch("half", limit=Quantity(10)),)}
    short = planned(devices(20), deadline=timedelta(minutes=30), **slow)
    advice = warnings(short)[0].rpartition("set it to ")[2].removesuffix(" or more")
    hours, _, minutes = advice.removesuffix("m").rpartition("h")

    longer = planned(devices(20), deadline=timedelta(hours=int(hours or 0), minutes=int(minutes or 0)), **slow)

    assert ending(short).startswith("The rotation fails at ")
    assert ending(longer).startswith("The rotation succeeds at ")
    assert warnings(longer) == ()


def test_a_rotation_that_cannot_run_has_a_reason_in_place_of_a_plan() -> None:
    ran = a_target(past=(PastRotation("rot-1", "u-9", 1, RotationState.SUCCEEDED, NOON),))

    assert plan_of([], target=a_target(rotatable=False)) == NoPlan(
        "PairingToken edge/cams has purpose Service: it is single-use and cannot be rotated; create a new PairingToken"
    )
    assert plan_of([], target=ran) == NoPlan(
        "a TokenRotation named rot-1 has rotated PairingToken edge/cams before; create one with another name"
    )
    assert isinstance(plan_of([], target=a_target(revoked=True)), NoPlan)
    assert isinstance(plan_of([], order={"order": DesiredState.ABORTED}), NoPlan)


def test_after_a_compromise_the_devices_of_the_ended_value_are_listed_newest_first() -> None:
    since: datetime = NOON - timedelta(hours=5)
    found = [
        a_device(0, created=NOON - timedelta(hours=9), first_generation=3),
        a_device(1, created=NOON - timedelta(hours=4), first_generation=3),
        a_device(2, created=NOON - timedelta(hours=2), first_generation=3),
        a_device(3, created=NOON - timedelta(hours=1), first_generation=2),
        a_device(4, created=NOON - timedelta(hours=1), first_generation=3, revoked=True),
    ]

    plan = planned(found, target=a_target(generation=3), order={"compromised": True})

    assert [one.name for one in enrolled_by_ended_value(plan, since)] == ["d-a002", "d-a001"]
    assert len(enrolled_by_ended_value(plan, None)) == 3
