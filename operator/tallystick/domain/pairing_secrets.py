"""The Secret that holds a pairing token: what it looks like, and how we know our own (R7, R90, S22)."""

import base64
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tallystick.api.pairing_token import PairingToken
from tallystick.domain.claims import PairingGrant
from tallystick.domain.names import (
    KIND_LABEL,
    MANAGED_BY,
    MANAGER,
    NAME_LABEL,
    PAIRING_SECRET_TYPE,
    TOKEN_ID_LABEL,
    pairing_secret_name,
)
from tallystick.domain.ownership import owner_reference
from tallystick.domain.times import rfc3339

Json = dict[str, Any]

OUR_LABELS = (MANAGED_BY, KIND_LABEL, NAME_LABEL, TOKEN_ID_LABEL)


@dataclass(frozen=True, slots=True)
class HeldSecret:
    """A Secret that we have seen, without its values."""

    namespace: str
    name: str
    uid: str
    resource_version: str = field(compare=False)
    owner_uid: str | None
    content_digest: bytes
    immutable: bool

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "HeldSecret":
        """Keep what identifies a Secret and a digest of what is in it."""
        meta = body["metadata"]
        return cls(
            namespace=sys.intern(meta["namespace"]),
            name=meta["name"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            owner_uid=owner_uid(body),
            content_digest=content_digest(body),
            immutable=bool(body.get("immutable")),
        )


def pairing_secret(token: PairingToken, grant: PairingGrant, signed_jwt: str, ca_pem: str | None) -> Json:
    """Return the Secret as it must be. The only place where the value of a pairing token is stored."""
    values = {
        "token": signed_jwt,
        "token-id": grant.token_id,
        "expires-in": str(grant.expires_in),
        "expires-at": rfc3339(grant.expires),
        **({"ca.crt": ca_pem} if ca_pem else {}),
    }
    meta = token.metadata
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": pairing_secret_name(token),
            "namespace": meta.namespace,
            "labels": {
                MANAGED_BY: MANAGER,
                KIND_LABEL: "PairingToken",
                NAME_LABEL: meta.name,
                TOKEN_ID_LABEL: grant.token_id,
            },
            "ownerReferences": [owner_reference(token)],
        },
        "type": PAIRING_SECRET_TYPE,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def owner_uid(body: Mapping[str, Any]) -> str | None:
    """Return the uid of the PairingToken that controls a Secret; labels prove nothing, users forge them (S22)."""
    for reference in body["metadata"].get("ownerReferences") or ():
        if reference.get("controller") and reference.get("kind") == "PairingToken":
            return sys.intern(str(reference.get("uid")))  # the owner, which is known by now, spells it too
    return None


def content_digest(body: Mapping[str, Any]) -> bytes:
    """Return a fingerprint of all that we set: values, type, our labels and the owner."""
    labels = body["metadata"].get("labels") or {}
    content = [
        body.get("type"),
        body.get("data") or {},
        {key: labels.get(key) for key in OUR_LABELS},
        owner_uid(body),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


def held_token(body: Mapping[str, Any]) -> str | None:
    """Return the unverified token in a Secret."""
    try:
        return base64.b64decode((body.get("data") or {})["token"], validate=True).decode("ascii")
    except (KeyError, TypeError, ValueError):
        return None
