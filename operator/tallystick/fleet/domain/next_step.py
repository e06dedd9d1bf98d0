"""Decide the next step of a rotation that runs: Open, Wait, Close or Finish. `_RULES` lists all of it, in order.

                    +--- Close <--- a pause, too many failures, a closed window, an abort, the deadline
                    v
    started ---> Wait <---> Open ... Open ---> Wait ---> Finish

The decision needs the counts of each batch and the names of a few devices, never a walk over all of them.
`tallystick rotation plan` runs the same function in virtual time.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.batches import NO_DEVICE
from tallystick.fleet.domain.counts import Counts, sum_of
from tallystick.fleet.domain.facts import Opening, RotationFacts, Target
from tallystick.fleet.domain.places import Places, bound, widened
from tallystick.fleet.domain.windows import end_of_present, next_start, why_invalid
from tallystick.objects.rules import first
from tallystick.pairing.api.device_project import RotationState

# A replica that has read the rotation before it was stopped can hand out by that reading for a second, and its request
# to the API server ends within ten more. So after this time no device starts.
STRAGGLERS = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Observed:
    """The facts by which the next step is decided.

    Attributes:
        rotation: The TokenRotation. It has started.
        target: The PairingToken, as it was just read; None if it does not exist.
        batches: The counts of each batch now, in order; the last is the rest.
        recorded: The counts in the status of the rotation.
        places: The places of `maxConcurrency`.
        upcoming: The Pending devices that would be let in next, in the order of names: of the open batch behind
            `open.through`, or of the batch after it if all of it is open. One more than `maxConcurrency` is enough.
        state_since: Since when this leader has seen the present `status.state`. None: it has not seen it yet.
        listed: Whether `batches` comes from a consistent list that was sent after the PairingToken was read.
    """

    rotation: RotationFacts
    target: Target | None
    batches: tuple[Counts, ...]
    recorded: Counts = field(default_factory=Counts)
    places: Places = field(default_factory=Places)
    upcoming: tuple[str, ...] = ()
    state_since: datetime | None = None
    listed: bool = False

    @property
    def counts(self) -> Counts:
        """The counts of all batches."""
        return sum_of(self.batches)

    @property
    def free_places(self) -> int | None:
        """The places that no device takes and that are kept for no device. None: there is no bound."""
        most = bound(self.rotation.strategy, self.counts.total)
        return None if most is None else most - self.counts.in_progress - len(self.places.waiting)


@dataclass(frozen=True, slots=True)
class Open:
    """Write state Running and this opening."""

    open: Opening


@dataclass(frozen=True, slots=True)
class Wait:
    """Open nothing more.

    Attributes:
        why: The reason of the condition.
        until: When to decide again although nothing changes. None: by an event only.
        look: The devices that have not taken their place. The controller reads each by a GET, and gives the place away.
        confirm: Whether the controller must list the Devices consistently: by its cache, all have succeeded.
    """

    why: Reason
    until: datetime | None = None
    look: tuple[str, ...] = ()
    confirm: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """Write this state, so that no device starts. `open` is the place where the rotation goes on later."""

    why: Reason
    state: RotationState
    open: Opening | None


@dataclass(frozen=True, slots=True)
class Finish:
    """Write the final state and the counts, and then release the lock."""

    why: Reason
    state: RotationState
    counts: Counts


Step = Open | Wait | Close | Finish


def next_step(observed: Observed, now: datetime) -> Step:
    """Return the next step of a rotation that has started and is not finished."""
    return first(_RULES, observed, now) or Wait(Reason.IN_PROGRESS)


def target_ended(observed: Observed, _: datetime) -> Step | None:
    """All devices of a revoked token are revoked with it. The record has the counts of before."""
    target = observed.target
    if target is not None and not target.is_ended:
        return None
    return Finish(Reason.TARGET_REVOKED, RotationState.FAILED, observed.recorded.at_the_end(RotationState.FAILED))


def aborted(observed: Observed, now: datetime) -> Step | None:
    """After an abort, devices in progress may finish, and nothing is rolled back."""
    rotation, counts = observed.rotation, observed.counts
    if not rotation.is_aborted:
        return None
    if rotation.state is not RotationState.ABORTING:
        return Close(Reason.ABORTING, RotationState.ABORTING, rotation.open)
    over = _time_when_none_starts(observed, now)
    if now < over or counts.in_progress:
        return Wait(Reason.ABORTING, over if now < over else None)
    return Finish(Reason.ABORTED, RotationState.ABORTED, counts.at_the_end(RotationState.ABORTED))


def all_succeeded(observed: Observed, _: datetime) -> Step | None:
    """Success is final, so it is said by a consistent list: a cache can miss a Device that was just created.

    An enrollment with an older value whose Device is not counted yet may still become a member.
    """
    counts, generation = observed.counts, observed.rotation.generation
    if counts.succeeded < counts.total or observed.target is None:
        return None
    if any(entry.generation < generation for entry in observed.target.enrolling):
        return Wait(Reason.WAITING_FOR_DEVICES)
    if not observed.listed:
        return Wait(Reason.IN_PROGRESS, confirm=True)
    return Finish(Reason.COMPLETED, RotationState.SUCCEEDED, counts)


def deadline_exceeded(observed: Observed, now: datetime) -> Step | None:
    """At the deadline, the devices that are left are Failed; it ends the rotation also while it is Paused."""
    rotation = observed.rotation
    if rotation.deadline is None or now < rotation.deadline:
        return None
    if rotation.state is RotationState.RUNNING:
        return Close(Reason.DEADLINE_EXCEEDED, RotationState.HALTED, rotation.open)
    over = _time_when_none_starts(observed, now)
    if now < over:
        return Wait(Reason.DEADLINE_EXCEEDED, over)
    return Finish(Reason.DEADLINE_EXCEEDED, RotationState.FAILED, observed.counts.at_the_end(RotationState.FAILED))


def paused(observed: Observed, _: datetime) -> Step | None:
    """A pause stops starts only: the exchange obeys the spec, and the status follows."""
    rotation = observed.rotation
    if rotation.order is not DesiredState.PAUSED:
        return None
    if rotation.state is RotationState.PAUSED:
        return Wait(Reason.PAUSED, rotation.deadline)
    return Close(Reason.PAUSED, RotationState.PAUSED, rotation.open)


def too_many_failed(observed: Observed, _: datetime) -> Step | None:
    """Failures halt as long as there are too many of them: a late proof or a higher bound lets the rotation go on.

    After a compromise they never do: a thief must not veto the rotation that evicts him (docs/rules.md#s18).
    """
    rotation, counts = observed.rotation, observed.counts
    if rotation.compromised or counts.failed <= rotation.strategy.max_failures.rounded_down(counts.total):
        return None
    if rotation.state is RotationState.HALTED:
        return Wait(Reason.TOO_MANY_FAILURES, rotation.deadline)
    return Close(Reason.TOO_MANY_FAILURES, RotationState.HALTED, rotation.open)


def no_window(observed: Observed, now: datetime) -> Step | None:
    """Devices start in a window only. An edit of the windows can close one that is open."""
    rotation = observed.rotation
    windows, opening = rotation.strategy.windows, rotation.open
    invalid = any(why_invalid(window) is not None for window in windows)
    if not windows or (not invalid and end_of_present(windows, now) is not None):
        return None
    why = Reason.INVALID_WINDOW if invalid else Reason.WAITING_FOR_WINDOW
    closed = opening is None or (opening.until is not None and opening.until <= now)
    if rotation.state is not RotationState.RUNNING or not closed:
        ended = opening if opening is None or closed else replace(opening, until=now)
        return Close(why, RotationState.RUNNING, ended)
    return Wait(why, _earliest(None if invalid else next_start(windows, now), rotation.deadline))


def not_yet_open(observed: Observed, now: datetime) -> Step | None:
    """Open the first places, or again what was open before a pause, a halt or the end of a window."""
    rotation = observed.rotation
    wanted = _end_of_opening(rotation, now)
    if rotation.open is None:
        return Open(widened(Opening(1, through=NO_DEVICE, until=wanted), observed.upcoming, observed.free_places))
    opening = replace(rotation.open, until=_kept_or(wanted, rotation.open.until, now))
    return None if opening == rotation.open and rotation.state is RotationState.RUNNING else Open(opening)


def place_given_away(observed: Observed, now: datetime) -> Step | None:
    """A device that has not come loses its place, but only after a GET: the cache may not show yet that it started."""
    target, waits_for_places = observed.target, observed.free_places is not None and bool(observed.upcoming)
    if target is None or not waits_for_places:
        return None
    overdue = observed.places.overdue(target.check_in_period, now)
    return Wait(Reason.IN_PROGRESS, look=overdue) if overdue else None


def more_places(observed: Observed, now: datetime) -> Step | None:
    """Within a batch, devices are let in by the order of names, as many as there are free places."""
    opening = observed.rotation.open
    if opening is None or opening.through is None:
        return None
    wider = widened(opening, observed.upcoming, observed.free_places)
    return Open(wider) if wider != opening else Wait(Reason.IN_PROGRESS, _next_time(observed, now))


def next_batch(observed: Observed, now: datetime) -> Step | None:
    """The next batch opens when enough of the present one have succeeded for long enough. Earlier ones stay open."""
    rotation = observed.rotation
    opening = rotation.open
    if opening is None or opening.batch >= len(observed.batches):
        return None
    done = time_when_done(observed, opening.batch, now)
    if done is None or now < done:
        why = Reason.IN_PROGRESS if observed.counts.in_progress or done is not None else Reason.WAITING_FOR_DEVICES
        return Wait(why, _earliest(done, _next_time(observed, now)))
    if rotation.open_batches is not None and opening.batch >= rotation.open_batches:
        return Wait(Reason.WAITING_FOR_BATCH, _next_time(observed, now))
    following = replace(opening, batch=opening.batch + 1, through=NO_DEVICE)
    wider = widened(following, observed.upcoming, observed.free_places)
    return Open(wider) if wider != following else Wait(Reason.IN_PROGRESS, _next_time(observed, now))


def all_open(observed: Observed, now: datetime) -> Step | None:
    """All batches are open: the rotation waits for devices that have not come yet, or have failed."""
    why = Reason.IN_PROGRESS if observed.counts.in_progress else Reason.WAITING_FOR_DEVICES
    return Wait(why, _next_time(observed, now))


# Ordered: what ends a rotation, then what stops it, then what opens more of it.
_RULES = (
    target_ended,
    aborted,
    all_succeeded,
    deadline_exceeded,
    paused,
    too_many_failed,
    no_window,
    not_yet_open,
    place_given_away,
    more_places,
    next_batch,
    all_open,
)


def has_enough(batch: Counts, rotation: RotationFacts) -> bool:
    """Return whether a batch has the successes that `successThreshold` requires of its members. An empty one has."""
    return batch.succeeded >= rotation.strategy.success_threshold.rounded_up(batch.total)


def done_times(rotation: RotationFacts, batches: tuple[Counts, ...], now: datetime) -> tuple[datetime | None, ...]:
    """Return `status.batches[].doneTime`: since when each batch has enough successes; None while it has not."""
    before = rotation.done_times + (None,) * len(batches)
    return tuple(
        (since or now) if has_enough(batch, rotation) else None for batch, since in zip(batches, before, strict=False)
    )


def time_when_done(observed: Observed, number: int, now: datetime) -> datetime | None:
    """Return when a batch is done, from 1: an empty one at once. None while it has too few successes."""
    rotation, batch = observed.rotation, observed.batches[number - 1]
    since = done_times(rotation, observed.batches, now)[number - 1]
    if since is None:
        return None
    return since + rotation.strategy.min_success_time if batch.total else now


def _time_when_none_starts(observed: Observed, now: datetime) -> datetime:
    return (observed.state_since or now) + STRAGGLERS


def _end_of_opening(rotation: RotationFacts, now: datetime) -> datetime | None:
    return _earliest(end_of_present(rotation.strategy.windows, now), rotation.deadline)


def _kept_or(wanted: datetime | None, present: datetime | None, now: datetime) -> datetime | None:
    """Return the end to write. The present one is kept while it lasts, because a dense schedule moves the end."""
    if wanted is None or present is None:
        return wanted
    return present if now < present <= wanted else wanted


def _next_time(observed: Observed, now: datetime) -> datetime | None:
    """Return when to decide again at the latest: at the end of the opening, or when a place is overdue."""
    rotation, target = observed.rotation, observed.target
    overdue = None
    if target is not None and observed.free_places is not None and observed.upcoming:
        overdue = observed.places.time_of_change(target.check_in_period)
    end = rotation.open.until if rotation.open is not None else None
    return _earliest(overdue, end, rotation.deadline)


def _earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)
