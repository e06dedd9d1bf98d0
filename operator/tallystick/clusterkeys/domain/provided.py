"""Read a user's own key from the Secret that `spec.secretRef` names (docs/rules.md#s20)."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from tallystick.clusterkeys.domain.keys import ClusterKey, KeyProblem, Purpose, parse_key

_MOST_LISTED, _LONGEST_LISTED = 5, 63
# A user may have written a key where its name belongs.
_LIKE_A_KEY = re.compile(r"[0-9A-Fa-f]{16}")


def read_provided(
    purpose: Purpose, body: Mapping[str, Any] | None, *, where: str, bits: int | None
) -> ClusterKey | KeyProblem:
    """Read the key of a Secret, or return why it cannot be used.

    Args:
        purpose: Decides the type and the data key of the Secret.
        body: The Secret as JSON; None if it does not exist.
        where: Its namespace and name, such as `edge/jk`.
        bits: The `spec.keySize`; None if it is absent.
    """
    if body is None:
        wanted = f'create it with type {purpose.secret_type} and key "{purpose}"'
        return KeyProblem("WaitingForKey", f"Secret {where} does not exist yet; {wanted}")
    # One constant text for every other type: it says nothing about a Secret whose maker did not share it.
    if body.get("type") != purpose.secret_type:
        return KeyProblem("WrongSecretType", f"Secret {where} cannot be used: its type must be {purpose.secret_type}")
    data = body.get("data") or {}
    if purpose not in data:
        return KeyProblem("KeyMissing", f'Secret {where} has no key "{purpose}"; found: {_listed(data)}')
    key = parse_key(purpose, base64.b64decode(data[purpose], validate=True))
    if isinstance(key, KeyProblem):
        return KeyProblem(key.reason, f'key "{purpose}" in Secret {where} {key.text}')
    if bits is not None and bits != key.bits:
        return KeyProblem("KeySizeMismatch", f"spec.keySize is {bits} but the key has {key.bits} bits")
    return key


def _listed(data: Mapping[str, Any]) -> str:
    shown = sorted(name[:_LONGEST_LISTED] for name in data if not _LIKE_A_KEY.search(name))[:_MOST_LISTED]
    hidden = len(data) - len(shown)
    return ", ".join([*shown, f"{hidden} more"] if hidden else shown) or "none"
