"""How an object names the one that it belongs to, for the garbage collector."""

from typing import Any

from tallystick.api.meta import ObjectMeta, Resource


def owner_reference(resource: Resource, owner: ObjectMeta) -> dict[str, Any]:
    """Return the reference by which an object is deleted with its owner."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        # true would need a right on our finalizers where that admission plugin is on.
        "blockOwnerDeletion": False,
    }
