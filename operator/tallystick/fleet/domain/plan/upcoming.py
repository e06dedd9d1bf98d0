"""The next event of a rotation that runs, as `tallystick rotation watch` shows it."""

from collections.abc import Sequence
from datetime import datetime

from tallystick.fleet.domain.counts import Counts, sum_of
from tallystick.fleet.domain.facts import Opening, RotationFacts
from tallystick.fleet.domain.next_step import Observed, time_when_done
from tallystick.fleet.domain.plan.texts import duration_text
from tallystick.pairing.api.device_project import RotationState


def what_next(rotation: RotationFacts, batches: tuple[Counts, ...], names: Sequence[str], now: datetime) -> str | None:
    """Return what comes next; None if the message of the condition says it.

    Args:
        rotation: The rotation.
        batches: The counts of each batch.
        names: The names of the batches.
        now: The time.
    """
    opening = rotation.open
    if rotation.state is not RotationState.RUNNING or not batches:
        return None
    if opening is None and not rotation.strategy.windows:
        return f"batch 1 ({names[0]}) now"
    if opening is None or (opening.until is not None and opening.until <= now):
        return None  # it waits for a window
    if opening.batch < len(batches) and opening.through is None:
        return _next_batch(rotation, opening, batches, names, now)
    counts = sum_of(batches)
    left = counts.total - counts.succeeded
    text = f"finished when {left} more {'device has' if left == 1 else 'devices have'} used the new copy"
    if opening.through is not None:
        text = f"more devices of batch {opening.batch} start as others finish"
    return f"{text}; {deadline}" if (deadline := _deadline(rotation, now)) else text


def _next_batch(
    rotation: RotationFacts, opening: Opening, batches: tuple[Counts, ...], names: Sequence[str], now: datetime
) -> str | None:
    number, batch = opening.batch, batches[opening.batch - 1]
    following = f"batch {number + 1} ({names[number]})"
    done = time_when_done(Observed(rotation, None, batches), number, now)
    if done is None:
        needed = rotation.strategy.success_threshold.rounded_up(batch.total) - batch.succeeded
        return f"{following} when {needed} more of batch {number} succeed"
    if now < done:
        return f"{following} in {duration_text(done - now)}"
    gated = rotation.open_batches is not None and number >= rotation.open_batches
    return None if gated else f"{following} now"


def _deadline(rotation: RotationFacts, now: datetime) -> str:
    if rotation.deadline is None:
        return ""
    return f"the deadline is in {duration_text(rotation.deadline - now)}"
