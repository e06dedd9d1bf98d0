"""Check by dry runs that admission behaves (docs/rules.md#s4, docs/rules.md#s6).

Installer, controller and `tallystick check` use these probes. Each returns whether a policy is in force. A timeout or a
rejection by another policy is an error: it proves neither.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tallystick.objects.ports import RefusedError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, Purpose
from tallystick.pairing.domain.requester import (
    VALIDATION_IS_IN_FORCE,
    VALIDATION_PROBE,
    VALIDATION_REJECTS_FORGED,
    RequesterMode,
)
from tallystick.schema.builtin import SELF_SUBJECT_REVIEWS
from tallystick.schema.meta import API_VERSION, Resource

Json = dict[str, Any]

FORGED = "system:tallystick:forged-probe"


class Admission(Protocol):
    """The API server, as a probe uses it."""

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        """Create, or return the object that a create would store."""
        ...


AdmissionProbe = Callable[[Admission, str], Awaitable[bool]]
"""Returns whether a policy is in force. Its second argument is the operator's namespace, where the dry run is."""


async def guard_is_in_force(cluster: Admission, namespace: str) -> bool:
    """Return whether the guard rejects a name that it reserves for this check."""
    try:
        await cluster.create(PAIRING_TOKENS, _pairing_token(namespace, name=VALIDATION_PROBE), dry_run=True)
    except RefusedError as error:
        if VALIDATION_IS_IN_FORCE in str(error):
            return True
        raise
    return False


async def forged_requester_is_rejected(cluster: Admission, namespace: str) -> bool:
    """Return whether the guard rejects a requester who is not the caller."""
    return await _stored(cluster, namespace, requestedBy=FORGED) is None


async def requester_is_set(cluster: Admission, namespace: str) -> bool:
    """Return whether admission sets the name of the caller. The guard's message means: not yet."""
    stored = await _stored(cluster, namespace)
    return stored is not None and stored.get("requestedBy") == await _own_name(cluster)


def admission_probes(mode: RequesterMode) -> dict[str, AdmissionProbe]:
    """Return the probes that any caller who may create PairingTokens can run, by a text after "waiting until"."""
    probes: dict[str, AdmissionProbe] = {
        "the validation of requesters and use cases is in force": guard_is_in_force,
    }
    if mode is RequesterMode.POLICY:
        probes["a forged requester is rejected"] = forged_requester_is_rejected
        probes["the mutation of the requester is in force"] = requester_is_set
    return probes


async def _stored(cluster: Admission, namespace: str, **requester: str) -> Json | None:
    """Create an object as a dry run, and return its spec; None if the guard rejects it with its own message."""
    body = _pairing_token(namespace, generateName="tallystick-probe-")
    body["spec"] |= requester
    try:
        response = await cluster.create(PAIRING_TOKENS, body, dry_run=True)
    except RefusedError as error:
        if VALIDATION_REJECTS_FORGED in str(error):
            return None
        raise
    spec: Json = response["spec"]
    return spec


async def _own_name(cluster: Admission) -> str | None:
    body = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": SELF_SUBJECT_REVIEWS.kind, "metadata": {}}
    review = await cluster.create(SELF_SUBJECT_REVIEWS, body)
    name: str | None = review.get("status", {}).get("userInfo", {}).get("username")
    return name


def _pairing_token(namespace: str, **named: str) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": PAIRING_TOKENS.kind,
        "metadata": {**named, "namespace": namespace},
        "spec": {"purpose": Purpose.DEVICE_PROJECT.value, "projectKey": "probe"},
    }
