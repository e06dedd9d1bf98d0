"""Write the status of a Device from its facts: what a check-in records, and what a revocation does."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tallystick.fleet.api.device import DeviceState
from tallystick.fleet.api.reasons import DeviceReason
from tallystick.fleet.domain.copies import copy_id, key_of_copy
from tallystick.fleet.domain.device_messages import IS_REVOKED, in_use_text
from tallystick.fleet.domain.facts import DeviceFacts
from tallystick.objects.conditions import Readiness, conditions, ended, ready
from tallystick.schema.meta import Condition
from tallystick.schema.times import rfc3339

Json = dict[str, Any]

_DERIVED = ("offer", "failure")


def device_status(body: Mapping[str, Any], facts: DeviceFacts, now: datetime) -> Json:
    """Return the status of a Device after its facts have changed. The members of others stay as they are.

    The generation, the ID and the key of the copy in use are written from the first check-in on, so that users see
    them.

    Args:
        body: The Device as it was read.
        facts: The facts that its status must have.
        now: The time.
    """
    before = body.get("status") or {}
    status = {name: value for name, value in before.items() if name not in _DERIVED}
    if facts.checked_in and facts.last_seen is not None:
        seen = rfc3339(facts.last_seen)
        status |= {
            "state": DeviceState.ACTIVE.value,
            "generation": facts.proved,
            "tokenID": copy_id(facts.uid, facts.proved),
            "kid": key_of_copy(facts, facts.proved),
            "provedTime": rfc3339(facts.proved_time) if facts.proved_time is not None else seen,
            "lastSeenTime": seen,
        }
        status |= _described(body, ready(DeviceReason.ACTIVE, in_use_text(facts.proved)), now)
    if facts.offer is not None:
        status["offer"] = {
            "generation": facts.offer.generation,
            "tokenID": copy_id(facts.uid, facts.offer.generation),
            "kid": facts.offer.key_id,
            "time": rfc3339(facts.offer.time),
            "rotation": facts.offer.rotation,
        }
    if facts.failure is not None:
        status["failure"] = {
            "generation": facts.failure.generation,
            "reason": facts.failure.reason,
            **({"message": facts.failure.message} if facts.failure.message else {}),
            "time": rfc3339(facts.failure.time),
        }
    return status


def revoked_status(body: Mapping[str, Any], now: datetime) -> Json:
    """Return the status that records a revocation. An offer stays: it is no longer accepted, and ends only by proof."""
    before = body.get("status") or {}
    revoked = _described(body, ended(DeviceReason.REVOKED, IS_REVOKED), now)
    return {**before, "state": DeviceState.REVOKED.value, **revoked}


def _described(body: Mapping[str, Any], readiness: Readiness, now: datetime) -> Json:
    generation = body["metadata"].get("generation", 0)
    before = [Condition.model_validate(one) for one in (body.get("status") or {}).get("conditions") or ()]
    written = conditions(readiness, before=before, generation=generation, now=now)
    return {"observedGeneration": generation, "conditions": [condition.to_json() for condition in written]}
