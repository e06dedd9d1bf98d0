"""The static rules of JoinKey: what they refuse, with which text, and what they allow."""

from typing import Any

from tallystick.clusterkeys.api.join_key import JoinKey
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

FINGERPRINT = "jk-187bebcceb7ed3ebe80a9011"
MASTER = "mk-593c0005ccb30704a21278e9"
NOON = "2030-01-01T12:00:00Z"

ONLY_GENERATED = "serial requests a new generated key; with secretRef, put the new key into its Secret"
TARGETS = "targets must have at most 16 items"
OVERLAP = "overlap must be between 0s and 720h"
VERSION_KEPT = "status.keyVersion cannot be lowered"


def targets(count: int) -> Json:
    return {"targets": [{"namespace": f"n-{number}"} for number in range(count)]}


CREATE_REFUSED = [
    Refused("17 targets", {}, targets(17), TARGETS),
    Refused("64 targets", {}, targets(64), TARGETS),
    *(
        Refused(f"overlap {overlap}", {}, {"overlap": overlap}, OVERLAP)
        for overlap in ("720h1s", "43201m", "999999h", "99999999h", "0h9999999999s")
    ),
]
SCHEMA_REFUSED = [
    *KEY_SCHEMA_REFUSED,
    Refused("65 targets", {}, targets(65), "spec.targets: Too many: 65: must have at most 64 items"),
    Refused("33 services", {}, {"services": ["a"] * 33}, "spec.services: Too many: 33: must have at most 32 items"),
    Refused("a target without a namespace", {}, {"targets": [{}]}, "spec.targets[0].namespace: Required value"),
    *(
        Refused(f"a {what} {name[:12]!r}", {}, spec, path)
        for name in ("", "A", "a_b", "-a", "a-", "a b", "a\n", "x" * 64)
        for what, spec, path in (
            ("namespace", {"targets": [{"namespace": name}]}, "spec.targets[0].namespace"),
            ("service", {"services": [name]}, "spec.services[0]"),
            ("master key", {"masterKeyRef": {"name": name}}, "spec.masterKeyRef.name"),
        )
    ),
    *(
        Refused(
            f"a Secret of a target {name[:12]!r}",
            {},
            {"targets": [{"namespace": "a", "secretName": name}]},
            "spec.targets[0].secretName",
        )
        for name in ("", "A", "a..b", "x" * 254)
    ),
    *(
        Refused(f"overlap {overlap!r}", {}, {"overlap": overlap}, "spec.overlap")
        for overlap in ("", "0", "10", "1d", "-1s", "1.5h", "1m1h", "10 m")
    ),
]
CREATE_ALLOWED = [
    Allowed("nothing", {}, {}),
    Allowed("16 targets", {}, targets(16)),
    Allowed("one target twice", {}, {"targets": [{"namespace": "a"}, {"namespace": "a"}]}),
    *(Allowed(f"overlap {overlap}", {}, {"overlap": overlap}) for overlap in ("0s", "720h", "1h30m", "000000h1s")),
    Allowed("a partial reference", {}, {"masterKeyRef": {}}),
    Allowed(
        "everything",
        {},
        SECRET
        | {
            "keySize": 128,
            "masterKeyRef": {"name": "artifactory"},
            "targets": [{"namespace": "rt"}, {"namespace": "mc", "secretName": "join.key"}],
            "services": ["artifactory", "x" * 63, "0"],
            "overlap": "0s",
            "serial": 3,
        },
    ),
]
EDIT_REFUSED = [
    *KEY_EDIT_REFUSED,
    Refused("serial raised with secretRef", SECRET, SECRET | {"serial": 2}, ONLY_GENERATED),
    Refused("serial raised while secretRef is added", {}, SECRET | {"serial": 2}, ONLY_GENERATED),
    Refused("too many targets", targets(16), targets(17), TARGETS),
    Refused("too long an overlap", {"overlap": "720h"}, {"overlap": "721h"}, OVERLAP),
]
EDIT_ALLOWED = [
    *KEY_EDIT_ALLOWED,
    Allowed("secretRef added", {}, SECRET),
    Allowed("secretRef added with a size", {}, SECRET | {"keySize": 128}),
    Allowed("another master key", {}, {"masterKeyRef": {"name": "other"}}),
    Allowed("a target added", targets(1), targets(2)),
    Allowed("a target removed", targets(2), targets(1)),
    Allowed("all targets removed", targets(2), {}),
    Allowed("replaced at once", {}, {"overlap": "0s", "serial": 2}),
    Allowed("services listed", {}, {"services": ["a"]}),
]
STATUS_REFUSED = [
    Refused("ahead of the spec", {}, {"serial": 3}, AHEAD),
    Refused("an earlier version", {"keyVersion": 2}, {"keyVersion": 1}, VERSION_KEPT),
    Refused("no version any more", {"keyVersion": 2}, {"state": "Active"}, VERSION_KEPT),
    Refused("an unknown state", {}, {"state": "Rotating"}, "status.state: Unsupported value"),
    Refused("an unknown source", {}, {"source": "Found"}, "status.source: Unsupported value"),
    *(
        Refused(f"fingerprint {value[:12]!r}", {}, {"fingerprint": value}, "status.fingerprint")
        for value in ("", MASTER, "187bebcceb7ed3ebe80a9011" * 2, FINGERPRINT.upper())
    ),
    Refused("sealed with no master key", {}, {"sealed": {"digest": "d"}}, "status.sealed.masterKey: Required value"),
    Refused(
        "sealed with a join key", {}, {"sealed": {"digest": "d", "masterKey": FINGERPRINT}}, "status.sealed.masterKey"
    ),
    Refused(
        "an unknown phase",
        {},
        {"replacement": {"phase": "Switching", "fingerprint": FINGERPRINT, "until": NOON}},
        "status.replacement.phase: Unsupported value",
    ),
    Refused(
        "a target of two lines",
        {},
        {"targets": [{"namespace": "a", "secretName": "b", "inSync": False, "message": "a\nb"}]},
        "status.targets[0].message",
    ),
]
STATUS_ALLOWED = [
    Allowed(
        "the first key",
        {},
        {"serial": 1, "keyVersion": 1, "fingerprint": FINGERPRINT, "sealed": {"digest": "d", "masterKey": MASTER}},
    ),
    Allowed("the next version", {"keyVersion": 1}, {"keyVersion": 2}),
    Allowed("a record without the serial", {"serial": 1, "keyVersion": 1}, {"keyVersion": 1}),
    Allowed(
        "a replacement",
        {"keyVersion": 1},
        {"keyVersion": 1, "replacement": {"phase": "Publishing", "fingerprint": FINGERPRINT, "until": NOON}},
    ),
    Allowed(
        "a target in the way",
        {},
        {
            "copies": {"total": 2, "inSync": 1},
            "targets": [
                {"namespace": "a", "secretName": "b", "inSync": True, "keyVersion": 1},
                {"namespace": "c", "secretName": "b", "inSync": False, "reason": "TargetNamespaceNotFound"},
            ],
        },
    ),
]


def defaulted(spec: Json) -> Json:
    """Give the spec as it is stored: with the schema's defaults."""
    return {"overlap": "10m", "serial": 1} | spec | {"masterKeyRef": {"name": "default"} | spec.get("masterKeyRef", {})}


JOIN_KEY = RuleTable(
    model=JoinKey,
    least={},
    under_status={"serial": 2},
    defaulted=defaulted,
    create_refused=CREATE_REFUSED,
    schema_refused=SCHEMA_REFUSED,
    create_allowed=CREATE_ALLOWED,
    edit_refused=EDIT_REFUSED,
    edit_allowed=EDIT_ALLOWED,
    status_refused=STATUS_REFUSED,
    status_allowed=STATUS_ALLOWED,
    unknown=({"key": "0123"}, "spec.key"),
)
