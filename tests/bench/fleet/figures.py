"""The figures of W3, from what was measured."""

from collections.abc import Callable, Sequence

from tests.bench.fleet.rotation import Idle, Rotated, rotate_fleets
from tests.bench.measure import Figure, slope
from tests.bench.stage import Stage
from tests.bench.workloads import Say, Size

# Each replica reads PairingToken and rotation at most once a second, and the keyring every five seconds.
SHARED_GETS = 2.2
# The goals are those of a fleet of this size.
DEVICES = 3000


def w3(stage: Stage, size: Size, say: Say) -> list[Figure]:
    """Rotate fleets of rising sizes. The figures are those of the one that is nearest to 3,000 devices."""
    rotated, weight = rotate_fleets(stage, size, say)
    one = min(rotated, key=lambda one: abs(one.devices - DEVICES))
    return [*_of_check_ins(one.idle), *_of_a_rotation(one), *_of_all(rotated, weight)]


def _of_check_ins(idle: Sequence[Idle]) -> list[Figure]:
    def reported(name: str, of: Callable[[Idle], float]) -> Figure:
        return Figure.reported("W3", name, [of(one) for one in idle])

    gets, failed = [one.gets for one in idle], [one.ours["failed"] + one.least["failed"] for one in idle]
    return [
        Figure.at_most("W3", "CPU of a check-in over the least handler", [one.cpu_ratio for one in idle], 2.5),
        reported("check-in, CPU ms", lambda one: one.cpu / one.ours["check_ins"] * 1000),
        reported("least handler, CPU ms", lambda one: one.least_per_check_in * 1000),
        reported("idle check-ins a second at one replica", lambda one: one.ours["check_ins"] / one.ours["seconds"]),
        Figure.at_most("W3", "GETs a second of this replica", gets, 100.0 + SHARED_GETS),
        Figure.at_most("W3", "idle check-ins that failed", failed, 0.0),
        reported("idle check-in, ms, median", lambda one: one.ours["median_ms"]),
        reported("idle check-in, ms, 99th percentile", lambda one: one.ours["p99_ms"]),
        reported("least handler, ms, median", lambda one: one.least["median_ms"]),
        reported("least handler, ms, 99th percentile", lambda one: one.least["p99_ms"]),
    ]


def _of_a_rotation(one: Rotated) -> list[Figure]:
    def reported(name: str, value: float) -> Figure:
        return Figure.reported("W3", name, [value])

    def at_most(name: str, value: float, goal: float) -> Figure:
        return Figure.at_most("W3", name, [value], goal)

    check_ins, used, least = one.seen["check_ins"], one.used, one.idle[0].least_per_check_in
    return [
        at_most("wall over served in no time", one.wall_ratio, 1.3),
        reported("seconds of the rotation", one.seconds),
        reported("seconds, served in no time", one.virtual_seconds),
        reported("seconds that a batch takes longer than served in no time", one.longer_batch),
        at_most("seconds until the status has counted the last device", one.counted_after, 5.0),
        at_most("Device writes per rotated device", one.device_writes / one.succeeded, 2.0),
        at_most("the controller's writes a second", one.controller_writes / one.seconds, 1.0),
        at_most("controller, CPU over a bare kopf watch", used.controller / used.watch, 2.0),
        reported("controller, CPU s", used.controller),
        reported("bare kopf watch, CPU s", used.watch),
        reported("GETs per check-in during the rotation", used.gets / check_ins),
        reported("CPU of a check-in during the rotation, over the least handler", used.exchange / check_ins / least),
        at_most("check-ins that failed during the rotation", one.seen["failed"], 0.0),
        reported("check-in during the rotation, ms, median", one.seen["median_ms"]),
        reported("check-in during the rotation, ms, 99th percentile", one.seen["p99_ms"]),
        reported("calibration, after over before", one.drift),
    ]


def _of_all(rotated: Sequence[Rotated], weight: float) -> list[Figure]:
    total = sum(one.devices for one in rotated)
    figures = [
        Figure.reported("W3", f"wall over served in no time, {one.devices} devices", [one.wall_ratio])
        for one in rotated
    ]
    figures.append(Figure.at_most("W3", f"kB per Device at rest among {total}", [weight / 1e3], 1.2))
    return figures + (_exponents(rotated) if len(rotated) > 1 else [])


def _exponents(rotated: Sequence[Rotated]) -> list[Figure]:
    counts = [float(one.devices) for one in rotated]
    costs: dict[str, Callable[[Rotated], float]] = {
        "the controller's CPU": lambda one: one.used.controller,
        "the exchange's CPU": lambda one: one.used.exchange,
        "Device writes": lambda one: one.device_writes,
        "the controller's writes": lambda one: one.controller_writes,
    }
    return [
        Figure.at_most("W3", f"exponent of {name} in devices", [slope(counts, [of(one) for one in rotated])], 1.05)
        for name, of in costs.items()
    ]
