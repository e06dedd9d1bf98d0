"""The static rules of ConnectionConfiguration as CEL: the last token cannot be revoked, by any client or verb.

The list of slots is atomic (design.md, API decision 4): one slot at least is the rule that the only active token
cannot be revoked, two at most is the limit of two.
"""

from tallystick.api.meta import Rule
from tallystick.api.rules import NAME_FITS, duration_between, holds, immutable, rises_only

_ONLY_ACTIVE = (
    "cannot revoke the only active token; generate a new token first (add a slot), register it on all instances, "
    "then revoke this one"
)

SPEC_RULES = (
    Rule(
        "self.deploymentType == oldSelf.deploymentType",
        "deploymentType is immutable: tokens are tied to it; create a separate ConnectionConfiguration",
        reason="FieldValueForbidden",
    ),
    Rule(
        "self.deploymentType == 'ReverseProxy' || !has(self.reverseProxy)",
        "reverseProxy applies only to deploymentType ReverseProxy",
    ),
    Rule(
        "self.tokens.size() <= 2",
        "cannot generate a new token: 2 of 2 tokens are active; revoke one first",
        field_path=".tokens",
    ),
    Rule(
        "self.tokens.all(t, self.tokens.exists_one(o, o.name == t.name))",
        "slot names must be unique",
        field_path=".tokens",
    ),
    Rule("self.tokens.exists(t, oldSelf.tokens.exists(o, o.name == t.name))", _ONLY_ACTIVE, field_path=".tokens"),
    immutable("secretName"),
    # `exp` and `nbf` are whole seconds, too (RFC 7519 2), and what is recorded must be comparable with what is asked.
    Rule(
        "!has(self.licenseExpiresAt) || (timestamp(int(self.licenseExpiresAt)) == self.licenseExpiresAt && "
        "self.licenseExpiresAt >= timestamp('2000-01-01T00:00:00Z') && "
        "self.licenseExpiresAt < timestamp('9999-01-01T00:00:00Z'))",
        "licenseExpiresAt must be a whole second of a year from 2000 to 9998",
        field_path=".licenseExpiresAt",
    ),
)

_SANE = {field: duration_between(field, "1s", "87600h") for field in ("recommendAfter", "requireAfter")}

ROTATION_POLICY_RULES = (
    *(Rule(sane, f"{field} must be between 1s and 87600h") for field, sane in _SANE.items()),
    Rule(
        f"!({_SANE['recommendAfter']}) || !({_SANE['requireAfter']}) || "
        "duration(self.requireAfter) >= duration(self.recommendAfter)",
        "requireAfter must not be shorter than recommendAfter",
    ),
)

_OLD_TOKENS, _TOKENS = "oldSelf.status.tokens", "self.status.tokens"
_KNOWN = holds(_OLD_TOKENS)
_KEPT = "s.state != 'Revoked' && self.spec.tokens.exists(t, t.name == s.slot)"

ROOT_RULES = (
    NAME_FITS,
    # S9: `[a,b]` -> `[a]` -> `[a,b]`, faster than the controller, would lose the revocation of b.
    Rule(
        f"!({_KNOWN}) || self.spec.tokens.all(t, oldSelf.spec.tokens.exists(o, o.name == t.name) || "
        f"!{_OLD_TOKENS}.exists(s, s.slot == t.name && s.state != 'Revoked'))",
        "a slot of this name is still being revoked: wait until it has left status.tokens, or use another name",
        field_path=".spec.tokens",
    ),
    # And the order to generate one, where b was vacant.
    Rule(
        f"!({holds('oldSelf.status.vacantSlots')}) || self.spec.tokens.all(t, "
        "oldSelf.spec.tokens.exists(o, o.name == t.name) || !(t.name in oldSelf.status.vacantSlots))",
        "a slot of this name is still being removed: wait until it has left status.vacantSlots, or use another name",
        field_path=".spec.tokens",
    ),
    # `[a]` -> `[a,b]` -> `[b]`, before b is minted, would revoke the only token that anybody has; before a is Active,
    # too, for it may be in the Secret already, and what was planned later only if it is.
    Rule(
        f"self.spec.tokens == oldSelf.spec.tokens || !({_KNOWN}) || "
        f"{_OLD_TOKENS}.all(s, s.state == 'Revoked') || "
        "self.spec.tokens.exists(t, oldSelf.spec.tokens.exists(o, o.name == t.name) && "
        f"{_OLD_TOKENS}.exists(s, s.slot == t.name && (s.state == 'Active' || "
        f"(s.state == 'Pending' && !{_OLD_TOKENS}.exists(o, o.state == 'Active' || "
        "(o.state == 'Pending' && o.serial < s.serial))))))",
        _ONLY_ACTIVE,
        field_path=".spec.tokens",
    ),
    # A licence that is extended in its last seconds does not save the tokens that there are (domain/slots.py): one that
    # was generated since outlives them, and to drop it for one of them would leave nothing.
    Rule(
        f"self.spec.tokens == oldSelf.spec.tokens || !({_KNOWN}) || !{_OLD_TOKENS}.exists(s, {_KEPT}) || "
        f"{_OLD_TOKENS}.exists(s, {_KEPT} && !{_OLD_TOKENS}.exists(o, o.state != 'Revoked' && has(s.notAfter) && "
        "(!has(o.notAfter) || o.notAfter > s.notAfter)))",
        "the token that would stay ends within seconds, before the licence does: wait until status.tokens shows it as "
        "revoked, then edit the slots",
        field_path=".spec.tokens",
    ),
    # An end that passes unrecorded, and is then moved, would have revoked nothing: the tokens would live again.
    Rule(
        f"!has(oldSelf.spec.licenseExpiresAt) || !({_KNOWN}) || "
        "(has(self.spec.licenseExpiresAt) && self.spec.licenseExpiresAt <= oldSelf.spec.licenseExpiresAt) || "
        f"{_OLD_TOKENS}.all(s, s.state == 'Revoked' || "
        "(has(s.notAfter) && s.notAfter <= oldSelf.spec.licenseExpiresAt))",
        "the end of the licence is still being recorded: wait until status.tokens[].notAfter shows it, then change it",
        field_path=".spec.licenseExpiresAt",
    ),
    rises_only("status.lastSerial", "status.lastSerial cannot be lowered"),
    Rule(
        f"!({holds(_TOKENS)}) || {_TOKENS}.filter(s, s.state != 'Revoked').size() <= 2",
        "at most 2 tokens may be pending or active",
        field_path=".status.tokens",
    ),
    Rule(
        f"!({holds(_TOKENS)}) || {_TOKENS}.all(s, {holds('self.status.lastSerial')} && "
        "s.serial <= self.status.lastSerial)",
        "status.tokens cannot run ahead of status.lastSerial",
        field_path=".status.tokens",
    ),
    Rule(
        f"!({_KNOWN}) || !({holds(_TOKENS)}) || {_TOKENS}.all(s, s.state == 'Revoked' || "
        f"!{_OLD_TOKENS}.exists(o, o.tokenID == s.tokenID && o.state == 'Revoked'))",
        "a revoked token never becomes active again",
        field_path=".status.tokens",
    ),
    Rule(
        f"!({holds('oldSelf.status.lastSerial')}) || !({holds(_TOKENS)}) || "
        f"{_TOKENS}.all(s, s.serial > oldSelf.status.lastSerial || ({_KNOWN} && {_OLD_TOKENS}.exists(o, "
        "o.tokenID == s.tokenID && o.serial == s.serial && o.slot == s.slot)))",
        "a token that has left status.tokens never comes back",
        field_path=".status.tokens",
    ),
)
