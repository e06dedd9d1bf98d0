"""The static rules of Device as CEL. With them, even stale and unconditional writes of the status lock no device out.

Two generations are accepted: the one that the device has proved, and the one that it was offered. The first changes
only to the second, and the second ends only by becoming the first.
"""

from tallystick.schema.cel import NAME_FITS, all_unchanged, displayed, holds
from tallystick.schema.meta import Rule

_REQUIRED = ("pairingTokenRef", "serial", "generation", "kid", "projectKey")

SPEC_RULES = (
    Rule(
        all_unchanged(required=_REQUIRED, optional=("keyThumbprint",)),
        "only spec.displayName and spec.revoked can be changed: the exchange creates devices",
        reason="FieldValueForbidden",
    ),
    Rule(
        "self.revoked || !oldSelf.revoked",
        "a revoked device cannot be reactivated; delete it to let its key enroll again",
        reason="FieldValueForbidden",
    ),
    displayed("displayName"),
)


def _generation(one: str) -> str:
    """Write CEL for: the generation that the device has proved."""
    return f"({holds(f'{one}.status.generation')} ? {one}.status.generation : {one}.spec.generation)"


_PROVED, _OLD_PROVED = _generation("self"), _generation("oldSelf")
_OFFERED, _OLD_OFFERED = (holds(f"{one}.status.offer") for one in ("self", "oldSelf"))
_OFFER, _OLD_OFFER = (f"{one}.status.offer.generation" for one in ("self", "oldSelf"))
_STATE, _OLD_STATE = (holds(f"{one}.status.state") for one in ("self", "oldSelf"))

ROOT_RULES = (
    NAME_FITS,
    Rule(
        f"!({_OLD_OFFERED}) || "
        f"({_OFFERED} && {_OFFER} == {_OLD_OFFER} && {_PROVED} == {_OLD_PROVED}) || "
        f"(!({_OFFERED}) && {_PROVED} == {_OLD_OFFER})",
        "a copy that was handed out ends only when the device uses it: status.offer stays until status.generation is "
        "its generation",
        field_path=".status.offer",
    ),
    Rule(
        f"({_OLD_OFFERED}) || {_PROVED} == {_OLD_PROVED}",
        "a device's generation changes only to the one that it was offered",
        field_path=".status.generation",
    ),
    # A new Device has no offer and no generation but that of its spec: its first copy is accepted.
    Rule(
        f"!({_OFFERED}) || {_OFFER} > {_PROVED}",
        "status.offer.generation must be greater than the generation that the device has",
        field_path=".status.offer",
    ),
    Rule(
        f"!({_OLD_STATE}) || oldSelf.status.state != 'Revoked' || ({_STATE} && self.status.state == 'Revoked')",
        "status.state of a revoked device cannot change: a revocation is permanent",
        field_path=".status.state",
    ),
)
