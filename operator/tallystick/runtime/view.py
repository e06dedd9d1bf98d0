"""What the controller's watches have seen, compact: one small record per object, unpacked only when it is looked at."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tallystick.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.api.core import SECRETS
from tallystick.api.master_token import MASTER_TOKENS
from tallystick.api.meta import API_VERSION, Resource
from tallystick.api.pairing_token import PAIRING_TOKENS
from tallystick.domain.held_secrets import HeldSecret
from tallystick.domain.names import CONNECTION_SECRET_SUFFIX, PAIRING_SECRET_SUFFIX
from tallystick.runtime.packing import pack, unpack
from tallystick.runtime.store import Key, Store
from tallystick.services.ports import Json

# Fields that say nothing to us and that change, or weigh, more than all the rest.
_DROPPED = ("managedFields", "resourceVersion", "selfLink")

ObjectKey = tuple[Resource, str, str]  # kind, namespace and name


# The kinds that keep a Secret, and how its name ends where the spec gives no other.
_SECRET_SUFFIXES = {
    PAIRING_TOKENS: PAIRING_SECRET_SUFFIX,
    CONNECTION_CONFIGURATIONS: CONNECTION_SECRET_SUFFIX,
}


def _its_secret(suffix: str, body: Json) -> str:
    """Return namespace and name of the Secret that an object keeps; '' for the one that its own name tells."""
    meta, chosen = body["metadata"], body["spec"].get("secretName")
    return "" if chosen in (None, meta["name"] + suffix) else f"{meta['namespace']}/{chosen}"


def _its_pairing_token(body: Json) -> str:
    return str((body["spec"].get("pairingTokenRef") or {}).get("uid", ""))


# Our kinds, each with what its objects are found by when something else changes: the Secret that one keeps, or the uid
# of the object that it depends on.
_FOUND_BY: dict[Resource, Callable[[Json], str]] = {
    **{resource: partial(_its_secret, suffix) for resource, suffix in _SECRET_SUFFIXES.items()},
    MASTER_TOKENS: _its_pairing_token,
}


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One of our objects, packed; a parsed one weighs fifty times as much.

    Args:
        index: what it is found by, beside its name.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str = field(compare=False)
    index: str
    packed: bytes

    @classmethod
    def from_body(cls, resource: Resource, body: Json) -> "ObjectRecord":
        """Keep an object without its bookkeeping."""
        meta = body["metadata"]
        kept = {key: value for key, value in meta.items() if key not in _DROPPED}
        slim = {"metadata": kept, "spec": body.get("spec", {}), "status": body.get("status", {})}
        return cls(
            namespace=sys.intern(meta["namespace"]),
            name=meta["name"],
            uid=sys.intern(meta["uid"]),
            resource_version=meta["resourceVersion"],
            index=_FOUND_BY[resource](slim),
            packed=pack(slim, resource.kind),
        )

    def to_body(self, resource: Resource) -> Json:
        """Return the object again, ready for a conditional write."""
        body = unpack(self.packed, resource.kind)
        body["metadata"]["resourceVersion"] = self.resource_version
        return {"apiVersion": API_VERSION, "kind": resource.kind, **body}


class WatchedView:
    """The stores of the controller; the real `View` port."""

    def __init__(self) -> None:
        self.stores: dict[Resource, Store[ObjectRecord]] = {
            resource: Store(index=lambda record: record.index) for resource in _FOUND_BY
        }
        self.secrets: Store[HeldSecret] = Store()

    def observe(self, resource: Resource, event_type: str | None, body: Json) -> bool:
        """Take in one event of a watch, and return whether anything that matters has changed."""
        if resource == SECRETS:
            return self.secrets.observe(event_type, HeldSecret.from_body(body))
        return self.stores[resource].observe(event_type, ObjectRecord.from_body(resource, body))

    def has(self, resource: Resource, metadata: Mapping[str, Any]) -> bool:
        """Tell whether this very version of an object is known."""
        return self._store(resource).has(metadata)

    def touched_by(self, resource: Resource, body: Json) -> list[ObjectKey]:
        """Return the objects that look different now that one has changed: itself, and those that depend on it."""
        meta = body["metadata"]
        if resource == SECRETS:
            # By its name: whoever edits a Secret can take owner and labels out of it, too.
            return [*self._found_by(f"{meta['namespace']}/{meta['name']}"), *self._named_after(meta)]
        return [(resource, meta["namespace"], meta["name"]), *self._found_by(meta["uid"])]

    def _found_by(self, index: str) -> list[ObjectKey]:
        return [(resource, *key) for resource, store in self.stores.items() for key in store.by_index(index)]

    def _named_after(self, secret: Mapping[str, Any]) -> list[ObjectKey]:
        """Return the object whose Secret has this name because the spec gives no other."""
        found: list[ObjectKey] = []
        for resource, suffix in _SECRET_SUFFIXES.items():
            key = (secret["namespace"], secret["name"].removesuffix(suffix))
            record = self.stores[resource].get(key)
            if record is not None and not record.index and key[1] != secret["name"]:
                found.append((resource, *key))
        return found

    def everything(self) -> list[ObjectKey]:
        """Return all objects of our kinds."""
        return [(resource, *key) for resource, store in self.stores.items() for key in store]

    def get(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """Return an object of ours as last seen."""
        record = self.stores[resource].get((namespace, name))
        return record.to_body(resource) if record else None

    def secret(self, namespace: str, name: str) -> HeldSecret | None:
        """Return what is kept of a Secret that carries our label."""
        return self.secrets.get((namespace, name))

    def depending_on(self, resource: Resource, uid: str) -> list[Key]:
        """Return the keys of the objects of a kind that depend on the object with this uid."""
        return self.stores[resource].by_index(uid)

    def remember(self, resource: Resource, body: Json) -> None:
        """Take over what a write has returned, ahead of the watch."""
        self.observe(resource, "MODIFIED", body)

    def forget(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Take over that an object is gone, ahead of the watch."""
        self._store(resource).drop((namespace, name), uid)

    def _store(self, resource: Resource) -> Store[HeldSecret] | Store[ObjectRecord]:
        return self.secrets if resource == SECRETS else self.stores[resource]
