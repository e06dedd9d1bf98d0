"""What the tables of rules of MasterKey and JoinKey share: the rules about a key that both kinds have."""

from typing import Any

from tests.harness.rule_cases import Allowed, Refused

Json = dict[str, Any]

SECRET: Json = {"secretRef": {"name": "mine"}}

LOWERED = "serial cannot be lowered"
BY_ONE = "serial can rise only by 1; set it to the current spec.serial + 1"
KEPT = "secretRef cannot be removed; to change the key, put another key into its Secret"
SIZE_KEPT = "keySize of a generated key can change only in an edit that raises serial"
AHEAD = "status.serial must not be greater than spec.serial"

KEY_SCHEMA_REFUSED = [
    *(
        Refused(f"keySize {size}", {}, {"keySize": size}, f"spec.keySize: Unsupported value: {size}: supported values")
        for size in (0, 64, 192, 512)
    ),
    *(Refused(f"serial {serial}", {}, {"serial": serial}, "spec.serial in body") for serial in (0, -1, 1_000_000_001)),
    Refused("a reference to nothing", {}, {"secretRef": {}}, "spec.secretRef.name: Required value"),
    *(
        Refused(f"a Secret {name[:12]!r}", {}, {"secretRef": {"name": name}}, "spec.secretRef.name")
        for name in ("", "Mine", "a_b", "-a", "a..b", "a/b", "x" * 254)
    ),
]

KEY_EDIT_REFUSED = [
    Refused("serial lowered", {"serial": 2}, {"serial": 1}, LOWERED),
    Refused("serial back to its default", {"serial": 2}, {}, LOWERED),
    *(
        Refused(f"serial from {before} to {after}", {"serial": before}, {"serial": after}, BY_ONE)
        for before, after in ((1, 3), (1, 1_000_000_000), (7, 9))
    ),
    Refused("secretRef removed", SECRET, {}, KEPT),
    Refused("secretRef removed while serial rises", SECRET, {"serial": 2}, KEPT),
    Refused("a size set", {}, {"keySize": 128}, SIZE_KEPT),
    Refused("the size of the default set", {}, {"keySize": 256}, SIZE_KEPT),
    Refused("a size unset", {"keySize": 128}, {}, SIZE_KEPT),
    Refused("a size changed", {"keySize": 128}, {"keySize": 256}, SIZE_KEPT),
]

KEY_EDIT_ALLOWED = [
    Allowed("nothing", {}, {}),
    Allowed("serial raised", {}, {"serial": 2}),
    Allowed("serial raised later", {"serial": 7}, {"serial": 8}),
    Allowed("a size set for the next key", {}, {"keySize": 128, "serial": 2}),
    Allowed("a size unset for the next key", {"keySize": 128}, {"serial": 2}),
    Allowed("another Secret", SECRET, {"secretRef": {"name": "other"}}),
    *(
        Allowed(f"size {before} to {after} of a key of the user", SECRET | before, SECRET | after)
        for before, after in (({}, {"keySize": 128}), ({"keySize": 128}, {"keySize": 256}), ({"keySize": 256}, {}))
    ),
]
