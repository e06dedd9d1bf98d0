"""The table of rules of Device: what is refused with which text, and what is allowed."""

from typing import Any

from tallystick.fleet.api.device import Device
from tests.harness.rule_cases import Allowed, Refused
from tests.harness.rule_tables import EXCHANGE, RuleTable
from tests.live.texts import LINES

Json = dict[str, Any]

NOON = "2030-01-01T12:00:00Z"
THUMBPRINT = "x" * 43

LEAST: Json = {
    "pairingTokenRef": {"name": "cams", "uid": "9a0c1f0e-0000-4000-8000-000000000000"},
    "serial": 1,
    "generation": 1,
    "kid": "k-1",
    "projectKey": "fleet01",
}

FIXED = "only spec.displayName and spec.revoked can be changed: the exchange creates devices"
REVOKED = "a revoked device cannot be reactivated; delete it to let its key enroll again"
NAMED = "displayName must not contain line breaks, tabs, other control characters"
OFFERED = "a copy that was handed out ends only when the device uses it"
CHANGED = "a device's generation changes only to the one that it was offered"
NEWER = "status.offer.generation must be greater than the generation that the device has"
ENDED = "status.state of a revoked device cannot change: a revocation is permanent"

CREATE_REFUSED = [
    Refused(f"name {name!r}", {}, LEAST | {"displayName": name}, NAMED)
    for name in ("two\nlines", "tab\tbed", "red \x1b[31m", "\u202edesrever", "\ue000")
]
SCHEMA_REFUSED = [
    *(
        Refused(f"no {field}", {}, {name: value for name, value in LEAST.items() if name != field}, f"spec.{field}")
        for field in LEAST
    ),
    *(
        Refused(f"{field} {str(value)[:12]!r}", {}, LEAST | {field: value}, f"spec.{field}")
        for field, value in (
            ("serial", 0),
            ("generation", 0),
            ("generation", 1_000_000_001),
            ("kid", ""),
            ("kid", "a b"),
            ("projectKey", "Fleet"),
            ("keyThumbprint", "x" * 65),
            ("displayName", ""),
            ("displayName", "x" * 64),
        )
    ),
]
CREATE_ALLOWED = [
    Allowed("the least", {}, LEAST),
    Allowed("with a key", {}, LEAST | {"keyThumbprint": THUMBPRINT}),
    Allowed("of a later generation", {}, LEAST | {"generation": 7, "serial": 3}),
    *(Allowed(f"name {name!r}", {}, LEAST | {"displayName": name}) for name in LINES),
]

EDIT_REFUSED = [
    *(
        Refused(f"{field} changed", LEAST, LEAST | {field: value}, FIXED)
        for field, value in (
            ("pairingTokenRef", {"name": "other", "uid": "9a0c1f0e-0000-4000-8000-000000000000"}),
            ("serial", 2),
            ("generation", 2),
            ("kid", "k-2"),
            ("projectKey", "fleet02"),
        )
    ),
    Refused("key set", LEAST, LEAST | {"keyThumbprint": THUMBPRINT}, FIXED),
    Refused("key unset", LEAST | {"keyThumbprint": THUMBPRINT}, LEAST, FIXED),
    Refused("key changed", LEAST | {"keyThumbprint": THUMBPRINT}, LEAST | {"keyThumbprint": "y" * 43}, FIXED),
    Refused("revocation taken back", LEAST | {"revoked": True}, LEAST | {"revoked": False}, REVOKED),
    Refused("revocation removed", LEAST | {"revoked": True}, LEAST, REVOKED),
]
EDIT_ALLOWED = [
    Allowed("nothing", LEAST, LEAST),
    Allowed("revoked", LEAST, LEAST | {"revoked": True}),
    Allowed("named", LEAST, LEAST | {"displayName": "cam-17"}),
    Allowed("renamed", LEAST | {"displayName": "cam-17"}, LEAST | {"displayName": "cam-18"}),
    Allowed("not named any more", LEAST | {"displayName": "cam-17"}, LEAST),
]


def offer(generation: int) -> Json:
    """Build an offer of a generation."""
    return {"offer": {"generation": generation, "tokenID": "t", "kid": "k-1", "time": NOON, "rotation": "rot-1"}}


ACTIVE: Json = {"state": "Active", "generation": 1}

STATUS_REFUSED = [
    Refused("an offer that is lost", ACTIVE | offer(2), ACTIVE, OFFERED),
    Refused("an offer that is lost with the rest", offer(2), {"state": "Active"}, OFFERED),
    Refused("a newer offer in its place", ACTIVE | offer(2), ACTIVE | offer(3), OFFERED),
    Refused("an offer proved and another one made", ACTIVE | offer(2), {"generation": 2} | offer(3), OFFERED),
    Refused("a generation beyond the offer", ACTIVE | offer(2), {"generation": 3}, OFFERED),
    Refused("a generation that keeps its offer", ACTIVE | offer(3), {"generation": 2} | offer(3), OFFERED),
    Refused("a generation that was not offered", ACTIVE, {"generation": 2}, CHANGED),
    Refused("a generation of a new device that was not offered", {}, {"generation": 2}, CHANGED),
    Refused("a generation and an offer at once", ACTIVE, {"generation": 2} | offer(3), CHANGED),
    Refused("an offer of the same generation", ACTIVE, ACTIVE | offer(1), NEWER),
    Refused("an offer of the first generation", {}, offer(1), NEWER),
    Refused("active again", {"state": "Revoked"}, ACTIVE, ENDED),
    Refused("no state any more", {"state": "Revoked"}, {"generation": 1}, ENDED),
    Refused("an unknown state", {}, {"state": "Lost"}, "status.state: Unsupported value"),
    *(
        Refused(
            f"a failure for {reason[:12]!r}",
            {},
            {"failure": {"generation": 2, "reason": reason, "time": NOON}},
            "status.failure.reason",
        )
        for reason in ("", "disk full", "diskFull", "Disk_1", "A" * 64)
    ),
    Refused(
        "a failure of two lines",
        {},
        {"failure": {"generation": 2, "reason": "DiskFull", "message": "a\nb", "time": NOON}},
        "status.failure.message",
    ),
]
STATUS_ALLOWED = [
    Allowed("the first check-in", {}, ACTIVE | {"tokenID": "t", "kid": "k-1", "lastSeenTime": NOON}),
    Allowed("an offer before the first check-in", {}, offer(2)),
    Allowed("an offer", ACTIVE, ACTIVE | offer(2)),
    Allowed("an offer that skips a generation", ACTIVE, ACTIVE | offer(4)),
    Allowed("the offer proved", ACTIVE | offer(2), ACTIVE | {"generation": 2, "provedTime": NOON}),
    Allowed("an offer proved at the first check-in", offer(2), {"state": "Active", "generation": 2}),
    Allowed("a failure beside the offer", ACTIVE | offer(2), ACTIVE | offer(2) | {"lastSeenTime": NOON}),
    Allowed("revoked with its offer", ACTIVE | offer(2), {"state": "Revoked", "generation": 1} | offer(2)),
    Allowed("a failure", ACTIVE, ACTIVE | {"failure": {"generation": 2, "reason": "DiskFull", "time": NOON}}),
]

DEVICE = RuleTable(
    model=Device,
    least=LEAST,
    under_status=LEAST,
    defaulted=lambda spec: {"revoked": False} | spec,
    create_refused=CREATE_REFUSED,
    schema_refused=SCHEMA_REFUSED,
    create_allowed=CREATE_ALLOWED,
    edit_refused=EDIT_REFUSED,
    edit_allowed=EDIT_ALLOWED,
    status_refused=STATUS_REFUSED,
    status_allowed=STATUS_ALLOWED,
    writes_spec=EXCHANGE,
    writes_status=EXCHANGE,
)
