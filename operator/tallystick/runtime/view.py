"""What the controller's watches have seen, compact: one small record per object, parsed only when it is looked at."""

import json
from dataclasses import dataclass, field
from typing import Any

from tallystick.api.core import SECRETS
from tallystick.api.master_token import MASTER_TOKENS
from tallystick.api.meta import API_VERSION, Resource
from tallystick.api.pairing_token import PAIRING_TOKENS
from tallystick.domain.names import PAIRING_SECRET_SUFFIX
from tallystick.domain.pairing_secrets import HeldSecret
from tallystick.runtime.store import Key, Store
from tallystick.services.ports import Json

# Fields that say nothing to us and that change, or weigh, more than all the rest.
_DROPPED = ("managedFields", "resourceVersion", "selfLink")


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One of our objects as JSON text; a parsed one weighs ten times as much.

    Args:
        index: what it is found by: for a MasterToken the uid of the PairingToken that it came from, for a PairingToken
            the namespace and name of its Secret.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str = field(compare=False)
    index: str
    text: bytes

    @classmethod
    def from_body(cls, body: Json) -> "ObjectRecord":
        """Keep an object without its bookkeeping."""
        meta = body["metadata"]
        kept = {key: value for key, value in meta.items() if key not in _DROPPED}
        slim = {"metadata": kept, "spec": body.get("spec", {}), "status": body.get("status", {})}
        # A PairingToken has no such reference, and a MasterToken no Secret.
        reference = slim["spec"].get("pairingTokenRef") or {}
        secret_name = slim["spec"].get("secretName") or meta["name"] + PAIRING_SECRET_SUFFIX
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            index=reference.get("uid") or _secret_index(meta["namespace"], secret_name),
            text=json.dumps(slim, separators=(",", ":")).encode(),
        )

    def to_body(self, kind: str) -> Json:
        """Return the object again, ready for a conditional write."""
        body: dict[str, Any] = json.loads(self.text)
        body["metadata"]["resourceVersion"] = self.resource_version
        return {"apiVersion": API_VERSION, "kind": kind, **body}


class WatchedView:
    """The stores of the controller; the real `View` port."""

    def __init__(self) -> None:
        self.pairing_tokens: Store[ObjectRecord] = Store(index=lambda record: record.index)
        self.master_tokens: Store[ObjectRecord] = Store(index=lambda record: record.index)
        self.secrets: Store[HeldSecret] = Store()

    def observe(self, resource: Resource, event_type: str | None, body: Json) -> bool:
        """Take in one event of a watch, and return whether anything that matters has changed."""
        if resource == SECRETS:
            return self.secrets.observe(event_type, HeldSecret.from_body(body))
        return self._store(resource).observe(event_type, ObjectRecord.from_body(body))

    def pairing_token(self, namespace: str, name: str) -> Json | None:
        """Return a PairingToken as last seen."""
        record = self.pairing_tokens.get((namespace, name))
        return record.to_body(PAIRING_TOKENS.kind) if record else None

    def master_token(self, namespace: str, name: str) -> Json | None:
        """Return a MasterToken as last seen."""
        record = self.master_tokens.get((namespace, name))
        return record.to_body(MASTER_TOKENS.kind) if record else None

    def secret(self, namespace: str, name: str) -> HeldSecret | None:
        """Return what is kept of a Secret that carries our label."""
        return self.secrets.get((namespace, name))

    def master_tokens_of(self, pairing_uid: str) -> list[Key]:
        """Return the keys of the MasterTokens that came from a PairingToken."""
        return self.master_tokens.by_index(pairing_uid)

    def pairing_tokens_of(self, namespace: str, secret_name: str) -> list[Key]:
        """Return the keys of the PairingTokens that keep a Secret of this name, whatever the Secret says of itself."""
        return self.pairing_tokens.by_index(_secret_index(namespace, secret_name))

    def remember(self, resource: Resource, body: Json) -> None:
        """Take over what a write has returned, ahead of the watch."""
        self.observe(resource, "MODIFIED", body)

    def forget(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Take over that an object is gone, ahead of the watch."""
        store = self.secrets if resource == SECRETS else self._store(resource)
        store.drop((namespace, name), uid)

    def _store(self, resource: Resource) -> Store[ObjectRecord]:
        return self.pairing_tokens if resource == PAIRING_TOKENS else self.master_tokens


def _secret_index(namespace: str, secret_name: str) -> str:
    return f"{namespace}/{secret_name}"
