"""Look at a running rotation: its counts, its places and the next step, by as few requests as possible.

By the cache, a look costs as much as there are batches and devices in progress. Only before the end does it list all
Devices, because the end cannot be taken back.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.counts import Counts
from tallystick.fleet.domain.facts import RotationFacts, Target
from tallystick.fleet.domain.next_step import Observed, Step, Wait, next_step
from tallystick.fleet.domain.places import Places, bound
from tallystick.fleet.domain.rotation.failures import FailedFacts
from tallystick.fleet.domain.rotation.tally import Tally
from tallystick.fleet.services.device_index import DeviceIndex
from tallystick.objects.ports import Cache, Clock, Cluster, NotFoundError
from tallystick.pairing.api.device_project import RotationState

# A look reads the PairingToken, and writes what is news to a device: an opening, a state, or a batch that is done.
LOOK_EVERY = timedelta(seconds=1)
# Counts are for people, so they wait. With those of the PairingToken, a rotation writes less than once a second.
COUNT_EVERY = timedelta(seconds=2)
# Each costs a GET. The others are looked at a second later.
MOST_GETS = 100
MOST_FAILED = 20


@dataclass(slots=True)
class Memory:
    """The memory that a leader has of a rotation. A new leader has none, and waits a little longer.

    Attributes:
        places: The places of `maxConcurrency`.
        state: The state that it has seen last, and `since` when.
        looked: When it has looked at the rotation last.
        written: When it has looked last and written, to the rotation or to its PairingToken.
        shown: When it has written the counts to the PairingToken last.
    """

    places: Places = field(default_factory=Places)
    state: RotationState | None = None
    since: datetime | None = None
    looked: datetime | None = None
    written: datetime | None = None
    shown: datetime | None = None

    def see(self, state: RotationState, now: datetime) -> None:
        """Remember since when the rotation has its state."""
        if state is not self.state:
            self.state, self.since = state, now

    def pause(self, now: datetime) -> float:
        """Return the seconds until the next look may happen."""
        if self.looked is None or not timedelta(0) <= now - self.looked < LOOK_EVERY:
            return 0.0
        return (self.looked + LOOK_EVERY - now).total_seconds()

    def counts_wait_until(self) -> datetime | None:
        """Return the time before which a look writes no counts alone; None if it may write them."""
        if self.looked is None or self.written is None or self.looked >= self.written + COUNT_EVERY:
            return None
        return self.written + COUNT_EVERY


@dataclass(frozen=True, slots=True)
class Look:
    """The result of a look.

    Attributes:
        step: The next step.
        batches: The counts of each batch.
        failed: The newest failed devices, newest first.
        again: When the counts may change although no one writes.
        listed: Whether the counts come from a list.
    """

    step: Step
    batches: tuple[Counts, ...]
    failed: tuple[FailedFacts, ...] = ()
    again: datetime | None = None
    listed: bool = False


class Looking:
    """Looks at running rotations."""

    def __init__(self, cluster: Cluster, cache: Cache, index: DeviceIndex, clock: Clock) -> None:
        self._cluster = cluster
        self._cache = cache
        self._index = index
        self._clock = clock

    async def look(self, facts: RotationFacts, target: Target | None, recorded: Counts, memory: Memory) -> Look:
        """Decide the next step.

        Args:
            facts: The rotation.
            target: Its PairingToken as it was just read; None if it does not exist, or has not the lock of this one.
            recorded: The counts in the status of the rotation.
            memory: What this leader remembers of it.
        """
        now = self._clock.now()
        memory.see(facts.state, now)
        if target is None:
            counts = (recorded,)
            return Look(next_step(Observed(facts, None, counts, recorded), now), counts)
        tally = await self._index.tally(facts, target, now)
        observed = _observed(facts, target, tally, recorded, memory, now)
        step = next_step(observed, now)
        if isinstance(step, Wait) and step.look:
            await self._look_for(step.look[:MOST_GETS], target, tally, facts, memory)
            observed = _observed(facts, target, tally, recorded, memory, now)
            step = next_step(observed, now)
        if isinstance(step, Wait) and step.confirm:
            tally = await self._listed(facts, target, now)
            observed = replace(observed, batches=tally.counts, listed=True)
            step = next_step(observed, now)
        return Look(step, observed.batches, tuple(tally.failed(MOST_FAILED)), tally.next_change(), observed.listed)

    async def _listed(self, facts: RotationFacts, target: Target, now: datetime) -> Tally:
        """Count the devices by a consistent list, which is sent after the PairingToken was read."""
        tally = Tally(facts, target, now)
        async for device in self._index.listed(target):
            tally.note(device.name, device, now)
        return tally

    async def _look_for(
        self, names: tuple[str, ...], target: Target, tally: Tally, facts: RotationFacts, memory: Memory
    ) -> None:
        """Read devices that have not come by the cache, and give away the places of those that did not start."""
        for name in names:
            try:
                body = await self._cluster.get(DEVICES, target.namespace, name)
            except NotFoundError:
                known = self._cache.get(DEVICES, target.namespace, name)
                if known is not None:
                    self._cache.forget(DEVICES, target.namespace, name, known["metadata"]["uid"])
                self._index.follow(target.namespace, name)
                continue
            self._index.note_fresh(body)
        pending = tally.open_and_pending(facts.open)
        memory.places = memory.places.passed_on(name for name in names if name in pending)


def _observed(
    facts: RotationFacts, target: Target, tally: Tally, recorded: Counts, memory: Memory, now: datetime
) -> Observed:
    observed = Observed(facts, target, tally.counts, recorded, state_since=memory.since)
    most = bound(facts.strategy, observed.counts.total)
    if most is not None:
        pending = tally.open_and_pending(facts.open)
        memory.places = memory.places.seen(pending, now, may_start=_may_start(facts, now))
    return replace(observed, places=memory.places, upcoming=tally.upcoming(facts.open, (most or 0) + 1))


def _may_start(facts: RotationFacts, now: datetime) -> bool:
    if facts.state is not RotationState.RUNNING or facts.order is not DesiredState.RUNNING or facts.open is None:
        return False
    return facts.open.until is None or now < facts.open.until
