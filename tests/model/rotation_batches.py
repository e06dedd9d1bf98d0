"""Three devices in one batch or in two: maxConcurrency, failures and their budget, pause and abort.

Devices come back late, and the controller's view is behind. The question: does nobody start who may not, and do the
counts sum to the total? maxFailures is 0, and successThreshold 100%.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.model.rotation_rules import Broken, Rules, put

PENDING, PROGRESS, FAILED, DONE = "Pending", "InProgress", "Failed", "Succeeded"
STANDINGS = (PENDING, PROGRESS, FAILED, DONE)


class Batches(NamedTuple):
    devices: tuple[str, ...]  # the truth, as derived from the Devices; in the order of their names, batch by batch
    seen: tuple[str, ...]  # as the controller has seen them
    asking: tuple[bool, ...]  # a replica has read that this device may start, and has not recorded it yet
    given: tuple[bool, ...]  # the controller has given this device its time (three check-in periods) to come
    late: tuple[bool, ...]  # it came after that time
    order: str  # spec.desiredState
    state: str  # status.state: Running, Closed (too many failures), Aborting, Aborted, Finished
    open: int  # how many places are open, in order: status.open
    counters: tuple[int, ...]  # only for the mistake that counts beside the Devices


@dataclass(frozen=True, slots=True)
class BatchesWorld:
    """The first `first` of the devices are the first batch."""

    devices: int
    first: int
    max_concurrency: int

    @property
    def start(self) -> Batches:
        n = self.devices
        no = (False,) * n
        return Batches((PENDING,) * n, (PENDING,) * n, no, no, no, "Running", "Running", 0, (n, 0, 0, 0))

    @property
    def witnesses(self) -> tuple[Callable[[Batches], bool], ...]:
        return _WITNESSES

    def steps(self, rules: Rules, s: Batches) -> Iterator[Any]:
        yield from self._controller(rules, s)
        for i in range(self.devices):
            yield from _device_steps(rules, s, i)
        if s.state in ("Running", "Closed") and s.order != "Aborted":
            yield s._replace(order="Running" if s.order == "Paused" else "Paused")
            yield s._replace(order="Aborted")

    def representative(self, _: Rules, s: Batches) -> Batches:
        """Forget whether a device that is not Pending was given its time, and whether one that is done came late."""
        given = tuple(given and seen == PENDING for given, seen in zip(s.given, s.seen, strict=True))
        late = tuple(late and device == PROGRESS for late, device in zip(s.late, s.devices, strict=True))
        return s._replace(given=given, late=late)

    def _controller(self, rules: Rules, s: Batches) -> Iterator[Batches]:
        if s.state in ("Aborted", "Finished"):
            return
        if s.order == "Aborted" and s.state != "Aborting":
            yield s._replace(state="Aborting")
        elif s.state == "Aborting":
            if not any(s.asking) or not rules.waits_for_stragglers:
                yield s._replace(state="Aborted")
        elif all(seen == DONE for seen in s.seen):
            yield s._replace(state="Finished")
        elif rules.closes_on_failures and (FAILED in s.seen) != (s.state == "Closed"):
            yield s._replace(state="Closed" if FAILED in s.seen else "Running")
        elif s.order == "Running" and s.state == "Running":
            yield from self._opens(rules, s)

    def _opens(self, rules: Rules, s: Batches) -> Iterator[Batches]:
        for i in range(s.open):
            if s.seen[i] != PENDING or s.given[i]:
                continue
            looked = s._replace(seen=put(s.seen, i, s.devices[i])) if rules.looks_before_giving_up else s
            yield looked._replace(given=put(s.given, i, looked.seen[i] == PENDING))
        if s.open < self.devices and self.may_open(rules, s):
            yield s._replace(open=s.open + 1)

    def may_open(self, rules: Rules, s: Batches) -> bool:
        """Tell whether the next place may be opened: what `next_step` decides."""
        if s.open == self.first:
            done = s.seen[: self.first].count(DONE) == self.first
            if not (done if rules.batch_needs_success else PROGRESS not in s.seen):
                return False
        busy = sum(
            seen == PROGRESS or (rules.counts_what_is_open and seen == PENDING and not s.given[i])
            for i, seen in enumerate(s.seen[: s.open])
        )
        return busy < self.max_concurrency

    def check(self, rules: Rules, s: Batches) -> Iterator[Broken]:
        busy = sum(s.devices[i] == PROGRESS and not s.late[i] for i in range(self.devices))
        if busy > self.max_concurrency:
            yield Broken("CONCURRENCY: more in progress than maxConcurrency, beside those that came late")
        counts = tuple(s.devices.count(state) for state in STANDINGS) if rules.derives_counts else s.counters
        if sum(counts) != self.devices:
            yield Broken("COUNTS: the counts do not sum to the total")

    def check_step(self, _: Rules, s: Batches, t: Batches) -> Iterator[Broken]:
        if any(before == DONE != after for before, after in zip(s.devices, t.devices, strict=True)):
            yield Broken("FINAL: a device that succeeded does not stay so")
        if t.open > s.open:
            if s.open == self.first and s.devices[: self.first].count(DONE) < self.first:
                yield Broken("ORDER: the second batch opens before the first has succeeded")
            if FAILED in s.seen:
                yield Broken("BUDGET: more is opened though more than maxFailures are known to have failed")
        if any(t.asking) and not any(s.asking) and not lets_in(s):
            yield Broken("LET IN: a device is let in while nobody may be")

    def good(self, s: Batches) -> bool:
        return s.state in ("Aborted", "Finished")


def lets_in(s: Batches) -> bool:
    return s.state == "Running" and s.order == "Running"


def _device_steps(rules: Rules, s: Batches, i: int) -> Iterator[Any]:
    if s.devices[i] == PENDING and lets_in(s) and i < s.open and not s.asking[i]:
        yield s._replace(asking=put(s.asking, i, True))
    if s.asking[i]:
        asked = s._replace(asking=put(s.asking, i, False))
        yield asked  # its process has died
        if s.state in ("Aborted", "Finished"):
            yield Broken("STOPPED: a device starts after the rotation has said that it is over")
        yield _moved(rules, asked, i, PROGRESS)._replace(late=put(s.late, i, s.given[i]))
    if s.devices[i] in (PROGRESS, FAILED):
        yield _moved(rules, s, i, DONE)  # the proof wins over Failed
    if s.devices[i] == PROGRESS:
        yield _moved(rules, s, i, FAILED)  # inProgressTimeout, or the device says so
    if s.seen[i] != s.devices[i]:
        yield s._replace(seen=put(s.seen, i, s.devices[i]))  # the watch delivers


def _moved(rules: Rules, s: Batches, i: int, to: str) -> Batches:
    moved = s._replace(devices=put(s.devices, i, to))
    if rules.derives_counts:
        return moved
    before, after = STANDINGS.index(s.devices[i]), STANDINGS.index(to)
    counters = list(s.counters)
    counters[after] += 1  # one write; the other counter is another one, which a crash may prevent
    counters[before] -= to != FAILED
    return moved._replace(counters=tuple(counters))


_WITNESSES: tuple[Callable[[Batches], bool], ...] = (
    lambda s: s.state == "Finished" and all(device == DONE for device in s.devices),
    lambda s: s.state == "Closed" and s.devices.count(FAILED) == 1,
    lambda s: s.state == "Aborted" and PROGRESS in s.devices,
    lambda s: s.state == "Running" and s.order == "Paused" and PROGRESS in s.devices,
    lambda s: any(s.late) and s.devices.count(PROGRESS) > 1,  # back from offline
)
