"""The static rules of a PairingToken about its devices and their rotations, as CEL.

With them, no write of the status ends the lock of a running rotation, or moves the generation without the lock.
"""

from tallystick.pairing.api.device_project import FINISHED
from tallystick.schema.cel import duration_between, holds, rises_only
from tallystick.schema.meta import Rule

_PROOF = "(has({0}.proofOfPossession) ? {0}.proofOfPossession : 'Required')"
_LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"

DEVICE_SPEC_RULES = (
    Rule(
        f"{_PROOF.format('self')} == {_PROOF.format('oldSelf')}",
        "proofOfPossession is immutable",
        reason="FieldValueForbidden",
    ),
    Rule(
        f"!has(self.checkInPeriod) || ({duration_between('checkInPeriod', '5s', '24h')})",
        "checkInPeriod must be between 5s and 24h",
        field_path=".checkInPeriod",
    ),
    Rule(
        f"!has(self.deviceLabels) || self.deviceLabels.all(key, key.matches(r'{_LABEL_KEY}'))",
        "each key of deviceLabels must be the key of a label, such as site or example.com/site",
        field_path=".deviceLabels",
    ),
)

_GENERATION, _OLD_GENERATION = (
    f"({holds(f'{one}.status.generation')} ? {one}.status.generation : 0)" for one in ("self", "oldSelf")
)
_ROTATION, _OLD_ROTATION = (holds(f"{one}.status.rotation") for one in ("self", "oldSelf"))
_SAME_ROTATION = f"{_ROTATION} && self.status.rotation.uid == oldSelf.status.rotation.uid"
_FINISHED = f"oldSelf.status.rotation.state in {[str(state) for state in FINISHED]}"

DEVICE_ROOT_RULES = (
    Rule(
        f"{_GENERATION} == {_OLD_GENERATION} || {_GENERATION} == {_OLD_GENERATION} + 1",
        "status.generation rises by 1 and never falls",
    ),
    rises_only(
        "status.revokedBelowGeneration",
        "status.revokedBelowGeneration cannot be lowered: a revocation is permanent",
    ),
    # Otherwise it would also revoke the newest copies.
    Rule(
        f"!({holds('self.status.revokedBelowGeneration')}) || self.status.revokedBelowGeneration <= {_GENERATION}",
        "status.revokedBelowGeneration must not be greater than status.generation",
    ),
    Rule(
        f"!({_OLD_ROTATION}) || ({_SAME_ROTATION}) || {_FINISHED}",
        "a rotation of this token is running",
        field_path=".status.rotation",
    ),
    Rule(
        f"!({_OLD_ROTATION}) || !({_SAME_ROTATION}) || !({_FINISHED}) || "
        "self.status.rotation.state == oldSelf.status.rotation.state",
        "this rotation has finished and does not run again",
        field_path=".status.rotation",
    ),
    # One write takes the lock and ends the old value (docs/rules.md#r3). The first value needs no rotation.
    Rule(
        f"{_GENERATION} == {_OLD_GENERATION} || {_GENERATION} == 1 || "
        f"({_ROTATION} && self.status.rotation.generation == {_GENERATION} && "
        f"(!({_OLD_ROTATION}) || self.status.rotation.uid != oldSelf.status.rotation.uid))",
        "status.generation rises only in the write that starts a rotation in status.rotation",
    ),
    Rule(
        f"!({_ROTATION}) || ({_OLD_ROTATION} && {_SAME_ROTATION} && "
        "self.status.rotation.generation == oldSelf.status.rotation.generation) || "
        f"(self.status.rotation.generation == {_GENERATION} && {_GENERATION} == {_OLD_GENERATION} + 1)",
        "status.rotation can start only in the write that raises status.generation to its generation",
        field_path=".status.rotation",
    ),
)
