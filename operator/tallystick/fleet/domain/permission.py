"""Decide whether a device may start in a rotation: whether an old copy that checks in is handed the new one.

The exchange decides by its own reading of the PairingToken, the TokenRotation and the Device. Only the leader writes
`status.open`, and nothing is renewed: without a leader, no device starts beyond what is open.
"""

from datetime import datetime

from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.batches import Named, batch_of
from tallystick.fleet.domain.facts import DeviceFacts, Opening, RotationFacts, Target
from tallystick.objects.rules import first
from tallystick.pairing.api.device_project import RotationState


def may_start(device: DeviceFacts, target: Target, rotation: RotationFacts | None, now: datetime) -> bool:
    """Return whether a device may be handed the copy of the rotation of its PairingToken.

    Args:
        device: The device that checks in.
        target: Its PairingToken.
        rotation: The TokenRotation that holds the lock of the PairingToken; None if there is none.
        now: The time.
    """
    return rotation is not None and why_not(device, target, rotation, now) is None


def why_not(device: DeviceFacts, target: Target, rotation: RotationFacts, now: datetime) -> str | None:
    """Return the name of the first rule by which a device may not start; None if it may."""
    return first(_RULES, device, target, rotation, now)


def is_open(device: Named, rotation: RotationFacts, opening: Opening | None) -> bool:
    """Return whether a device is in an open batch, and within its open part. The time is not looked at."""
    if opening is None:
        return False
    batch = batch_of(device, rotation.strategy.batches, rotation.cuts)
    if batch != opening.batch:
        return batch < opening.batch
    return opening.through is None or device.name <= opening.through


def not_locked(_: DeviceFacts, target: Target, rotation: RotationFacts, __: datetime) -> str | None:
    """A rotation may act only while it holds the lock, so that two of them never hand out copies."""
    lock = target.lock
    held = lock is not None and lock.is_held and lock.uid == rotation.uid and lock.generation == rotation.generation
    return None if held and target.generation == rotation.generation else "not locked"


def stopped(_: DeviceFacts, __: Target, rotation: RotationFacts, ___: datetime) -> str | None:
    """Pause and abort are obeyed from the moment that the spec is stored, also without a controller."""
    runs = rotation.order is DesiredState.RUNNING and not rotation.deleting and rotation.state is RotationState.RUNNING
    return None if runs else "stopped"


def not_open(device: DeviceFacts, _: Target, rotation: RotationFacts, __: datetime) -> str | None:
    """Batches and their parts open in order."""
    return None if is_open(device, rotation, rotation.open) else "not open"


def out_of_time(_: DeviceFacts, __: Target, rotation: RotationFacts, now: datetime) -> str | None:
    """A window or the deadline ends the opening by the clock of the exchange, also without a controller."""
    until = rotation.open.until if rotation.open is not None else None
    return None if until is None or now < until else "out of time"


def not_behind(device: DeviceFacts, _: Target, rotation: RotationFacts, __: datetime) -> str | None:
    """A device that has the generation, or that was offered a copy, is handed nothing newer."""
    return None if device.proved < rotation.generation and device.offer is None else "not behind"


def keyless(device: DeviceFacts, _: Target, rotation: RotationFacts, __: datetime) -> str | None:
    """After a compromise, a copy without a key may be a stolen one, so it is not moved (docs/rules.md#s14)."""
    return "keyless" if rotation.compromised and device.key_thumbprint is None else None


# Ordered: the rules that hold for all devices first.
_RULES = (not_locked, stopped, out_of_time, not_open, not_behind, keyless)
