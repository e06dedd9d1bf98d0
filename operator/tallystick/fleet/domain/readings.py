"""Read facts from objects as the API server returns them, and write the status of a PairingToken from its facts.

A Device is read without its model: the controller reads 100,000 of them when it starts, and a model takes ten times as
long. The schema has checked each field.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tallystick.fleet.api import strategy as api
from tallystick.fleet.api.token_rotation import TokenRotation, TokenRotationStatus
from tallystick.fleet.domain.batches import Batch
from tallystick.fleet.domain.facts import (
    DeviceFacts,
    Enrolling,
    Failure,
    Lock,
    Offer,
    Opening,
    PastRotation,
    RotationFacts,
    Strategy,
    Target,
)
from tallystick.fleet.domain.quantities import Quantity
from tallystick.fleet.domain.windows import Window
from tallystick.pairing.api.device_project import (
    CurrentRotation,
    EnrollingDevice,
    Enrolment,
    FinishedRotation,
    ProofOfPossession,
    RotationState,
)
from tallystick.pairing.api.pairing_token import PairingToken, PairingTokenStatus, Purpose
from tallystick.schema.durations import parse_duration

Json = Mapping[str, Any]

DEFAULT_MAX_DEVICES = 1000
DEFAULT_CHECK_IN_PERIOD = "15s"
_REVOKED = "Revoked"


def device_facts(body: Json) -> DeviceFacts:
    """Read a Device."""
    meta, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    return DeviceFacts(
        name=meta["name"],
        uid=meta["uid"],
        created=_time(meta["creationTimestamp"]),
        labels=meta.get("labels") or {},
        deleting="deletionTimestamp" in meta,
        serial=spec["serial"],
        first_generation=spec["generation"],
        first_key_id=spec["kid"],
        key_thumbprint=spec.get("keyThumbprint"),
        revoked=bool(spec.get("revoked")) or status.get("state") == _REVOKED,
        checked_in="state" in status,
        generation=status.get("generation"),
        key_id=status.get("kid"),
        proved_time=_some_time(status.get("provedTime")),
        offer=_offer(status.get("offer")),
        failure=_failure(status.get("failure")),
        last_seen=_some_time(status.get("lastSeenTime")),
    )


def device_selector(pairing_token: str) -> str:
    """Return the field selector of the Devices of a PairingToken of this name, which may be an earlier one."""
    return f"spec.pairingTokenRef.name={pairing_token}"


def pairing_token_of(body: Json) -> tuple[str, str]:
    """Return the name and the UID of the PairingToken that a Device enrolled with."""
    reference = body["spec"]["pairingTokenRef"]
    return reference["name"], reference["uid"]


def target_of(token: PairingToken) -> Target:
    """Read a PairingToken, of any purpose."""
    meta, spec, status = token.metadata, token.spec, token.status
    return Target(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        serial=spec.serial,
        rotatable=spec.purpose is Purpose.DEVICE_PROJECT,
        revoked=spec.revoked,
        deleting=meta.deletion_timestamp is not None,
        max_devices=spec.max_devices or DEFAULT_MAX_DEVICES,
        enrollment_open=spec.enrolment is not Enrolment.CLOSED,
        key_required=spec.proof_of_possession is not ProofOfPossession.OPTIONAL,
        check_in_period=parse_duration(spec.check_in_period or DEFAULT_CHECK_IN_PERIOD),
        recorded_serial=status.serial,
        revoked_through=status.revoked_through or 0,
        generation=status.generation or 1,
        revoked_below=status.revoked_below_generation or 0,
        devices=status.devices or 0,
        enrolling=tuple(Enrolling(one.name, one.generation, one.time) for one in status.enrolling or ()),
        lock=_lock(status.rotation),
        past=tuple(
            PastRotation(one.name, one.uid, one.generation, one.state, one.finish_time)
            for one in status.rotations or ()
        ),
    )


def has_revoked(body: Json, serial: int) -> bool:
    """Return whether a PairingToken has revoked the devices that enrolled with a serial, without reading all of it."""
    meta, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    target = Target(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        serial=spec.get("serial") or 1,
        revoked=bool(spec.get("revoked")),
        revoked_through=status.get("revokedThrough") or 0,
    )
    return target.has_revoked(serial)


def target_status(status: PairingTokenStatus, before: Target, after: Target) -> PairingTokenStatus:
    """Return the status of a PairingToken after its facts have changed. All other members stay as they are.

    Args:
        status: The status as it was read.
        before: The facts that were read from it.
        after: The facts that it must have.
    """
    changes: dict[str, Any] = {}
    if after.generation != before.generation:
        changes["generation"] = after.generation
    if after.revoked_below != before.revoked_below:
        changes["revoked_below_generation"] = after.revoked_below
    if after.devices != before.devices:
        changes["devices"] = after.devices
    if after.enrolling != before.enrolling:
        changes["enrolling"] = [
            EnrollingDevice(name=one.name, generation=one.generation, time=one.time) for one in after.enrolling
        ] or None
    if after.lock != before.lock:
        changes["rotation"] = _rotation(after.lock, status.rotation)
    if after.past != before.past:
        changes["rotations"] = [
            FinishedRotation(
                name=one.name, uid=one.uid, generation=one.generation, state=one.state, finish_time=one.finish_time
            )
            for one in after.past
        ]
    return status.model_copy(update=changes)


def rotation_facts(rotation: TokenRotation) -> RotationFacts:
    """Read a TokenRotation."""
    meta, spec, status = rotation.metadata, rotation.spec, rotation.status
    if meta.creation_timestamp is None:
        raise ValueError("an object that is stored has a creationTimestamp")
    return RotationFacts(
        name=meta.name,
        uid=meta.uid,
        created=meta.creation_timestamp,
        order=spec.desired_state,
        deleting=meta.deletion_timestamp is not None,
        compromised=spec.reason == "Compromised",
        revokes_immediately=spec.old_token is api.OldToken.REVOKE_IMMEDIATELY,
        open_batches=spec.open_batches,
        strategy=_strategy(spec.strategy),
        state=status.state or RotationState.PENDING,
        generation=status.generation or 0,
        start_time=status.start_time,
        open=_opening(status),
        cuts=tuple(one.through for one in status.batches),
        done_times=tuple(one.done_time for one in status.batches),
    )


def _strategy(strategy: api.Strategy) -> Strategy:
    concurrency = strategy.max_concurrency
    return Strategy(
        batches=tuple(
            Batch(
                one.name,
                one.selector.match_labels if one.selector is not None else None,
                Quantity.parse(one.limit) if one.limit is not None else None,
            )
            for one in strategy.batches
        ),
        success_threshold=Quantity.parse(strategy.success_threshold),
        min_success_time=parse_duration(strategy.min_success_time),
        max_concurrency=Quantity.parse(concurrency) if concurrency is not None else None,
        max_failures=Quantity.parse(strategy.max_failures),
        in_progress_timeout=parse_duration(strategy.in_progress_timeout),
        deadline=parse_duration(strategy.deadline) if strategy.deadline is not None else None,
        windows=tuple(Window(one.schedule, parse_duration(one.duration), one.time_zone) for one in strategy.windows),
    )


def _opening(status: TokenRotationStatus) -> Opening | None:
    gate = status.open
    return None if gate is None else Opening(gate.batch, gate.through, gate.until)


def _lock(rotation: CurrentRotation | None) -> Lock | None:
    return None if rotation is None else Lock(rotation.name, rotation.uid, rotation.generation, rotation.state)


def _rotation(lock: Lock | None, before: CurrentRotation | None) -> CurrentRotation | None:
    """Return the rotation of a lock. The counts of the same rotation stay until the next ones are written."""
    if lock is None:
        return None
    facts = {"name": lock.name, "uid": lock.uid, "generation": lock.generation, "state": lock.state}
    if before is not None and before.uid == lock.uid:
        return before.model_copy(update=facts)
    return CurrentRotation(name=lock.name, uid=lock.uid, generation=lock.generation, state=lock.state)


def _offer(offer: Json | None) -> Offer | None:
    if offer is None:
        return None
    return Offer(offer["generation"], offer["kid"], _time(offer["time"]), offer["rotation"])


def _failure(failure: Json | None) -> Failure | None:
    if failure is None:
        return None
    return Failure(failure["generation"], failure["reason"], failure.get("message") or "", _time(failure["time"]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _some_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
