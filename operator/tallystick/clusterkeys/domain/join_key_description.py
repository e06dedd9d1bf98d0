"""Describe a JoinKey: the part of the status that follows from its keys, its copies and the time."""

from datetime import datetime

from tallystick.clusterkeys.api.join_key import Copies, JoinKey, JoinKeyState
from tallystick.clusterkeys.domain.join_key_messages import readiness_of
from tallystick.objects.conditions import Description


def describe_join_key(join_key: JoinKey, now: datetime) -> Description:
    """Describe an object whose status lists its copies."""
    status = join_key.status
    copies = Copies(total=len(status.targets), in_sync=sum(target.in_sync for target in status.targets))
    until = status.replacement.until if status.replacement is not None else None
    return Description(
        readiness=readiness_of(join_key),
        derived={"state": _state(join_key), "copies": copies if status.targets else None},
        # A phase that is over waits for something else than time.
        requeue_at=until if until is not None and until > now else None,
    )


def _state(join_key: JoinKey) -> JoinKeyState:
    if join_key.status.fingerprint is None:
        return JoinKeyState.PENDING
    return JoinKeyState.ACTIVE if join_key.status.replacement is None else JoinKeyState.REPLACING
