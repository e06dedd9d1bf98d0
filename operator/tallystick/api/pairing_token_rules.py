"""The static rules of PairingToken as CEL: a plain `kubectl apply`, Argo CD and Flux are refused at once.

A rule on the spec sees the spec; a rule on the root sees spec and status, whichever of the two is being written. So
even a faulty writer of the status cannot revive a spent token, or take a claim or a revocation back.
"""

from tallystick.api.meta import Rule
from tallystick.api.rules import NAME_FITS, duration_between, holds, immutable, rises_only, unchanged

_REISSUED = "self.serial > oldSelf.serial"
_SAME_STATUS_SERIAL = (
    "!(has(self.status) && has(self.status.serial) && "
    f"(!({holds('oldSelf.status.serial')}) || self.status.serial > oldSelf.status.serial))"
)


def _signed(field: str) -> Rule:
    """S3: what is part of the signed token changes only in an edit that also raises `serial`."""
    parent = field.rpartition(".")[0]
    same = unchanged(field)
    if parent:
        same = f"has(self.{parent}) && has(oldSelf.{parent}) && {same}"
    return Rule(
        f"{_REISSUED} || ({same})",
        f"{field} is part of the signed token; raise spec.serial in the same edit to issue a new one",
        reason="FieldValueForbidden",
    )


def _applies_only_to(purpose: str, field: str) -> Rule:
    return Rule(
        f"self.purpose == '{purpose}' || !({holds(f'self.{field}')})", f"{field} applies only to purpose {purpose}"
    )


def _required_when(purpose: str, field: str) -> Rule:
    return Rule(
        f"self.purpose != '{purpose}' || has(self.{field})",
        f"{field} is required when purpose is {purpose}",
        reason="FieldValueRequired",
    )


_SERVICE_FIELDS = (
    "useCase",
    "baseURL",
    "exchangeURL",
    "pairingURL",
    "peerURL",
    "serviceAccountName",
    "masterToken.ttl",
)
_SIGNED_FIELDS = (*_SERVICE_FIELDS, "projectKey", "ttl", "requestedBy")

SPEC_RULES = (
    Rule("self.purpose == oldSelf.purpose", "purpose is immutable", reason="FieldValueForbidden"),
    immutable("secretName"),
    _required_when("Service", "useCase"),
    _required_when("DeviceProject", "projectKey"),
    _applies_only_to("DeviceProject", "projectKey"),
    *(_applies_only_to("Service", field) for field in _SERVICE_FIELDS),
    # R88: the slash matters, lest https://a.example.evil.com pass for https://a.example; and so do dot segments.
    Rule(
        "!has(self.exchangeURL) || !has(self.baseURL) || (self.exchangeURL.startsWith(self.baseURL + '/') && "
        "!self.exchangeURL.matches('/([.]|%2[Ee]){1,2}(/|$)'))",
        "exchangeURL must be under baseURL",
    ),
    Rule(
        f"self.purpose != 'Service' || !has(self.ttl) || ({duration_between('ttl', '10s', '24h')})",
        "ttl must be between 10s and 24h for purpose Service",
    ),
    Rule(
        f"self.purpose != 'DeviceProject' || !has(self.ttl) || ({duration_between('ttl', '10s', '87600h')})",
        "ttl must be between 10s and 87600h for purpose DeviceProject",
    ),
    Rule("self.serial >= oldSelf.serial", "serial cannot be lowered", reason="FieldValueForbidden"),
    Rule(
        "self.serial <= oldSelf.serial + 1",
        "serial may rise by 1 at a time: set it to the live object's spec.serial + 1",
    ),
    Rule(
        f"{_REISSUED} || self.revoked || !oldSelf.revoked",
        "a revoked token cannot be reactivated; raise spec.serial to issue a new one",
        reason="FieldValueForbidden",
    ),
    Rule(
        f"!({_REISSUED}) || !self.revoked",
        "a revoked token is never issued: set spec.revoked to false in the edit that raises spec.serial",
    ),
    *(_signed(field) for field in _SIGNED_FIELDS),
)

MASTER_TOKEN_RULES = (
    Rule(
        f"!has(self.ttl) || ({duration_between('ttl', '1m', '87600h')})",
        "masterToken.ttl must be between 1m and 87600h",
    ),
    Rule(
        "self.deletionPolicy == oldSelf.deletionPolicy",
        "masterToken.deletionPolicy is immutable",
        reason="FieldValueForbidden",
    ),
)

_CLAIM_HELD = holds("oldSelf.status.claim")
_STATE_HELD = holds("oldSelf.status.state")
_STATE = holds("self.status.state")

ROOT_RULES = (
    NAME_FITS,
    # Else a revocation that is followed by a re-issue within a second would never be carried out.
    Rule(
        "self.spec.serial == oldSelf.spec.serial || !oldSelf.spec.revoked || "
        f"({_STATE_HELD} && oldSelf.status.state == 'Revoked')",
        "the revocation is still being carried out: wait until status.state is Revoked, then raise spec.serial",
    ),
    Rule(
        f"!({holds('self.status.serial')}) || self.status.serial <= self.spec.serial",
        "status.serial cannot run ahead of spec.serial",
    ),
    rises_only("status.serial", "status.serial cannot be lowered"),
    Rule(
        f"!({holds('self.status.revokedThrough')}) || self.status.revokedThrough <= self.spec.serial",
        "status.revokedThrough cannot run ahead of spec.serial",
    ),
    rises_only("status.revokedThrough", "status.revokedThrough cannot be lowered: what is revoked stays revoked"),
    # Else the master tokens of a revoked serial would be valid again as soon as the next serial is Active.
    Rule(
        f"!({_STATE}) || self.status.state != 'Revoked' || !has(self.status.serial) || "
        "(has(self.status.revokedThrough) && self.status.revokedThrough >= self.status.serial)",
        "state Revoked needs status.revokedThrough to be at least status.serial",
    ),
    Rule(
        f"!({_CLAIM_HELD}) || !({_SAME_STATUS_SERIAL}) || "
        f"({holds('self.status.claim')} && self.status.claim == oldSelf.status.claim)",
        "a claim is final",
        field_path=".status.claim",
    ),
    # One write spends the token and says who redeemed it: there is no other way to a claim. A revocation may carry
    # the claim of an earlier serial along, where the next one was revoked before it was ever issued.
    Rule(
        f"!({holds('self.status.claim')}) || ({_CLAIM_HELD} && {_SAME_STATUS_SERIAL}) || "
        f"({_CLAIM_HELD} && self.status.claim == oldSelf.status.claim && {_STATE} && "
        "self.status.state == 'Revoked') || "
        f"({_STATE_HELD} && oldSelf.status.state == 'Active' && {_STATE} && self.status.state == 'Used' && "
        f"{_SAME_STATUS_SERIAL})",
        "only an Active token can be claimed, by the write that makes it Used",
        field_path=".status.claim",
    ),
    Rule(
        f"!({_STATE_HELD}) || !(oldSelf.status.state in ['Used', 'Expired', 'Revoked']) || "
        f"!({_SAME_STATUS_SERIAL}) || "
        f"({_STATE} && self.status.state in [oldSelf.status.state, 'Revoked'])",
        "a spent token never becomes active again: Used and Expired may only become Revoked",
    ),
)
