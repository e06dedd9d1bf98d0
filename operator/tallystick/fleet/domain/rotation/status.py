"""The members of the status of a TokenRotation, from its counts and its opening, and its part of the PairingToken."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tallystick.fleet.api.token_rotation import (
    MOST_FAILED,
    BatchStatus,
    DeviceCounts,
    FailedDevice,
    OpenGate,
    TokenRotationStatus,
)
from tallystick.fleet.domain.batches import Cuts
from tallystick.fleet.domain.counts import Counts, sum_of
from tallystick.fleet.domain.facts import Opening, RotationFacts
from tallystick.fleet.domain.next_step import done_times
from tallystick.fleet.domain.rotation.failures import FailedFacts
from tallystick.pairing.api.device_project import CurrentRotation, RotationState
from tallystick.schema.times import whole_second

THE_REST = "rest"
MOST_TEXT = 256

Changes = dict[str, Any]


def counted(
    rotation: RotationFacts, batches: tuple[Counts, ...], failed: Sequence[FailedFacts], now: datetime
) -> Changes:
    """Return the members that are counts.

    Args:
        rotation: The rotation, with the cuts of its batches.
        batches: The counts of each batch.
        failed: The newest failed devices, newest first.
        now: The time.
    """
    done = done_times(rotation, batches, now)
    return {
        "devices": device_counts(sum_of(batches)),
        "batches": [
            _batch(name, counts, cut, time)
            for name, counts, cut, time in zip(_names(rotation), batches, _cuts(rotation), done, strict=True)
        ],
        "failed_devices": [
            FailedDevice(
                name=one.name, reason=one.reason, message=one.message[:MOST_TEXT] or None, time=whole_second(one.time)
            )
            for one in failed[:MOST_FAILED]
        ],
    }


def opened(rotation: RotationFacts, opening: Opening | None) -> Changes:
    """Return the members that say which devices may start."""
    number = opening.batch if opening is not None else 0
    gate = None
    if opening is not None:
        until = whole_second(opening.until) if opening.until is not None else None
        gate = OpenGate(batch=opening.batch, through=opening.through, until=until)
    return {"open": gate, "batch": f"{number}/{len(rotation.strategy.batches) + 1}"}


def recorded(status: TokenRotationStatus) -> Counts:
    """Read the counts that are in the status."""
    devices = status.devices or DeviceCounts()
    return Counts(devices.pending, devices.in_progress, devices.succeeded, devices.failed, devices.no_rotation)


def recorded_batches(status: TokenRotationStatus) -> tuple[Counts, ...]:
    """Read the counts of each batch that are in the status."""
    return tuple(
        Counts(
            one.pending,
            one.in_progress,
            one.succeeded,
            one.failed,
            one.total - one.pending - one.in_progress - one.succeeded - one.failed,
        )
        for one in status.batches
    )


def device_counts(counts: Counts) -> DeviceCounts:
    """Return `status.devices`."""
    return DeviceCounts(
        total=counts.total,
        pending=counts.pending,
        in_progress=counts.in_progress,
        succeeded=counts.succeeded,
        failed=counts.failed,
        no_rotation=counts.no_rotation,
    )


def shown_on_token(rotation: CurrentRotation, counts: Counts) -> CurrentRotation:
    """Return `status.rotation` of the PairingToken with these counts."""
    return rotation.model_copy(
        update={
            "pending": counts.pending,
            "in_progress": counts.in_progress,
            "succeeded": counts.succeeded,
            "failed": counts.failed,
            "summary": f"{counts.pending}/{counts.in_progress}/{counts.succeeded}/{counts.failed}",
        }
    )


def shown_as_aborted(rotation: CurrentRotation) -> CurrentRotation:
    """Return `status.rotation` of the PairingToken after its TokenRotation was deleted, which is an abort."""
    counts = Counts(rotation.pending, rotation.in_progress, rotation.succeeded, rotation.failed)
    return shown_on_token(rotation, counts.at_the_end(RotationState.ABORTED))


def _names(rotation: RotationFacts) -> tuple[str, ...]:
    return (*(batch.name for batch in rotation.strategy.batches), THE_REST)


def _cuts(rotation: RotationFacts) -> Cuts:
    return rotation.cuts or (None,) * (len(rotation.strategy.batches) + 1)


def _batch(name: str, counts: Counts, cut: str | None, done: datetime | None) -> BatchStatus:
    return BatchStatus(
        name=name,
        total=counts.total,
        pending=counts.pending,
        in_progress=counts.in_progress,
        succeeded=counts.succeeded,
        failed=counts.failed,
        through=cut,
        done_time=whole_second(done) if done is not None else None,
    )
