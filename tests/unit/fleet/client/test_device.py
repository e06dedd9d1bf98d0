"""A device and the real use cases of the exchange: killed at any point, with lost and doubled answers."""

from collections.abc import Callable

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.client.agent import follow
from tallystick.fleet.client.contract import Outcome
from tallystick.fleet.client.device import Device
from tallystick.fleet.client.disk import AgentError
from tests.fakes import NOON, FakeClock
from tests.worlds.agents import FILES, KEY_FILE, Exchange, Killed, MemoryDisk, a_device
from tests.worlds.fleet_world import NAMESPACE, FleetWorld

MOST_STEPS = 12


@pytest.fixture
def fleet() -> FleetWorld:
    fleet = FleetWorld()
    fleet.project()
    return fleet


@pytest.fixture
def exchange(fleet) -> Exchange:
    return Exchange(fleet, fleet.replica())


async def settle(fleet: FleetWorld, device: Device) -> list[Outcome]:
    """Take steps until the device waits after a good answer; let its waits pass."""
    outcomes = []
    for _ in range(MOST_STEPS):
        taken = await device.take_step()
        outcomes.append(taken.outcome)
        if taken.outcome in (Outcome.UP_TO_DATE, Outcome.REMOVED):
            return outcomes
        fleet.clock.advance(taken.wait)
    raise AssertionError(outcomes)


def tokens(device: Device) -> list[str]:
    return [copy.token for copy in (device.held.next, device.held.proved) if copy is not None]


def holds_an_accepted_copy(fleet: FleetWorld, device: Device) -> bool:
    return any(fleet.accepts(token) for token in tokens(device))


def generations(device: Device) -> tuple[int, int]:
    held = device.held
    return (held.proved.generation if held.proved else 0, held.next.generation if held.next else 0)


async def test_a_device_enrolls_rotates_twice_and_uses_each_new_copy(fleet, exchange):
    disk = MemoryDisk()
    device = a_device(exchange, disk)

    enrolled = await settle(fleet, device)
    fleet.rotate()
    fleet.clock.advance(2)
    rotated = await settle(fleet, device)
    fleet.finish()
    fleet.rotate(name="rot-2", generation=3)
    fleet.clock.advance(2)
    await settle(fleet, device)

    assert enrolled == [Outcome.ENROLLED, Outcome.UP_TO_DATE]
    assert rotated == [Outcome.HANDED_OUT, Outcome.UP_TO_DATE]
    assert generations(device) == (3, 0)
    assert sorted(disk.files) == [KEY_FILE, "proved.json"]
    assert fleet.devices()[0].proved == 3


class Fuse:
    """Counts points, and ends the process at one of them."""

    def __init__(self, last: int, error: Callable[[], BaseException] = Killed) -> None:
        self.left, self._error = last, error

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise self._error()


async def live(fleet: FleetWorld, start: Callable[[], Device], check: Callable[[Device], None]) -> Device:
    """Enroll and rotate twice. A process that is killed is started again."""
    device = None
    for rotation in (None, ("rot-1", 2), ("rot-2", 3)):
        if rotation is not None:
            if rotation[0] == "rot-2":
                fleet.finish("rot-1")
            fleet.rotate(name=rotation[0], generation=rotation[1])
            fleet.clock.advance(2)
        while True:
            try:
                device = device or start()
                await settle(fleet, device)
                break
            except Killed:
                device = start()
                check(device)
        check(device)
    assert device is not None
    return device


# Disk changes of a life: the key, the first copy, and for each rotation the next copy and its rename. Each has a point
# before and one after it; each of the six requests, too.
POINTS = 2 * 6 + 2 * 6


@pytest.mark.parametrize("point", range(1, POINTS + 1))
async def test_a_device_that_is_killed_at_any_point_has_an_accepted_copy_or_its_key(fleet, exchange, point):
    fuse = Fuse(point)
    disk = MemoryDisk(before=fuse, after=fuse)
    exchange.before = exchange.after = fuse
    has_enrolled = False

    def check(device: Device) -> None:
        nonlocal has_enrolled
        has_enrolled = has_enrolled or bool(tokens(device))
        assert KEY_FILE in disk.files
        assert not has_enrolled or holds_an_accepted_copy(fleet, device)

    device = await live(fleet, lambda: a_device(exchange, disk), check)

    assert fuse.left <= 0, "the process was not killed"
    assert generations(device) == (3, 0)
    assert [found.proved for found in fleet.devices()] == [3]


async def test_the_points_are_all_points_of_a_life(fleet, exchange):
    fuse = Fuse(10**6)
    exchange.before = exchange.after = fuse
    disk = MemoryDisk(before=fuse, after=fuse)

    await live(fleet, lambda: a_device(exchange, disk), lambda device: None)

    assert 10**6 - fuse.left == POINTS


@pytest.mark.parametrize("operation", range(2, 7))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_disk_that_fails_once_at_any_operation_locks_no_device_out(fleet, exchange, operation, when):
    disk = MemoryDisk()
    setattr(disk, when, Fuse(operation, lambda: OSError(28, "No space left on device")))

    def check(device: Device) -> None:
        assert holds_an_accepted_copy(fleet, device)

    device = await live(fleet, lambda: a_device(exchange, disk), check)
    fleet.clock.advance(60)
    await settle(fleet, device)

    assert generations(device) == (3, 0)
    assert len(fleet.devices()) == 1


@pytest.mark.parametrize("lost", range(1, 7))
async def test_lost_answers_lock_no_device_out_and_make_no_second_device(fleet, exchange, lost):
    countdown = Fuse(lost, lambda: AssertionError("unused"))
    disk = MemoryDisk()

    def lose() -> None:
        countdown.left -= 1
        if countdown.left == 0:
            exchange.lose_answers = 2

    exchange.after = lose

    def check(device: Device) -> None:
        assert holds_an_accepted_copy(fleet, device)

    device = await live(fleet, lambda: a_device(exchange, disk), check)

    assert generations(device) == (3, 0)
    assert len(fleet.devices()) == 1


async def test_each_request_can_arrive_twice(fleet, exchange):
    exchange.doubled = True

    device = await live(fleet, lambda: a_device(exchange, MemoryDisk()), lambda device: None)

    assert generations(device) == (3, 0)
    assert len(fleet.devices()) == 1


async def test_a_copy_that_cannot_be_stored_is_reported_to_the_rotation_and_stored_later(fleet, exchange):
    disk = MemoryDisk()
    device = a_device(exchange, disk)
    await settle(fleet, device)
    fleet.rotate()
    fleet.clock.advance(2)
    disk.before = Fuse(1, lambda: OSError(28, "No space left on device"))

    await settle(fleet, device)
    failed = fleet.devices()[0].failure
    fleet.clock.advance(20)
    await settle(fleet, device)

    assert failed is not None
    assert (failed.generation, failed.reason, failed.message) == (2, "NotStored", "No space left on device")
    assert generations(device) == (2, 0)


async def test_a_clock_that_is_wrong_is_corrected_by_the_exchange(fleet, exchange):
    device = a_device(exchange, MemoryDisk(), clock=FakeClock(NOON.replace(year=2001)))

    outcomes = await settle(fleet, device)

    assert outcomes == [Outcome.CLOCK, Outcome.ENROLLED, Outcome.UP_TO_DATE]
    assert exchange.statuses == [400, 201, 204]


async def test_a_deleted_device_stops_and_keeps_its_key_and_its_copy(fleet, exchange):
    disk = MemoryDisk()
    device = a_device(exchange, disk)
    await settle(fleet, device)
    before = dict(disk.files)
    found = fleet.cluster.all(DEVICES)[0]["metadata"]
    await fleet.cluster.delete(DEVICES, NAMESPACE, found["name"], uid=found["uid"])
    fleet.clock.advance(60)

    outcome = await follow(device, fleet.clock, once=False)

    assert outcome is Outcome.REMOVED
    assert disk.files == before


async def test_a_disk_of_last_month_enrolls_again_as_the_same_device(fleet, exchange):
    disk = MemoryDisk()
    device = a_device(exchange, disk)
    await settle(fleet, device)
    image = dict(disk.files)
    fleet.rotate()
    fleet.clock.advance(2)
    await settle(fleet, device)
    fleet.finish()
    restored = a_device(exchange, MemoryDisk(image), value=lambda: fleet.value(generation=2))
    exchange.statuses.clear()

    outcomes = await settle(fleet, restored)

    assert outcomes == [Outcome.REJECTED, Outcome.ENROLLED, Outcome.UP_TO_DATE]
    assert exchange.statuses == [401, 200, 204]
    assert len(fleet.devices()) == 1


async def test_a_rejected_device_without_a_value_tries_its_copies_again(fleet, exchange):
    def no_value() -> str:
        raise AgentError("there is no file")

    disk = MemoryDisk()
    device = a_device(exchange, disk)
    await settle(fleet, device)
    fleet.edit_spec(revoked=True)
    fleet.clock.advance(2)
    restarted = a_device(exchange, disk, value=no_value)

    first = [(await restarted.take_step()).outcome for _ in range(2)]
    problem = restarted.problem
    fleet.edit_spec(revoked=False)
    fleet.clock.advance(2)

    assert first == [Outcome.REJECTED, Outcome.FAILED]
    assert problem == "there is no file"
    assert await settle(fleet, restarted) == [Outcome.UP_TO_DATE]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"device_id": "d-a", "generation": "1", "token": "t"}'])
async def test_a_damaged_copy_counts_as_absent(fleet, exchange, content):
    disk = MemoryDisk()
    await settle(fleet, a_device(exchange, disk))
    disk.files[FILES["proved"]] = content

    restarted = a_device(exchange, disk)

    assert restarted.held.proved is None
    assert await settle(fleet, restarted) == [Outcome.ENROLLED, Outcome.UP_TO_DATE]
    assert len(fleet.devices()) == 1


@pytest.mark.parametrize("pem", [b"", b"no key", SigningKey.generate("RS256").to_pem()])
def test_a_key_that_cannot_be_used_is_never_replaced(exchange, pem):
    disk = MemoryDisk({KEY_FILE: pem})

    with pytest.raises(AgentError, match=KEY_FILE):
        a_device(exchange, disk)

    assert disk.files == {KEY_FILE: pem}


def test_a_key_that_cannot_be_stored_sends_no_request(exchange):
    disk = MemoryDisk(before=Fuse(1, lambda: OSError(28, "No space left on device")))

    with pytest.raises(AgentError, match="No space left"):
        a_device(exchange, disk)

    assert exchange.statuses == []


async def test_a_device_waits_as_the_exchange_says(fleet, exchange):
    device = a_device(exchange, MemoryDisk())

    outcome = await follow(device, fleet.clock, once=True)

    assert outcome is Outcome.UP_TO_DATE
    assert fleet.clock.pauses == []
