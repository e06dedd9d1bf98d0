"""The static rules of MasterKey: what they refuse, with which text, and what they allow."""

from typing import Any

from tallystick.clusterkeys.api.master_key import MasterKey
from tests.harness.rule_cases import Allowed, Refused
from tests.harness.rule_tables import RuleTable
from tests.live.clusterkeys.rules_cluster_keys import (
    AHEAD,
    KEY_EDIT_ALLOWED,
    KEY_EDIT_REFUSED,
    KEY_SCHEMA_REFUSED,
    SECRET,
)

Json = dict[str, Any]

FINGERPRINT = "mk-593c0005ccb30704a21278e9"

EXTERNAL_IS_YOURS = "external: true requires secretRef; a key that only memory holds cannot be generated"
NEXT_IS_YOURS = "secretRef can be added only in an edit that raises serial"
RECORD_KEPT = "status.serial cannot be lowered"

CREATE_REFUSED = [Refused("a generated key in memory alone", {}, {"external": True}, EXTERNAL_IS_YOURS)]
CREATE_ALLOWED = [
    Allowed("nothing", {}, {}),
    Allowed("a key of the user", {}, SECRET),
    Allowed("a small one in memory alone", {}, SECRET | {"keySize": 128, "external": True, "serial": 3}),
    Allowed("the longest name of a Secret", {}, {"secretRef": {"name": "x" * 253}}),
]
EDIT_REFUSED = [
    *KEY_EDIT_REFUSED,
    Refused("a generated key moved into memory", {}, {"external": True}, EXTERNAL_IS_YOURS),
    Refused("secretRef added", {}, SECRET, NEXT_IS_YOURS),
    Refused("secretRef added with another size", {}, SECRET | {"keySize": 128}, NEXT_IS_YOURS),
    Refused("secretRef added, and in memory alone", {}, SECRET | {"external": True}, NEXT_IS_YOURS),
]
EDIT_ALLOWED = [
    *KEY_EDIT_ALLOWED,
    Allowed("secretRef added for the next key", {}, SECRET | {"serial": 2}),
    Allowed("secretRef added, and in memory alone", {}, SECRET | {"serial": 2, "external": True}),
    Allowed("a key of the user rotated", SECRET, SECRET | {"serial": 2}),
    Allowed("a key of the user moved into memory", SECRET, SECRET | {"external": True}),
    Allowed("a key of the user moved out of memory", SECRET | {"external": True}, SECRET),
]
STATUS_REFUSED = [
    Refused("ahead of the spec", {}, {"serial": 3}, AHEAD),
    Refused("lowered", {"serial": 2}, {"serial": 1}, RECORD_KEPT),
    Refused("forgotten", {"serial": 2}, {"state": "Active"}, RECORD_KEPT),
    Refused("an unknown state", {}, {"state": "Replacing"}, "status.state: Unsupported value"),
    Refused("an unknown source", {}, {"source": "Found"}, "status.source: Unsupported value"),
    *(
        Refused(f"{field} {value[:12]!r}", {}, {field: value}, f"status.{field}")
        for field in ("fingerprint", "previousFingerprint")
        for value in ("", "jk-593c0005ccb30704a21278e9", "593c0005ccb30704a21278e9" * 2, FINGERPRINT.upper())
    ),
    Refused("a holder without a time", {}, {"holder": {"identity": "a"}}, "status.holder.loadedTime: Required value"),
    Refused(
        "a holder of two lines", {}, {"holder": {"identity": "a\nb", "loadedTime": "2030-01-01T12:00:00Z"}}, "identity"
    ),
    Refused("fewer than none", {}, {"joinKeys": {"total": -1}}, "status.joinKeys.total"),
]
STATUS_ALLOWED = [
    Allowed("the first key", {}, {"serial": 1, "state": "Active", "fingerprint": FINGERPRINT, "keySize": 256}),
    Allowed("the next key", {"serial": 1}, {"serial": 2, "previousFingerprint": FINGERPRINT, "state": "Rotating"}),
    Allowed("the same again", {"serial": 2}, {"serial": 2}),
    Allowed(
        "an external key",
        {},
        {"state": "Sealed", "holder": {"identity": "a", "loadedTime": "2030-01-01T12:00:00Z"}},
    ),
    Allowed("counts", {}, {"joinKeys": {"total": 2, "outdated": 1}}),
]


def defaulted(spec: Json) -> Json:
    """Give the spec as it is stored: with the schema's defaults."""
    return {"external": False, "serial": 1} | spec


MASTER_KEY = RuleTable(
    model=MasterKey,
    least={},
    under_status={"serial": 2},
    defaulted=defaulted,
    create_refused=CREATE_REFUSED,
    schema_refused=KEY_SCHEMA_REFUSED,
    create_allowed=CREATE_ALLOWED,
    edit_refused=EDIT_REFUSED,
    edit_allowed=EDIT_ALLOWED,
    status_refused=STATUS_REFUSED,
    status_allowed=STATUS_ALLOWED,
    unknown=({"key": "0123"}, "spec.key"),
)
