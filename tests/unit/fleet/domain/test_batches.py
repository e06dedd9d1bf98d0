"""Batches are cut by the order of names, and both processes decide the batch of a device alike."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tallystick.fleet.domain.batches import NO_DEVICE, Batch, batch_of, draw
from tallystick.fleet.domain.quantities import Quantity
from tests.unit.fleet.domain.test_rotation_machine import BATCHES, SITES
from tests.worlds.rotating import a_device

DEVICES = st.lists(SITES, max_size=20).map(lambda sites: [a_device(n, labels={"site": s}) for n, s in enumerate(sites)])
TENTH = Batch("tenth", limit=Quantity.percent(10))


@given(DEVICES, BATCHES)
def test_a_limit_takes_the_first_names_that_are_left(devices: list[object], batches: tuple[Batch, ...]) -> None:
    cuts = draw(devices, batches)
    members = [batch_of(device, batches, cuts) for device in devices]

    assert len(cuts) == len(batches) + 1
    for number, batch in enumerate(batches, start=1):
        left = [n for n, device in enumerate(devices) if members[n] >= number and batch.selects(device.labels)]
        of = len(devices) if batch.match_labels is None else len(left)
        most = len(left) if batch.limit is None else batch.limit.rounded_up(of)
        assert [n for n in left if members[n] == number] == left[:most]


def test_a_tenth_of_a_few_devices_is_one() -> None:
    devices = [a_device(number) for number in range(5)]

    assert draw(reversed(devices), (TENTH,)) == ("d-a000", None)


def test_a_batch_that_takes_no_device_stays_empty() -> None:
    cuts = draw([], (TENTH,))

    assert cuts == (NO_DEVICE, None)
    assert batch_of(a_device(1), (TENTH,), cuts) == 2


def test_new_labels_move_a_device() -> None:
    canary = (Batch("canary", match_labels={"stage": "canary"}),)
    device = a_device(1)

    assert batch_of(device, canary, (None, None)) == 2
    assert batch_of(replace(device, labels={"stage": "canary"}), canary, (None, None)) == 1
