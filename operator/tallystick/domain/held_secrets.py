"""The Secrets that hold our tokens: how we know our own, and what is kept of one (S22)."""

import base64
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tallystick.api.meta import ObjectMeta, Resource
from tallystick.domain.names import KIND_LABEL, MANAGED_BY, MANAGER, NAME_LABEL, TOKEN_ID_LABEL
from tallystick.domain.ownership import owner_reference

Json = dict[str, Any]

OUR_LABELS = (MANAGED_BY, KIND_LABEL, NAME_LABEL, TOKEN_ID_LABEL)
_OWNERS = frozenset({"PairingToken", "ConnectionConfiguration"})


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


def secret_body(
    name: str, secret_type: str, values: Mapping[str, str], *, owner: tuple[Resource, ObjectMeta], token_id: str | None
) -> Json:
    """Return a Secret that belongs to one of our objects.

    Args:
        name: of the Secret, in its owner's namespace.
        secret_type: one of ours.
        values: what it holds, as text.
        owner: the kind and metadata of the object.
        token_id: the `jti` of the token to copy, for its label (R7); None where there is none.
    """
    resource, meta = owner
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": meta.namespace,
            "labels": {
                MANAGED_BY: MANAGER,
                KIND_LABEL: resource.kind,
                NAME_LABEL: meta.name,
                **({TOKEN_ID_LABEL: token_id} if token_id else {}),
            },
            "ownerReferences": [owner_reference(resource, meta)],
        },
        "type": secret_type,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def owner_uid(body: Mapping[str, Any]) -> str | None:
    """Return the uid of the object of ours that controls a Secret; labels prove nothing, users forge them (S22)."""
    reference = _controller(body)
    return sys.intern(str(reference.get("uid"))) if reference else None  # the owner, known by now, spells it too


def controller_of(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return kind and name of the object of ours that a Secret says it belongs to, for people."""
    reference = _controller(body)
    return (str(reference.get("kind")), str(reference.get("name"))) if reference else None


def _controller(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    references = body["metadata"].get("ownerReferences") or ()
    return next((one for one in references if one.get("controller") and one.get("kind") in _OWNERS), None)


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


def held_token(body: Mapping[str, Any], key: str = "token") -> str | None:
    """Return the unverified token in a Secret."""
    try:
        return base64.b64decode((body.get("data") or {})[key], validate=True).decode("ascii")
    except (KeyError, TypeError, ValueError):
        return None
